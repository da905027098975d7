//! A real controller, on virtual time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::StreamExt as _;
use k8s_openapi::api::{core::v1::Secret, events::v1::Event as KubernetesEvent};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
    runtime::{
        Controller, WatchStreamExt as _,
        controller::Action,
        events::{self, EventType, Recorder},
        finalizer::{self, Event, finalizer},
        reflector, watcher,
    },
};
use serde_json::json;
use tokio::{task::JoinHandle, time::sleep};

use super::{Gadget, gadget, secret, server};
use crate::support::apiserver::Verb;

const HOUR: Duration = Duration::from_secs(3600);
const FINALIZER: &str = "test.handover.dev/gadget";

type ReconcileError = Box<finalizer::Error<kube::Error>>;

struct Context {
    client: Client,
    passes: AtomicU32,
}

async fn reconcile(gadget: Arc<Gadget>, ctx: Arc<Context>) -> Result<Action, ReconcileError> {
    ctx.passes.fetch_add(1, Ordering::Relaxed);
    let gadgets = Api::<Gadget>::namespaced(ctx.client.clone(), "team-a");
    finalizer(&gadgets, FINALIZER, gadget, |event| async {
        match event {
            Event::Apply(gadget) => apply(&ctx, &gadgets, &gadget).await,
            Event::Cleanup(_) => Ok(Action::await_change()),
        }
    })
    .await
    .map_err(Box::new)
}

async fn apply(
    ctx: &Context,
    gadgets: &Api<Gadget>,
    gadget: &Gadget,
) -> Result<Action, kube::Error> {
    let secrets = Api::<Secret>::namespaced(ctx.client.clone(), "team-a");
    let mut owned = secret(&gadget.name_any(), "made");
    owned.metadata.owner_references = gadget.controller_owner_ref(&()).map(|owner| vec![owner]);
    match secrets.create(&PostParams::default(), &owned).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        other => drop(other?),
    }
    if gadget
        .status
        .as_ref()
        .map(|status| status.observed_generation)
        != gadget.metadata.generation
    {
        let patch = json!({"status": {"observedGeneration": gadget.metadata.generation}});
        let params = PatchParams::default();
        gadgets
            .patch_status(&gadget.name_any(), &params, &Patch::Merge(&patch))
            .await?;
    }
    Ok(Action::requeue(HOUR))
}

fn operate(client: Client) -> (Arc<Context>, JoinHandle<()>) {
    let ctx = Arc::new(Context {
        client: client.clone(),
        passes: AtomicU32::new(0),
    });
    let config = watcher::Config::default();
    let run = Controller::new(Api::<Gadget>::all(client.clone()), config.clone())
        .owns(Api::<Secret>::all(client), config)
        .run(
            reconcile,
            |_, _, _| Action::requeue(Duration::from_secs(1)),
            ctx.clone(),
        )
        .for_each(|_| std::future::ready(()));
    (ctx, tokio::spawn(run))
}

#[tokio::test(start_paused = true)]
async fn a_controller_lives_through_a_whole_life() {
    let server = server();
    let (_, operator) = operate(server.client("operator"));
    server.apply_as_user(&gadget("one"));
    sleep(Duration::from_secs(1)).await;

    let made: Secret = server.get("team-a", "one").unwrap();
    let born: Gadget = server.get("team-a", "one").unwrap();
    assert_eq!(made.owner_references()[0].uid, born.uid().unwrap());
    assert_eq!(born.finalizers(), [FINALIZER]);
    assert_eq!(born.status.unwrap().observed_generation, 1);

    server.delete_as_user::<Secret>("team-a", "one");
    sleep(Duration::from_secs(1)).await;
    let again: Secret = server.get("team-a", "one").unwrap();
    assert_ne!(again.uid(), made.uid(), "the owned Secret is made again");

    server.patch_as_user::<Gadget>("team-a", "one", &json!({"spec": {"size": 2}}));
    sleep(Duration::from_secs(1)).await;
    let changed: Gadget = server.get("team-a", "one").unwrap();
    assert_eq!(changed.status.unwrap().observed_generation, 2);

    server.delete_as_user::<Gadget>("team-a", "one");
    assert!(
        server.get::<Gadget>("team-a", "one").is_some(),
        "the finalizer holds it"
    );
    sleep(Duration::from_secs(1)).await;
    assert!(server.get::<Gadget>("team-a", "one").is_none());
    operator.abort();
}

#[tokio::test(start_paused = true)]
async fn a_week_of_hourly_passes_costs_no_time_and_no_writes() {
    let server = server();
    let (ctx, operator) = operate(server.client("operator"));
    server.apply_as_user(&gadget("one"));
    sleep(HOUR).await;
    let (passes, writes) = (
        ctx.passes.load(Ordering::Relaxed),
        server.count(|e| e.request.verb == Verb::Patch),
    );
    sleep(24 * 7 * HOUR).await;
    assert_eq!(ctx.passes.load(Ordering::Relaxed) - passes, 24 * 7);
    assert_eq!(
        server.count(|e| e.request.verb == Verb::Patch),
        writes,
        "nothing changed"
    );
    operator.abort();
}

#[tokio::test(start_paused = true)]
async fn a_reflector_follows_over_broken_and_expired_watches() {
    let server = server();
    let (store, writer) = reflector::store::<Secret>();
    let secrets = Api::<Secret>::all(server.client("operator"));
    let events = watcher(secrets, watcher::Config::default())
        .default_backoff()
        .reflect(writer);
    let follower = tokio::spawn(events.for_each(|_| std::future::ready(())));
    server.apply_as_user(&secret("one", "a"));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(store.len(), 1);

    server.hold_watches();
    server.apply_as_user(&secret("two", "b"));
    server.delete_as_user::<Secret>("team-a", "one");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(store.state()[0].name_any(), "one", "the cache is stale");

    server.compact();
    server.drop_watches();
    server.release_watches();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(store.len(), 1);
    assert_eq!(store.state()[0].name_any(), "two");
    follower.abort();
}

#[tokio::test(start_paused = true)]
async fn a_recorder_creates_an_event_once_and_then_counts() {
    let server = server();
    let about = server.apply_as_user(&gadget("one")).object_ref(&());
    let recorder = Recorder::new(server.client("operator"), "test.handover.dev".into());
    let event = events::Event {
        type_: EventType::Normal,
        reason: "Issued".into(),
        note: None,
        action: "Issue".into(),
        secondary: None,
    };
    for _ in 0..3 {
        recorder.publish(&event, &about).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    let [stored] = &server.list::<KubernetesEvent>()[..] else {
        panic!("one Event");
    };
    assert_eq!(stored.regarding.as_ref().unwrap().uid, about.uid);
    assert_eq!(stored.series.as_ref().unwrap().count, 3);
}

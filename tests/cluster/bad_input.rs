//! Bad input: what is said about it, that nothing is lost by it, and that mending it heals it.
//!
//! In every row the token `steady` is in use before something goes wrong, and `late` is asked for while
//! it is wrong. What `steady` delivers must stay untouched and accepted; for `late` nothing may be
//! created that the row does not allow; once the cause is gone both must be in order within seconds.

use std::{sync::Arc, time::Duration};

use futures::future::LocalBoxFuture;
use handover::api::condition::Reason;
use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::task::{JoinSet, LocalSet};

use self::rows::ROWS;
use crate::{
    audit::{self, Request},
    place::Place,
    plane,
    provider::{ADMIN_TOKEN, Caller},
    world::{OPERATOR_USER, World},
};

mod rows;

/// A finalizer waits for a provider 20 s, a first retry comes after one.
const SCALE: u32 = 30;

const SECONDS: Duration = Duration::from_secs(25);

/// For what may wait for a deletion timeout.
const A_MINUTE: Duration = Duration::from_secs(60);

/// Stands in values that must not be repeated by anybody.
const CANARY: &str = "erv_canary";

type Step = fn(&Place) -> LocalBoxFuture<'_, ()>;

/// One mistake.
struct Row {
    /// Also the name of its namespace.
    name: &'static str,
    /// Makes it wrong.
    spoil: Step,
    /// The spec of the token that is asked for then, as far as it differs from a good one.
    late: Option<fn(&Place) -> Value>,
    /// What people are told, in this order. Before its first own word `late` is asked for.
    says: &'static [Says],
    /// Creates that may reach the provider before it is mended, after that of `steady`.
    creates: usize,
    /// Puts it right.
    mend: Step,
    /// How it ends.
    end: End,
}

/// The condition `Ready` of someone.
#[derive(Debug)]
struct Says {
    who: Who,
    reason: Reason,
    /// The message holds all of these.
    words: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Connection,
    Steady,
    Late,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// All tokens are delivered.
    Delivered,
    /// There never was a `steady`: the namespace is not the operator's yet.
    LateOnly,
    /// `steady` is deleted and revoked, and its ledger closed.
    SteadyGone,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_gets_a_clear_answer_and_loses_nothing() {
    if plane::is_off() {
        return;
    }
    let granted = ROWS.iter().filter(|row| row.end != End::LateOnly);
    let granted: Vec<&str> = granted.map(|row| row.name).collect();
    let world = World::install(&granted).await;
    let others = ROWS.iter().filter(|row| row.end == End::LateOnly);
    for name in others.map(|row| row.name).chain(["refused-on-arrival"]) {
        world.make_namespace(name, &json!({})).await;
    }
    world.start(SCALE);
    let world = Arc::new(world);
    let failed = LocalSet::new().run_until(run_all(&world)).await;
    assert_eq!(failed, 0, "rows of {}", ROWS.len());
    a_review_comes_before_the_verdict(&world);
    refused_on_arrival(&Place::new(&world, "refused-on-arrival").await).await;
}

/// All at once; answers how many failed.
async fn run_all(world: &Arc<World>) -> usize {
    let mut running = JoinSet::new();
    for row in ROWS {
        let world = world.clone();
        running.spawn_local(async move { run(row, &world).await });
    }
    let mut failed = 0;
    while let Some(ended) = running.join_next().await {
        failed += usize::from(ended.is_err()); // it has said what, where it panicked
    }
    failed
}

async fn run(row: &Row, world: &Arc<World>) {
    let place = Place::new(world, row.name).await;
    let caller = Caller::of(&place.provider);
    let steady = if row.end == End::LateOnly {
        None
    } else {
        place.ask("steady", json!({})).await.unwrap();
        let delivered = async || place.is_ready("steady").await;
        place
            .until(A_MINUTE, "steady is delivered", delivered)
            .await;
        place.value("steady").await
    };
    let before = place.provider.creates();

    (row.spoil)(&place).await;
    let (early, after) = row.says.split_at(
        row.says
            .iter()
            .take_while(|says| says.who != Who::Late)
            .count(),
    );
    for says in early {
        says.comes(&place).await;
    }
    if let Some(late) = row.late {
        place.ask("late", late(&place)).await.unwrap();
    }
    for says in after {
        says.comes(&place).await;
    }
    let created = place.provider.creates() - before;
    assert!(created <= row.creates, "{}: {created} creates", row.name);
    if let Some(value) = &steady {
        let untouched = place.provider.errova.authenticates(value);
        assert!(untouched, "{}: what is in use was revoked", row.name);
    }

    (row.mend)(&place).await;
    let healed = heal(row, &place, &caller).await;
    eprintln!("{:>24}  healed in {healed:.1?}", row.name);
    if let (Some(value), End::Delivered) = (&steady, row.end) {
        assert_eq!(
            place.value("steady").await.as_ref(),
            Some(value),
            "{}",
            row.name
        );
        assert!(caller.is_accepted(value).await, "{}", row.name);
    }
    let tokens = place.tokens().list(&ListParams::default()).await.unwrap();
    assert_eq!(
        place.provider.live().len(),
        tokens.items.len(),
        "{}",
        place.story().await
    );
}

/// Waits until everything is as the row says it ends; answers how long it took.
async fn heal(row: &Row, place: &Place, caller: &Caller) -> Duration {
    let delivered = async |name: &str| {
        let Some(secret) = place.status(name).await.secret else {
            return false;
        };
        match place.value(&secret).await {
            Some(value) => place.is_ready(name).await && caller.is_accepted(&value).await,
            None => false,
        }
    };
    let late = row.late.is_some();
    let in_order = async || {
        let steady = match row.end {
            End::Delivered => delivered("steady").await,
            End::LateOnly => true,
            End::SteadyGone => place.token("steady").await.is_none(),
        };
        let closed = row.end != End::SteadyGone || place.ledgers().await.len() == usize::from(late);
        steady && closed && (!late || delivered("late").await)
    };
    place.until(SECONDS, "mended", in_order).await
}

impl Says {
    async fn comes(&self, place: &Place) {
        let said = async || self.is_said(place).await;
        place.until(SECONDS, &format!("{self:?}"), said).await;
    }

    /// Whether it is said now, whatever else is said about it: a message may come in two steps.
    async fn is_said(&self, place: &Place) -> bool {
        let condition = match self.who {
            Who::Connection => place.connection_ready().await,
            Who::Steady => place.ready("steady").await,
            Who::Late => place.ready("late").await,
        };
        let Some(condition) = condition.filter(|c| c.reason == self.reason.as_str()) else {
            return false;
        };
        let message = &condition.message;
        assert!(
            !message.contains(ADMIN_TOKEN) && !message.contains(CANARY),
            "{message}"
        );
        let holds = |word: &&str| message.contains(&word.replace("{}", &place.name));
        self.words.iter().all(holds)
    }
}

/// Of all rows only one is about a namespace without rights: before its status says so, the API server
/// was asked in so many words.
fn a_review_comes_before_the_verdict(world: &World) {
    let log = audit::read(&world.plane);
    let first = |is: &dyn Fn(&Request) -> bool| log.iter().filter(|r| is(r)).map(|r| r.began).min();
    let review = first(&|request| request.resource == "selfsubjectaccessreviews");
    let verdict = first(&|request| {
        request.namespace == "namespace-not-granted"
            && request.is_status
            && request.user == OPERATOR_USER
    });
    assert!(
        review.is_some() && review < verdict,
        "{review:?} {verdict:?}"
    );
}

/// What never gets as far as the operator: the API server refuses it in the words of the definition.
async fn refused_on_arrival(place: &Place) {
    let with = async |change: Value| place.ask("refused", change).await.map(drop);
    let userinfo = place.connect(
        "refused",
        json!({ "url": "https://me:erv_canary@api.errova.com/api" }),
    );
    let rows = [
        (
            userinfo.await.map(drop),
            &["spec.url", "userinfo", "remove it", "auth"][..],
        ),
        (
            with(json!({ "secret": { "type": "kubernetes.io/service-account-token" } })).await,
            &["spec.secret.type", "gives rights", "use Opaque"],
        ),
        (
            with(json!({ "rotation": { "every": "1h", "overlap": "1h" } })).await,
            &[
                "spec.rotation",
                "overlap (1h)",
                "shorter than rotation.every (1h)",
                "write a",
            ],
        ),
        (
            with(json!({ "secret": { "name": "ledger-machinetoken-x" } })).await,
            &["spec.secret.name", "reserved", "choose another"],
        ),
    ];
    for (answer, words) in rows {
        let Err(kube::Error::Api(refused)) = answer else {
            panic!("let through: {words:?}");
        };
        let missing: Vec<_> = words
            .iter()
            .filter(|word| !refused.message.contains(**word))
            .collect();
        assert!(missing.is_empty(), "no {missing:?} in: {}", refused.message);
    }
    assert_eq!(place.provider.creates(), 0);
}

//! Builds clients, caches and controllers, and stops them in order; the only place that knows everything.
//!
//! ```text
//!   watches ──► stores ──► controllers ──► passes ──► ledger, target, provider
//!      ▲                       ▲
//!   ledgers, targets ── nudge ─┘          leftovers: ledgers without a resource
//! ```

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, future::BoxFuture, stream};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, Client, Resource, ResourceExt as _, core::PartialObjectMeta};
use kube_runtime::{
    Controller, Predicate as _, WatchStreamExt as _, predicates,
    reflector::{self, ObjectRef, Store, store::Writer},
    watcher::{self, Event},
};
use tokio::sync::{
    Notify, Semaphore,
    mpsc::{UnboundedReceiver, unbounded_channel},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::{
        annotations,
        connection::{ClusterConnection, Connection},
        machine_token::MachineToken,
    },
    clock::Clock,
    instance::{self, InstanceError},
    ledger::store::LedgerStore,
    plan::Times,
    provider::endpoint::HostRules,
    reconcile::{
        Context, connection,
        connections::{Connections, Dial},
        context::{Failures, KubeClient, Memories, Nudges, Stores},
        ledgers::Ledgers,
        leftovers, machine_token,
        targets::Targets,
    },
    target::store::TargetStore,
    telemetry::{admin::Readiness, events::recorder, metrics::Metrics},
};

/// How long a create in flight and its Fill have, once the process was asked to stop.
const FAREWELL: Duration = Duration::from_secs(75);

/// What the app is built from. Tests bring their own client, wire and clock.
pub struct Parts {
    /// The API server.
    pub client: Client,
    /// The operator's own namespace.
    pub namespace: String,
    /// Namespaces that are served; all, if none is named.
    pub served: Option<Vec<String>>,
    /// Label selector of resources: one shard.
    pub selector: Option<String>,
    /// Effects in parallel.
    pub concurrency: u16,
    /// Hosts that connections may name.
    pub rules: HostRules,
    /// Opens the wire to a provider.
    pub dial: Dial,
    /// The time.
    pub clock: Clock,
    /// The durations of the protocol.
    pub times: Times,
    /// Numbers.
    pub metrics: Metrics,
    /// What `/readyz` asks.
    pub readiness: Readiness,
    /// Cancelled: nothing is armed any more, what is in flight is finished.
    pub stopping: CancellationToken,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// Why the operator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not know who it is.
    #[error("could not tell which installation this is")]
    Instance(#[source] InstanceError),
}

/// Runs the operator until `stopping` is cancelled and everything in flight is finished.
pub async fn run(parts: Parts) -> Result<(), Error> {
    let instance = instance::load(&parts.client, &parts.namespace)
        .await
        .map_err(Error::Instance)?;
    let holder = instance::nonce().map_err(Error::Instance)?.to_string();
    tracing::info!(instance = %instance.id, holder, "started");
    let tasks = TaskTracker::new();
    let (nudges, triggers) = nudges();
    let (watches, stores) = watches(&parts);
    let (recorder, publisher) = recorder(parts.client.clone());
    tasks.spawn(publisher.run());
    let client = parts.client.clone();
    let ctx = Arc::new(Context {
        namespace: parts.namespace.clone(),
        served: parts.served.clone(),
        clock: parts.clock.clone(),
        times: parts.times,
        holder,
        ledger_store: LedgerStore::new(client.clone(), &parts.namespace),
        target_store: TargetStore::new(client.clone(), instance.mac.clone()),
        ledgers: Ledgers::default(),
        targets: Targets::new(client.clone(), instance.mac.clone(), {
            let nudges = nudges.clone();
            Arc::new(move |namespace: &str, name: &str| nudges.token(namespace, name))
        }),
        connections: Connections::new(
            parts.dial.clone(),
            parts.rules.clone(),
            parts.clock.clone(),
            parts.metrics.clone(),
        ),
        instance,
        stores,
        nudges,
        memories: Memories::default(),
        slots: Semaphore::new(usize::from(parts.concurrency.max(1))),
        failures: Failures::default(),
        leftovers: Notify::new(),
        recorder,
        metrics: parts.metrics.clone(),
        stopping: parts.stopping.clone(),
        last_call: CancellationToken::new(),
        client: KubeClient(client),
    });
    let readiness = &parts.readiness;
    let ledgers_ready = readiness.part("ledgers");
    let caches_ready = readiness.part("caches");
    watch_ledgers(&ctx, &tasks).await;
    ledgers_ready.set(true);
    let controllers = controllers(&ctx, watches, triggers);
    let leftovers = tasks.spawn(leftovers::run(ctx.clone()));
    let controllers = tasks.spawn(controllers);
    wait_for_caches(&ctx).await;
    caches_ready.set(true);
    tracing::info!("ready");
    parts.stopping.cancelled().await;
    stop(&ctx, [controllers, leftovers]).await;
    Ok(())
}

/// What is in flight is finished; a value that cannot be stored within the time is given up.
async fn stop(ctx: &Context, running: [tokio::task::JoinHandle<()>; 2]) {
    tracing::info!("stopping: nothing new is armed, what is in flight is finished");
    let mut finished = futures::future::join_all(running);
    if tokio::time::timeout(FAREWELL, &mut finished).await.is_err() {
        ctx.last_call.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(10), finished).await;
    }
    tracing::info!("stopped");
}

/// The watches of resources, still to be run by the controllers.
struct Watches {
    tokens: (Writer<MachineToken>, Api<MachineToken>),
    cluster_connections: (Writer<ClusterConnection>, Api<ClusterConnection>),
    connections: (Writer<Connection>, Api<Connection>),
    namespaces: (
        Writer<PartialObjectMeta<Namespace>>,
        Api<PartialObjectMeta<Namespace>>,
    ),
    tokens_config: watcher::Config,
}

struct Nudged {
    tokens: UnboundedReceiver<ObjectRef<MachineToken>>,
    cluster_connections: UnboundedReceiver<ObjectRef<ClusterConnection>>,
    connections: UnboundedReceiver<ObjectRef<Connection>>,
}

fn nudges() -> (Nudges, Nudged) {
    let (tokens, tokens_nudged) = unbounded_channel();
    let (cluster_connections, cluster_connections_nudged) = unbounded_channel();
    let (connections, connections_nudged) = unbounded_channel();
    let nudged = Nudged {
        tokens: tokens_nudged,
        cluster_connections: cluster_connections_nudged,
        connections: connections_nudged,
    };
    (
        Nudges {
            tokens,
            cluster_connections,
            connections,
        },
        nudged,
    )
}

fn watches(parts: &Parts) -> (Watches, Stores) {
    let client = &parts.client;
    let (tokens, token_writer) = reflector::store();
    let (cluster_connections, cluster_writer) = reflector::store();
    let (connections, connection_writer) = reflector::store();
    let (namespaces, namespace_writer) = reflector::store();
    let config = watcher::Config::default();
    let tokens_config = match &parts.selector {
        Some(selector) => config.labels(selector),
        None => config,
    };
    let watches = Watches {
        tokens: (token_writer, Api::all(client.clone())),
        cluster_connections: (cluster_writer, Api::all(client.clone())),
        connections: (connection_writer, Api::all(client.clone())),
        namespaces: (namespace_writer, Api::all(client.clone())),
        tokens_config,
    };
    (
        watches,
        Stores {
            tokens,
            cluster_connections,
            connections,
            namespaces,
        },
    )
}

/// Four fifths of a stored resource are what others wrote about it.
fn prune<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
    if let Some(annotations) = &mut object.meta_mut().annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

/// A store that follows a watch, and the objects that changed in a way that asks for a pass: not by our
/// own status.
fn follow<K>(
    (writer, api): (Writer<K>, Api<K>),
    config: watcher::Config,
) -> impl Stream<Item = Result<K, watcher::Error>> + Send
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
    K: serde::de::DeserializeOwned,
{
    let changed = predicates::generation
        .combine(predicates::annotations)
        .combine(predicates::finalizers)
        .combine(predicates::labels);
    kube_runtime::watcher(api, config)
        .default_backoff()
        .modify(prune)
        .reflect(writer)
        .applied_objects()
        .predicate_filter(changed, kube_runtime::PredicateConfig::default())
}

fn received<T>(receiver: UnboundedReceiver<T>) -> impl Stream<Item = T> + Send
where
    T: Send + 'static,
{
    stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|item| (item, receiver))
    })
}

/// The controllers of all kinds; ends when they have stopped.
///
/// They run any number of passes: a pass costs little until it acts, and what it does then is bounded by
/// [`Context::slots`] and by its connection's budget. A bound here would let many passes that wait for a
/// slow provider stand in front of one that has to revoke.
fn controllers(ctx: &Arc<Context>, watches: Watches, nudged: Nudged) -> BoxFuture<'static, ()> {
    let stop = |ctx: &Arc<Context>| ctx.stopping.clone().cancelled_owned();
    let stores = &ctx.stores;
    let tokens = Controller::for_stream(
        follow(watches.tokens, watches.tokens_config),
        stores.tokens.clone(),
    )
    .reconcile_on(received(nudged.tokens))
    .graceful_shutdown_on(stop(ctx))
    .run(
        machine_token::reconcile,
        machine_token::on_error,
        ctx.clone(),
    );
    let cluster = Controller::for_stream(
        follow(watches.cluster_connections, watcher::Config::default()),
        stores.cluster_connections.clone(),
    )
    .reconcile_on(received(nudged.cluster_connections))
    .graceful_shutdown_on(stop(ctx))
    .run(
        connection::reconcile::<ClusterConnection>,
        connection::on_error,
        ctx.clone(),
    );
    let of_namespaces = Controller::for_stream(
        follow(watches.connections, watcher::Config::default()),
        stores.connections.clone(),
    )
    .reconcile_on(received(nudged.connections))
    .graceful_shutdown_on(stop(ctx))
    .run(
        connection::reconcile::<Connection>,
        connection::on_error,
        ctx.clone(),
    );
    let namespaces = follow_namespaces(watches.namespaces, ctx.clone());
    let secrets = follow_auth_secrets(ctx.clone());
    let stopped = ctx.stopping.clone();
    Box::pin(async move {
        let controllers = async {
            futures::join!(drain(tokens), drain(cluster), drain(of_namespaces));
        };
        let triggers = async {
            futures::join!(namespaces, secrets);
            stopped.cancelled().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = controllers => {}
            () = triggers => {}
        }
    })
}

async fn drain(outcomes: impl Stream) {
    outcomes.for_each(|_| std::future::ready(())).await;
}

/// A namespace whose labels change, or that is going, concerns every token in it.
async fn follow_namespaces(
    (writer, api): (
        Writer<PartialObjectMeta<Namespace>>,
        Api<PartialObjectMeta<Namespace>>,
    ),
    ctx: Arc<Context>,
) {
    let changed = predicates::labels
        .combine(predicates::generation)
        .combine(deleting);
    kube_runtime::watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(prune)
        .reflect(writer)
        .applied_objects()
        .predicate_filter(changed, kube_runtime::PredicateConfig::default())
        .for_each(|namespace| {
            if let Ok(namespace) = namespace {
                let name = namespace.name_any();
                let tokens = ctx.stores.tokens.state();
                for token in tokens
                    .iter()
                    .filter(|token| token.namespace().as_ref() == Some(&name))
                {
                    ctx.nudges.token(&name, &token.name_any());
                }
            }
            std::future::ready(())
        })
        .await;
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of a predicate")]
fn deleting<K: Resource>(object: &K) -> Option<u64> {
    Some(u64::from(object.meta().deletion_timestamp.is_some()))
}

/// Secrets of the operator's own namespace that are no ledgers hold admin credentials.
async fn follow_auth_secrets(ctx: Arc<Context>) {
    let secrets: Api<PartialObjectMeta<Secret>> =
        Api::namespaced(ctx.client.0.clone(), &ctx.namespace);
    let selector = format!(
        "{}!={}",
        annotations::COMPONENT,
        annotations::COMPONENT_LEDGER
    );
    kube_runtime::watcher(secrets, watcher::Config::default().labels(&selector))
        .default_backoff()
        .touched_objects()
        .for_each(|secret| {
            if let Ok(secret) = secret {
                let name = secret.name_any();
                for connection in ctx.stores.cluster_connections.state() {
                    let auth = connection
                        .spec
                        .settings
                        .errova()
                        .and_then(|errova| errova.bearer());
                    if auth.is_ok_and(|reference| reference.name == name) {
                        let reference = ObjectRef::from_obj(&*connection);
                        let _ = ctx.nudges.cluster_connections.send(reference);
                    }
                }
            }
            std::future::ready(())
        })
        .await;
}

/// Follows ledger metadata; returns when the first list is in.
async fn watch_ledgers(ctx: &Arc<Context>, tasks: &TaskTracker) {
    let (listed, first) = tokio::sync::oneshot::channel();
    let ctx = ctx.clone();
    tasks.spawn(async move {
        let secrets: Api<PartialObjectMeta<Secret>> =
            Api::namespaced(ctx.client.0.clone(), &ctx.namespace);
        let selector = format!(
            "{}={}",
            annotations::COMPONENT,
            annotations::COMPONENT_LEDGER
        );
        let config = watcher::Config::default().labels(&selector);
        let mut events = kube_runtime::watcher(secrets, config)
            .default_backoff()
            .boxed();
        let mut listed = Some(listed);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = ctx.stopping.cancelled() => return,
            };
            let Some(event) = event else { return };
            let Ok(event) = event else { continue };
            let done = matches!(event, Event::InitDone);
            if let Some(owner) = ctx.ledgers.observe(event) {
                ctx.nudges.token(&owner.namespace, &owner.name);
            }
            if let Some(listed) = listed.take_if(|_| done) {
                let _ = listed.send(());
            }
        }
    });
    let _ = first.await;
}

async fn wait_for_caches(ctx: &Context) {
    async fn ready<K>(store: &Store<K>)
    where
        K: reflector::Lookup + Clone + 'static,
        K::DynamicType: Eq + std::hash::Hash + Clone,
    {
        let _ = store.wait_until_ready().await;
    }
    let stores = &ctx.stores;
    let all = async {
        futures::join!(
            ready(&stores.tokens),
            ready(&stores.cluster_connections),
            ready(&stores.connections),
            ready(&stores.namespaces)
        );
    };
    tokio::select! {
        () = all => {}
        () = ctx.stopping.cancelled() => {}
    }
}

//! Builds clients, caches and controllers, and stops them in order; the only place that knows everything.
//!
//! ```text
//!   watches ──► stores ──► controllers ──► passes ──► ledger, target, provider
//!      ▲                       ▲
//!   ledgers, targets ── nudge ─┘          leftovers: ledgers without a resource
//! ```

use std::{sync::Arc, time::Duration};

use kube::Client;
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::Clock,
    instance::{self, InstanceError},
    ledger::store::LedgerStore,
    plan::Times,
    provider::endpoint::HostRules,
    reconcile::{
        Context,
        connections::{Connections, Dial},
        context::{Failures, KubeClient, Memories, Written},
        ledgers::Ledgers,
        leftovers,
        targets::Targets,
    },
    target::store::TargetStore,
    telemetry::{admin::Readiness, events::recorder, metrics::Metrics},
};

mod controllers;
mod triggers;
mod watches;

/// How long a create in flight and its Fill have, once the process was asked to stop.
const FAREWELL: Duration = Duration::from_secs(125);

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
    /// A part of it ended, which none does before the process is asked to stop.
    #[error("the {0} ended unexpectedly; the log says why")]
    Ended(&'static str),
}

/// Runs the operator until `stopping` is cancelled and everything in flight is finished.
pub async fn run(parts: Parts) -> Result<(), Error> {
    let instance = instance::load(&parts.client, &parts.namespace)
        .await
        .map_err(Error::Instance)?;
    let holder = instance::nonce().map_err(Error::Instance)?.to_string();
    tracing::info!(instance = %instance.id, holder, "started");
    let tasks = TaskTracker::new();
    let (nudges, asked) = triggers::nudges();
    let (synced, stores, watches) = watches::open(&parts);
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
        targets: Targets::new(
            client.clone(),
            instance.mac.clone(),
            triggers::target_changed(&nudges),
            triggers::target_freed(&nudges, &stores),
        ),
        connections: Connections::new(
            parts.dial.clone(),
            parts.rules.clone(),
            parts.clock.clone(),
            parts.metrics.clone(),
        ),
        instance,
        stores,
        synced,
        nudges,
        memories: Memories::default(),
        slots: Semaphore::new(usize::from(parts.concurrency.max(1))),
        failures: Failures::default(),
        token_status: Written::default(),
        connection_status: Written::default(),
        leftovers: Notify::new(),
        recorder,
        metrics: parts.metrics.clone(),
        stopping: parts.stopping.clone(),
        last_call: CancellationToken::new(),
        client: KubeClient(client),
    });
    let ledgers_listed = parts.readiness.part("ledgers");
    triggers::watch_ledgers(&ctx, &tasks).await;
    ledgers_listed.set(true);
    let mut controllers = tasks.spawn(controllers::run(ctx.clone(), watches, asked));
    let mut leftovers = tasks.spawn(leftovers::run(ctx.clone()));
    tokio::select! {
        biased; // both end by themselves once they are asked to
        () = parts.stopping.cancelled() => {}
        // A process that only answers probes is worse than one that is started again.
        _ = &mut controllers => return Err(Error::Ended("controllers")),
        _ = &mut leftovers => return Err(Error::Ended("leftovers")),
    }
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

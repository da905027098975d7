//! What every pass needs, built once in `app`.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Client, core::PartialObjectMeta};
use kube_runtime::reflector::{ObjectRef, Store};
use tokio::sync::{Notify, Semaphore, mpsc::UnboundedSender, watch};
use tokio_util::sync::CancellationToken;

use super::{
    connections::{ConnectionKey, Connections},
    ledgers::{Ledgers, is_newer},
    targets::Targets,
};
use crate::{
    api::{
        connection::{ClusterConnection, Connection, ConnectionStatus},
        machine_token::{ConnectionKind, MachineToken, MachineTokenStatus},
    },
    clock::Clock,
    instance::Instance,
    ledger::{record::Place, store::LedgerStore},
    plan::{Obstacle, Times, world::Memory},
    provider::{ProviderError, errova::Errova},
    target::store::TargetStore,
    telemetry::{events::Recorder, metrics::Metrics},
};

/// Clients, caches and settings.
#[derive(Debug)]
pub struct Context {
    /// The API server.
    pub client: KubeClient,
    /// The operator's own namespace.
    pub namespace: String,
    /// Namespaces that are served; all, if none is named.
    pub served: Option<Vec<String>>,
    /// The time.
    pub clock: Clock,
    /// The durations of the protocol.
    pub times: Times,
    /// This installation.
    pub instance: Instance,
    /// This process: no other one ever had this name.
    pub holder: String,
    /// Writes ledgers.
    pub ledger_store: LedgerStore,
    /// Writes targets.
    pub target_store: TargetStore,
    /// Ledgers as last seen.
    pub ledgers: Ledgers,
    /// Targets as last seen.
    pub targets: Targets,
    /// Connections as last checked.
    pub connections: Connections,
    /// The resources, from their watches.
    pub stores: Stores,
    /// Whether everything that a token may refer to is in the stores.
    pub synced: Synced,
    /// Makes passes run before their time.
    pub nudges: Nudges,
    /// What this process remembers about resources, by uid.
    pub memories: Memories,
    /// How many effects may be under way at once.
    pub slots: Semaphore,
    /// Failed passes in a row, by uid.
    pub failures: Failures,
    /// Status of tokens that the watch has not shown yet.
    pub token_status: Written<MachineTokenStatus>,
    /// Status of connections that the watch has not shown yet.
    pub connection_status: Written<ConnectionStatus>,
    /// Wakes the work on ledgers without a resource.
    pub leftovers: Notify,
    /// Events.
    pub recorder: Recorder,
    /// Metrics.
    pub metrics: Metrics,
    /// Nothing is armed any more.
    pub stopping: CancellationToken,
    /// The process must end now: a value that cannot be stored is given up.
    pub last_call: CancellationToken,
}

/// A kube client that can stand in a struct with `Debug`.
#[derive(Clone)]
pub struct KubeClient(pub Client);

impl std::fmt::Debug for KubeClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KubeClient")
    }
}

/// The resources that are watched.
#[derive(Debug)]
pub struct Stores {
    /// `MachineToken`.
    pub tokens: Store<MachineToken>,
    /// `ClusterConnection`.
    pub cluster_connections: Store<ClusterConnection>,
    /// `Connection`.
    pub connections: Store<Connection>,
    /// Labels and deletion of namespaces.
    pub namespaces: Store<PartialObjectMeta<Namespace>>,
}

/// Whether the first lists of some watches are in their stores.
#[derive(Clone, Debug)]
pub struct Synced {
    listed: watch::Receiver<usize>,
    all: usize,
}

impl Synced {
    /// Complete when `listed` counts `all`.
    pub fn new(listed: watch::Receiver<usize>, all: usize) -> Self {
        Self { listed, all }
    }

    /// Waits until they are; for ever, if the process ends before.
    pub async fn wait(&self) {
        let mut listed = self.listed.clone();
        if listed.wait_for(|listed| *listed >= self.all).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Stores {
    /// Whether a connection is there.
    pub fn has_connection(&self, key: &ConnectionKey) -> bool {
        match key.kind() {
            ConnectionKind::ClusterConnection => self
                .cluster_connections
                .get(&ObjectRef::new(key.name()))
                .is_some(),
            ConnectionKind::Connection => {
                let reference = ObjectRef::new(key.name()).within(key.namespace());
                self.connections.get(&reference).is_some()
            }
        }
    }
}

/// Makes passes run before their time.
#[derive(Clone, Debug)]
pub struct Nudges {
    /// A pass of one token.
    pub tokens: UnboundedSender<ObjectRef<MachineToken>>,
    /// A check of one connection of the cluster.
    pub cluster_connections: UnboundedSender<ObjectRef<ClusterConnection>>,
    /// A check of one connection of a namespace.
    pub connections: UnboundedSender<ObjectRef<Connection>>,
}

impl Nudges {
    /// A pass of the token of that name.
    pub fn token(&self, namespace: &str, name: &str) {
        let _ = self.tokens.send(ObjectRef::new(name).within(namespace));
    }
}

/// What this process remembers about resources between passes.
#[derive(Debug, Default)]
pub struct Memories(Mutex<HashMap<String, Memory>>);

impl Memories {
    /// What is remembered of `uid`, or a blank memory of the process `holder`.
    pub fn recall(&self, uid: &str, holder: &str) -> Memory {
        self.lock()
            .get(uid)
            .cloned()
            .unwrap_or_else(|| Memory::blank(holder))
    }

    /// Keeps what a pass learned.
    pub fn keep(&self, uid: &str, memory: Memory) {
        self.lock().insert(uid.to_owned(), memory);
    }

    /// The resource and its ledger are gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Memory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was written as status, until the watch shows it: a pass that follows its predecessor closely
/// must not take the status before that for the one that is there.
#[derive(Debug)]
pub struct Written<S>(Mutex<HashMap<String, (String, S)>>);

impl<S> Default for Written<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S: Clone> Written<S> {
    /// The status that is there: that of the object as it was seen, or one that was written since.
    pub fn latest(&self, seen: &ObjectMeta, status: Option<&S>) -> Option<S> {
        let mut written = self.lock();
        let uid = seen.uid.as_deref().unwrap_or_default();
        let version = seen.resource_version.as_deref().unwrap_or_default();
        match written.get(uid) {
            Some((newer, latest)) if is_newer(newer, version) => Some(latest.clone()),
            _ => {
                written.remove(uid);
                status.cloned()
            }
        }
    }

    /// Keeps the reply to a write.
    pub fn keep(&self, reply: &ObjectMeta, status: S) {
        if let (Some(uid), Some(version)) = (&reply.uid, &reply.resource_version) {
            self.lock().insert(uid.clone(), (version.clone(), status));
        }
    }

    /// The object is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (String, S)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Failed passes in a row.
#[derive(Debug, Default)]
pub struct Failures(Mutex<HashMap<String, u32>>);

impl Failures {
    /// One more; answers how many there were before.
    pub fn count(&self, uid: &str) -> u32 {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(uid.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count - 1
    }

    /// A pass came to rest.
    pub fn clear(&self, uid: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
    }
}

impl Context {
    /// A call failed in a way that may be about the connection, not about the credential.
    pub fn suspect(&self, error: ProviderError, place: &Place, namespace: &str) {
        match error {
            ProviderError::NotSent
            | ProviderError::Unavailable
            | ProviderError::Unauthenticated => {
                self.recheck(place, namespace);
            }
            ProviderError::Forbidden | ProviderError::Throttled | ProviderError::Rejected(_) => {}
        }
    }

    /// Who can act on what was issued at `place`, for a resource in `namespace`.
    pub fn provider_at(&self, place: &Place, namespace: &str) -> Result<Errova, Obstacle> {
        if let Some(key) = ConnectionKey::of(place, namespace)
            && !self.stores.has_connection(&key)
        {
            self.connections.forget(&key);
        }
        self.connections.at(place, namespace)
    }

    /// The connection is checked now, not at its time.
    pub fn recheck(&self, place: &Place, namespace: &str) {
        let Some(key) = ConnectionKey::of(place, namespace) else {
            return;
        };
        match key.kind() {
            ConnectionKind::ClusterConnection => {
                let _ = self
                    .nudges
                    .cluster_connections
                    .send(ObjectRef::new(key.name()));
            }
            ConnectionKind::Connection => {
                let reference = ObjectRef::new(key.name()).within(namespace);
                let _ = self.nudges.connections.send(reference);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(version: &str) -> ObjectMeta {
        ObjectMeta {
            uid: Some("a1".to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn what_was_written_counts_until_the_watch_shows_it() {
        let written = Written::default();
        assert_eq!(written.latest(&seen("7"), Some(&"old")), Some("old"));
        written.keep(&seen("9"), "new");
        assert_eq!(written.latest(&seen("7"), Some(&"old")), Some("new"));
        assert_eq!(written.latest(&seen("9"), Some(&"new")), Some("new"));
        assert_eq!(
            written.latest(&seen("10"), Some(&"other's")),
            Some("other's")
        );
        assert_eq!(
            written.latest(&seen("7"), None),
            None,
            "shown, so forgotten"
        );
    }
}

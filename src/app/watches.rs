//! The watches that fill the stores: pruned, followed over errors, and known to be complete or not.

use std::fmt::Debug;

use futures::{Stream, TryStreamExt as _};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Resource, core::PartialObjectMeta};
use kube_runtime::{
    Predicate, PredicateConfig, WatchStreamExt as _, predicates,
    reflector::{self, Store, store::Writer},
    watcher::{self, Event},
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::Parts;
use crate::{
    api::{
        connection::{ClusterConnection, Connection},
        machine_token::MachineToken,
    },
    reconcile::context::{Stores, Synced},
    telemetry::admin::Part,
};

/// What every stored object must have.
pub(super) trait Stored:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}

impl<K> Stored for K where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}

/// One watch that is not running yet.
pub(super) struct Watch<K: Stored> {
    api: Api<K>,
    config: watcher::Config,
    writer: Writer<K>,
    listed: Listed,
}

/// Told when the first list of a watch is in its store.
struct Listed {
    part: Part,
    count: Option<watch::Sender<usize>>,
}

/// All of them.
pub(super) struct Watches {
    pub(super) tokens: Watch<MachineToken>,
    pub(super) cluster_connections: Watch<ClusterConnection>,
    pub(super) connections: Watch<Connection>,
    pub(super) namespaces: Watch<PartialObjectMeta<Namespace>>,
}

/// Stores, the watches that will fill them, and what tells whether they are full. Passes of tokens wait
/// for everything that a token may refer to: half a view would look like a missing connection.
pub(super) fn open(parts: &Parts) -> (Synced, Stores, Watches) {
    let (count, counted) = watch::channel(0);
    let selected = match &parts.selector {
        Some(selector) => watcher::Config::default().labels(selector),
        None => watcher::Config::default(),
    };
    let all = watcher::Config::default;
    let (tokens, token_watch) = watch(parts, "tokens", selected, None);
    let (cluster_connections, cluster_watch) =
        watch(parts, "clusterconnections", all(), Some(count.clone()));
    let (connections, connection_watch) = watch(parts, "connections", all(), Some(count.clone()));
    let (namespaces, namespace_watch) = watch(parts, "namespaces", all(), Some(count));
    let stores = Stores {
        tokens,
        cluster_connections,
        connections,
        namespaces,
    };
    let watches = Watches {
        tokens: token_watch,
        cluster_connections: cluster_watch,
        connections: connection_watch,
        namespaces: namespace_watch,
    };
    (Synced::new(counted, 3), stores, watches)
}

fn watch<K: Stored>(
    parts: &Parts,
    name: &'static str,
    config: watcher::Config,
    count: Option<watch::Sender<usize>>,
) -> (Store<K>, Watch<K>) {
    let (store, writer) = reflector::store();
    let listed = Listed {
        part: parts.readiness.part(name),
        count,
    };
    (
        store,
        Watch {
            api: Api::all(parts.client.clone()),
            config,
            writer,
            listed,
        },
    )
}

impl<K: Stored> Watch<K> {
    /// Fills the store, and yields the objects that changed by one of `changed`. Says when one is gone.
    pub(super) fn follow(
        self,
        changed: impl Predicate<K> + Send + 'static,
        gone: impl Fn(&K) + Send + 'static,
    ) -> impl Stream<Item = Result<K, watcher::Error>> + Send {
        let mut listed = self.listed;
        kube_runtime::watcher(self.api, self.config)
            .default_backoff()
            .modify(prune)
            .reflect(self.writer)
            .inspect_ok(move |event| match event {
                Event::InitDone => listed.tell(),
                Event::Delete(object) => gone(object),
                Event::Init | Event::InitApply(_) | Event::Apply(_) => {}
            })
            .applied_objects()
            .predicate_filter(changed, PredicateConfig::default())
    }
}

impl Listed {
    fn tell(&mut self) {
        self.part.set(true);
        if let Some(count) = self.count.take() {
            count.send_modify(|listed| *listed += 1);
        }
    }
}

/// Everything that asks for a pass: not our own status.
pub(super) fn any_change<K: Resource>() -> impl Predicate<K> + Send {
    predicates::generation
        .combine(predicates::annotations)
        .combine(predicates::finalizers)
        .combine(predicates::labels)
}

/// Four fifths of a stored resource are what others wrote about it.
fn prune<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
    if let Some(annotations) = &mut object.meta_mut().annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

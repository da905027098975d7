//! What makes a pass run before its time: ledgers, namespaces and admin Secrets that change.

use std::{convert::Infallible, future, sync::Arc};

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, Resource, ResourceExt as _, core::PartialObjectMeta};
use kube_runtime::{
    Predicate as _, WatchStreamExt as _, predicates,
    reflector::ObjectRef,
    watcher::{self, Event, watcher},
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::task::TaskTracker;

use super::watches::Watch;
use crate::{
    api::{
        annotations,
        connection::{ClusterConnection, Connection},
        machine_token::MachineToken,
    },
    reconcile::{Context, context::Nudges},
};

/// The other ends of [`Nudges`].
pub(super) struct Nudged {
    pub(super) tokens: UnboundedReceiver<ObjectRef<MachineToken>>,
    pub(super) cluster_connections: UnboundedReceiver<ObjectRef<ClusterConnection>>,
    pub(super) connections: UnboundedReceiver<ObjectRef<Connection>>,
}

pub(super) fn nudges() -> (Nudges, Nudged) {
    let (tokens, of_tokens) = unbounded_channel();
    let (cluster_connections, of_cluster_connections) = unbounded_channel();
    let (connections, of_connections) = unbounded_channel();
    let ends = Nudged {
        tokens: of_tokens,
        cluster_connections: of_cluster_connections,
        connections: of_connections,
    };
    (
        Nudges {
            tokens,
            cluster_connections,
            connections,
        },
        ends,
    )
}

/// A namespace whose labels change, or that is going, concerns every token in it.
pub(super) async fn follow_namespaces(
    watch: Watch<PartialObjectMeta<Namespace>>,
    ctx: Arc<Context>,
) -> Infallible {
    let changed = predicates::labels.combine(is_going);
    endless(watch.follow(changed, |_| {}), |namespace| {
        let name = namespace.name_any();
        for token in ctx.stores.tokens.state() {
            if token.namespace().as_ref() == Some(&name) {
                ctx.nudges.token(&name, &token.name_any());
            }
        }
    })
    .await
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of a predicate")]
fn is_going<K: Resource>(object: &K) -> Option<u64> {
    Some(u64::from(object.meta().deletion_timestamp.is_some()))
}

/// Secrets of the operator's own namespace that are no ledgers may hold admin credentials.
pub(super) async fn follow_auth_secrets(ctx: Arc<Context>) -> Infallible {
    let secrets = own_secrets(&ctx);
    let selector = format!(
        "{}!={}",
        annotations::COMPONENT,
        annotations::COMPONENT_LEDGER
    );
    let changes = watcher(secrets, watcher::Config::default().labels(&selector));
    endless(changes.default_backoff().touched_objects(), |secret| {
        let name = secret.name_any();
        for connection in ctx.stores.cluster_connections.state() {
            let errova = connection.spec.settings.errova();
            let auth = errova.and_then(|errova| errova.bearer());
            if auth.is_ok_and(|reference| reference.name == name) {
                let _ = ctx
                    .nudges
                    .cluster_connections
                    .send(ObjectRef::from_obj(&*connection));
            }
        }
    })
    .await
}

/// Follows ledger metadata; returns when the first list is in.
pub(super) async fn watch_ledgers(ctx: &Arc<Context>, tasks: &TaskTracker) {
    let (listed, first) = tokio::sync::oneshot::channel();
    let ctx = ctx.clone();
    tasks.spawn(async move {
        let selector = format!(
            "{}={}",
            annotations::COMPONENT,
            annotations::COMPONENT_LEDGER
        );
        let config = watcher::Config::default().labels(&selector);
        let mut events = watcher(own_secrets(&ctx), config).default_backoff().boxed();
        let mut listed = Some(listed);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = ctx.stopping.cancelled() => return,
            };
            let Some(Ok(event)) = event else { continue };
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

fn own_secrets(ctx: &Context) -> Api<PartialObjectMeta<Secret>> {
    Api::namespaced(ctx.client.0.clone(), &ctx.namespace)
}

/// Errors of a watch are followed by another try; there is no end but that of the process.
async fn endless<K>(
    objects: impl Stream<Item = Result<K, watcher::Error>>,
    mut each: impl FnMut(K),
) -> Infallible {
    let objects = objects.filter_map(|object| future::ready(object.ok()));
    objects
        .for_each(|object| {
            each(object);
            future::ready(())
        })
        .await;
    future::pending().await
}

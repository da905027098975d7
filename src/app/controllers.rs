//! The controllers of all kinds.
//!
//! They run any number of passes: a pass costs little until it acts, and what it does then is bounded by
//! [`Context::slots`] and by its connection's budget. A bound here would let many passes that wait for a
//! slow provider stand in front of one that has to revoke.

use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream};
use kube_runtime::Controller;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    triggers::{self, Nudged},
    watches::{Watches, any_change},
};
use crate::{
    api::connection::{ClusterConnection, Connection},
    reconcile::{
        Context,
        connection::{self, AnyConnection},
        machine_token,
    },
};

/// Runs until the process is asked to stop and the passes in flight have ended.
pub(super) async fn run(ctx: Arc<Context>, watches: Watches, nudged: Nudged) {
    let stop = || ctx.stopping.clone().cancelled_owned();
    let tokens = Controller::for_stream(
        watches.tokens.follow(any_change(), |_| {}),
        ctx.stores.tokens.clone(),
    )
    .reconcile_on(received(nudged.tokens))
    .graceful_shutdown_on(stop())
    .run(
        machine_token::reconcile,
        machine_token::on_error,
        ctx.clone(),
    );
    let of_the_cluster = Controller::for_stream(
        watches
            .cluster_connections
            .follow(any_change(), forget(&ctx)),
        ctx.stores.cluster_connections.clone(),
    )
    .reconcile_on(received(nudged.cluster_connections))
    .graceful_shutdown_on(stop())
    .run(
        connection::reconcile::<ClusterConnection>,
        connection::on_error,
        ctx.clone(),
    );
    let of_namespaces = Controller::for_stream(
        watches.connections.follow(any_change(), forget(&ctx)),
        ctx.stores.connections.clone(),
    )
    .reconcile_on(received(nudged.connections))
    .graceful_shutdown_on(stop())
    .run(
        connection::reconcile::<Connection>,
        connection::on_error,
        ctx.clone(),
    );
    let namespaces = triggers::follow_namespaces(watches.namespaces, ctx.clone());
    let secrets = triggers::follow_auth_secrets(ctx.clone());
    let all = async { futures::join!(drain(tokens), drain(of_the_cluster), drain(of_namespaces)) };
    tokio::select! {
        _ = all => {}
        never = async { futures::join!(namespaces, secrets) } => match never.0 {},
    }
}

/// A connection that is gone is not asked for anything any more, and its series end.
fn forget<K: AnyConnection>(ctx: &Arc<Context>) -> impl Fn(&K) + Send + 'static {
    let ctx = ctx.clone();
    move |connection| {
        let described = connection.describe();
        ctx.connections.forget(&described.key());
        ctx.metrics.forget_connection(&described.full_name());
    }
}

async fn drain(outcomes: impl Stream) {
    outcomes.for_each(|_| std::future::ready(())).await;
}

fn received<T: Send + 'static>(receiver: UnboundedReceiver<T>) -> impl Stream<Item = T> + Send {
    stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|item| (item, receiver))
    })
}

//! What an issue and a restart cost, by the audit logs of both sides.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use handover::simulator::{AuditEntry, Operation};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    audit::{self, Request},
    place::Place,
    plane,
    world::{OPERATOR_USER, World},
};

const PATIENCE: Duration = Duration::from_secs(60);

const SETTLED: usize = 50;

/// Longer than a watch needs to bring everything, and every pass that follows from it.
const QUIET: Duration = Duration::from_secs(3);

/// The operator's requests about resources, but for Events, reviews of its rights and connections.
fn of_resources(world: &World, since: Timestamp) -> Vec<Request> {
    let mut requests = audit::read(&world.plane);
    requests.retain(|request| {
        let apart = matches!(
            &*request.resource,
            "events" | "selfsubjectaccessreviews" | "clusterconnections" | "connections"
        );
        request.user == OPERATOR_USER && request.began > since && !apart
    });
    requests
}

/// What the provider was asked for the sake of tokens: not whether the admin's is accepted.
fn of_tokens(place: &Place, since: usize) -> Vec<AuditEntry> {
    let admin = place.provider.errova.truth().remove(0).id;
    let mut calls = place.provider.errova.audit_since(since);
    calls.retain(|call| {
        let check = call.op == Some(Operation::AuthCheck) && call.caller.as_ref() == Some(&admin);
        !check
    });
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_issue_and_a_restart_cost_what_they_must() {
    if plane::is_off() {
        return;
    }
    let world = Arc::new(World::install(&["first", "many"]).await);
    world.start(1);
    first_issue(&Place::new(&world, "first").await).await;
    restart(&Place::new(&world, "many").await).await;
}

async fn first_issue(place: &Place) {
    connected(place).await;
    let (begun, calls) = so_far(place);
    place.ask("ci", json!({})).await.unwrap();
    let ready = async || place.is_ready("ci").await;
    place.until(PATIENCE, "the token is ready", ready).await;
    sleep(QUIET).await;
    let requests = of_resources(&place.world, begun);
    let writes = requests.iter().filter(|request| request.is_write()).count();
    let rehearsals = requests.iter().filter(|request| request.is_dry_run).count();
    let looks = requests
        .iter()
        .filter(|request| request.verb == "get")
        .count();
    let calls = of_tokens(place, calls).len();
    eprintln!(
        "first issue: {writes} writes, {rehearsals} dry-run, {looks} read, {calls} provider calls"
    );
    assert!(
        writes <= 6 && rehearsals == 1 && looks <= 1,
        "{requests:#?}"
    );
    assert_eq!(calls, 2);
}

async fn restart(place: &Place) {
    connected(place).await;
    for n in 0..SETTLED {
        place.ask(&format!("token-{n}"), json!({})).await.unwrap();
    }
    let settled = async || {
        let mut tokens = (0..SETTLED).map(|n| format!("token-{n}"));
        let ready = stream::iter(&mut tokens).all(async |name| place.is_ready(&name).await);
        ready.await
    };
    place
        .until(PATIENCE, "all tokens are settled", settled)
        .await;
    sleep(QUIET).await; // what still comes back from the watches is not about the restart
    let (begun, calls) = so_far(place);
    place.world.stop().await;
    place.world.start(1);
    let checked = async || place.provider.errova.audit().len() > calls;
    place
        .until(PATIENCE, "the new process asks for its connection", checked)
        .await;
    sleep(QUIET).await;
    let requests = of_resources(&place.world, begun);
    let writes: Vec<_> = requests
        .iter()
        .filter(|request| request.is_write())
        .collect();
    let calls = of_tokens(place, calls);
    eprintln!(
        "restart with {SETTLED} tokens: {} writes, {} provider writes; {} requests in all",
        writes.len(),
        calls.len(),
        requests.len()
    );
    assert!(writes.is_empty(), "{writes:#?}");
    assert!(calls.is_empty(), "{calls:#?}");
}

async fn connected(place: &Place) {
    let works = async || {
        place
            .connection_ready()
            .await
            .is_some_and(|c| c.status == "True")
    };
    place.until(PATIENCE, "the connection works", works).await;
}

/// Now, and how much the provider's log holds.
fn so_far(place: &Place) -> (Timestamp, usize) {
    let errova = &place.provider.errova;
    (errova.clock().now(), errova.audit().len())
}

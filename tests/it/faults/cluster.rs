//! Faults of the API server while a value is in memory only, and when the target is written.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use handover::simulator::Operation;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::{HOUR, MINUTE, SECOND};
use crate::support::{
    apiserver::{Phase, RequestInfo, Verb, Verdict},
    oracle::{Bounds, Oracle},
    user::in_virtual_time,
    world::{OPERATOR, TENANT, World},
};

/// Everything goes wrong in this way from the answer to the create on, for so long.
async fn while_in_memory(name: &str, verdict: Verdict, lasting: std::time::Duration) {
    let world = World::started().await;
    let oracle = Oracle::watch(&world, "ci", Bounds::usual());
    let (bad, done) = (Arc::new(AtomicBool::new(false)), world.now());
    let is_bad = bad.clone();
    world.on_request(move |request, phase| {
        let strikes = phase == Phase::Before && concerns_ledgers(request);
        if strikes && is_bad.load(Ordering::SeqCst) {
            verdict
        } else {
            Verdict::Pass
        }
    });
    let begins = bad.clone();
    world.on_call(move |call, phase| {
        if call.nonce.is_some() && phase == Phase::After {
            begins.store(true, Ordering::SeqCst);
        }
        crate::support::wire::Crossing::Pass
    });
    world.token("ci", json!({}));
    world
        .until(MINUTE, name, |_| bad.load(Ordering::SeqCst))
        .await;
    world.pass(lasting).await;
    bad.store(false, Ordering::SeqCst);
    world.until(HOUR, name, |w| w.is_settled("ci")).await;
    oracle.assert_kept(name);
    let ledger = world.ledger("ci").unwrap();
    assert_eq!(world.live().len(), 1 + ledger.abandoned.len(), "{name}");
    assert_eq!(
        (ledger.attempt.0, world.calls(Operation::TokenCreate).len()),
        (1, 1),
        "{name}: the value was kept in memory since {done} and stored\n{}",
        oracle.story()
    );
}

fn concerns_ledgers(request: &RequestInfo) -> bool {
    request.client.starts_with("operator")
        && request.namespace.as_deref() == Some(OPERATOR)
        && request.verb != Verb::Watch
}

#[test]
fn a_13_a_value_in_memory_is_stored_once_the_api_server_is_back() {
    for (name, verdict) in [
        ("409", Verdict::Fail(409)),
        ("422 of a webhook", Verdict::Fail(422)),
        ("403, quota or rights", Verdict::Fail(403)),
        ("500", Verdict::Fail(500)),
        ("connections break", Verdict::LoseRequest),
        ("answers get lost", Verdict::LoseResponse),
        ("no answer", Verdict::Delay(MINUTE)),
    ] {
        in_virtual_time(while_in_memory(name, verdict, SECOND * 3));
        in_virtual_time(while_in_memory(name, verdict, MINUTE * 5));
    }
}

/// The n-th write of the target by the operator, once.
fn on_target_write(world: &World, verdict: Verdict, phase: Phase) -> Arc<AtomicUsize> {
    let writes = Arc::new(AtomicUsize::new(0));
    let count = writes.clone();
    world.on_request(move |request, now| {
        let target = request.client.starts_with("operator")
            && request.resource == "secrets"
            && request.namespace.as_deref() == Some(TENANT)
            && request.verb.writes()
            && !request.dry_run;
        if target && now == phase && count.fetch_add(1, Ordering::SeqCst) == 0 {
            verdict
        } else {
            Verdict::Pass
        }
    });
    writes
}

#[test]
fn a_target_that_could_not_be_written_is_written_later_without_another_create() {
    for (name, verdict, phase) in [
        ("409", Verdict::Fail(409), Phase::Before),
        ("500", Verdict::Fail(500), Phase::Before),
        ("500 afterwards", Verdict::Fail(500), Phase::After),
        ("403", Verdict::Fail(403), Phase::Before),
        ("422", Verdict::Fail(422), Phase::Before),
        ("lost", Verdict::LoseRequest, Phase::Before),
        ("answer lost", Verdict::LoseResponse, Phase::After),
        (
            "too slow for the fence",
            Verdict::Delay(SECOND * 12),
            Phase::Before,
        ),
    ] {
        for rotation in [false, true] {
            in_virtual_time(async {
                let world = World::started().await;
                let oracle = Oracle::watch(&world, "ci", Bounds::usual());
                let spec = json!({ "rotation": { "overlap": "5m" } });
                if rotation {
                    let first = world.issued("ci", spec).await;
                    let writes = on_target_write(&world, verdict, phase);
                    world.ask_rotation("ci");
                    let done =
                        |w: &World| w.is_settled("ci") && w.value("ci").as_ref() != Some(&first);
                    world.until(HOUR, name, done).await;
                    assert!(writes.load(Ordering::SeqCst) > 0, "{name}");
                } else {
                    on_target_write(&world, verdict, phase);
                    world.token("ci", spec);
                    world.until(HOUR, name, |w| w.is_settled("ci")).await;
                }
                oracle.assert_kept(name);
                let creates = world.calls(Operation::TokenCreate).len();
                assert_eq!(creates, 1 + usize::from(rotation), "{name}");
            });
        }
    }
}

#[test]
fn a_51_a_foreign_secret_that_appears_before_the_first_delivery_is_left_alone() {
    in_virtual_time(async {
        let world = World::started().await;
        let oracle = Oracle::watch(&world, "ci", Bounds::usual());
        let api = world.api.clone();
        world.on_call(move |call, phase| {
            if call.nonce.is_some() && phase == Phase::After {
                api.apply_as_user(&foreign());
            }
            crate::support::wire::Crossing::Pass
        });
        world.token("ci", json!({}));
        world
            .until(MINUTE * 5, "refused", |w| w.reason("ci") == "TargetForeign")
            .await;
        world.pass(HOUR).await;
        assert_eq!(world.value("ci").as_deref(), Some("theirs"));
        assert_eq!(world.calls(Operation::TokenCreate).len(), 1);
        world.api.delete_as_user::<Secret>(TENANT, "ci");
        world.until(HOUR, "delivered", |w| w.is_settled("ci")).await;
        oracle.assert_kept("foreign");
        assert_eq!(world.calls(Operation::TokenCreate).len(), 1);
    });
}

fn foreign() -> Secret {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "ci", "namespace": TENANT },
        "stringData": {}, "data": { "token": "dGhlaXJz" },
    }))
    .unwrap()
}

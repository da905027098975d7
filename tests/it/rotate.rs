//! When a token is replaced, how often, and what its predecessor waits for.

use std::time::Duration;

use handover::{
    api::{annotations, machine_token::MachineToken},
    simulator::Operation,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::support::{
    oracle::{Bounds, Oracle},
    user::in_virtual_time,
    world::{TENANT, World},
};

mod gates; // what the predecessor waits for

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn next_rotation(world: &World) -> Timestamp {
    let status = world.get("ci").unwrap().status.unwrap();
    status.credential.unwrap().next_rotation.unwrap().0
}

async fn replaced(world: &World, limit: Duration, before: &str) -> String {
    world
        .until(limit, "replaced", |w| {
            w.value("ci").is_some_and(|value| value != before)
        })
        .await;
    world.value("ci").unwrap()
}

async fn settled(world: &World) {
    world
        .until(HOUR * 3, "settled", |w| w.is_settled("ci"))
        .await;
}

fn many() -> Bounds {
    Bounds {
        creates: 40,
        ..Bounds::usual()
    }
}

#[test]
fn a_25_a_26_every_due_rotation_begins_in_time_and_leaves_one_credential() {
    for rhythm in [
        json!({ "every": "6h", "overlap": "5m" }),
        json!({ "schedule": "0 3 * * *", "timeZone": "Europe/Berlin", "overlap": "5m" }),
    ] {
        in_virtual_time(async {
            let world = World::started().await;
            let oracle = Oracle::watch(&world, "ci", many());
            let mut value = world.issued("ci", json!({ "rotation": rhythm })).await;
            for _ in 0..5 {
                let due = next_rotation(&world);
                let left = due.duration_since(world.now()).unsigned_abs();
                value = replaced(&world, left + MINUTE, &value).await;
                let late = world.now().duration_since(due).unsigned_abs();
                assert!(late <= Duration::from_secs(5), "{late:?} after {due}");
                settled(&world).await;
            }
            oracle.assert_kept("rhythm");
            assert_eq!(world.live().len(), 1);
            assert_eq!(world.calls(Operation::TokenCreate).len(), 6);
        });
    }
}

#[test]
fn a_29_an_instant_is_a_level_that_repeats_nothing() {
    in_virtual_time(async {
        let world = World::started().await;
        let oracle = Oracle::watch(&world, "ci", many());
        let spec = json!({ "rotation": { "overlap": "5m" } });
        let first = world.issued("ci", spec).await;
        world.pass(MINUTE).await;
        let instant = in_whole_seconds(&world, 0);
        world.pass(MINUTE).await;
        world.edit("ci", &json!({ "rotation": { "issuedAfter": instant } }));
        let second = replaced(&world, MINUTE, &first).await;
        settled(&world).await;
        for level in [
            Value::Null,
            json!(instant),
            json!("2026-11-01T00:00:00Z"),
            json!(instant),
        ] {
            world.edit("ci", &json!({ "rotation": { "issuedAfter": level } }));
            world.pass(MINUTE * 10).await;
            assert_eq!(world.value("ci").as_ref(), Some(&second), "{level}");
        }
        // One in the future is an appointment.
        let later = in_whole_seconds(&world, 3 * 3600);
        world.edit("ci", &json!({ "rotation": { "issuedAfter": later } }));
        world.pass(MINUTE * 179).await;
        assert_eq!(world.value("ci").as_ref(), Some(&second));
        replaced(&world, MINUTE * 2, &second).await;
        settled(&world).await;
        oracle.assert_kept("level");
        assert_eq!(world.calls(Operation::TokenCreate).len(), 3);
    });
}

fn in_whole_seconds(world: &World, ahead: i64) -> String {
    let second = world.now().as_second() + ahead;
    Timestamp::from_second(second).unwrap().to_string()
}

#[test]
fn a_29_the_connections_instant_concerns_every_token_once() {
    in_virtual_time(async {
        let world = World::started().await;
        let spec = json!({ "rotation": { "overlap": "5m" } });
        let first = world.issued("ci", spec.clone()).await;
        let other = world.issued("other", spec).await;
        world.pass(MINUTE).await;
        let instant = in_whole_seconds(&world, 0);
        world.edit_connection(&json!({ "issuedAfter": instant }));
        replaced(&world, MINUTE * 2, &first).await;
        world
            .until(MINUTE * 2, "the other", |w| {
                w.value("other").as_ref() != Some(&other)
            })
            .await;
        world.pass(DAY).await;
        assert_eq!(world.calls(Operation::TokenCreate).len(), 4);
        assert_eq!(world.live().len(), 2);
    });
}

#[test]
fn a_30_one_request_causes_one_rotation_whatever_happens_meanwhile() {
    in_virtual_time(async {
        let mut world = World::started().await;
        let oracle = Oracle::watch(&world, "ci", many());
        let spec = json!({ "rotation": { "overlap": "5m" } });
        let first = world.issued("ci", spec).await;
        world.ask_rotation("ci");
        let asked = annotation(&world);
        let second = replaced(&world, MINUTE, &first).await;
        for _ in 0..3 {
            world.stop().await;
            world.start();
            world.api.drop_watches();
            label(&world);
            world.pass(MINUTE * 4).await;
        }
        settled(&world).await;
        world.pass(HOUR).await;
        oracle.assert_kept("request");
        assert_eq!(world.value("ci"), Some(second));
        assert_eq!(world.calls(Operation::TokenCreate).len(), 2);
        let status = world.get("ci").unwrap().status.unwrap();
        assert_eq!(status.last_handled_rotate_at, asked);
    });
}

#[test]
fn a_30_after_two_requests_the_credential_in_use_is_younger_than_both() {
    in_virtual_time(async {
        let world = World::started().await;
        let oracle = Oracle::watch(&world, "ci", many());
        let spec = json!({ "rotation": { "overlap": "5m" } });
        let first = world.issued("ci", spec).await;
        for pause in [0, 3, 300, 900] {
            world.ask_rotation("ci");
            world.pass(Duration::from_millis(pause)).await;
            world.ask_rotation("ci");
            let asked = world.now();
            let done = |w: &World| {
                let current = w.ledger("ci").and_then(|l| l.current);
                w.is_settled("ci") && current.is_some_and(|c| c.origin.at >= asked)
            };
            world.until(HOUR, "younger than both", done).await;
        }
        oracle.assert_kept("two requests");
        assert!(!world.errova.authenticates(&first));
        assert_eq!(world.live().len(), 1);
    });
}

#[test]
fn a_request_from_the_far_future_does_nothing() {
    in_virtual_time(async {
        let world = World::started().await;
        let first = world.issued("ci", json!({})).await;
        let far = in_whole_seconds(&world, 3600);
        let patch = json!({"metadata": {"annotations": {annotations::ROTATE_REQUESTED_AT: far}}});
        world
            .api
            .patch_as_user::<MachineToken>(TENANT, "ci", &patch);
        world.pass(MINUTE * 30).await;
        assert_eq!(world.value("ci"), Some(first));
    });
}

fn annotation(world: &World) -> Option<String> {
    let annotations = world.get("ci").unwrap().metadata.annotations?;
    annotations.get(annotations::ROTATE_REQUESTED_AT).cloned()
}

/// A change that says nothing to us.
fn label(world: &World) {
    let patch =
        json!({ "metadata": { "labels": { "team": world.now().as_second().to_string() } } });
    world
        .api
        .patch_as_user::<MachineToken>(TENANT, "ci", &patch);
}

#[test]
fn a_32_a_credential_with_an_end_is_replaced_in_time_and_never_expires() {
    in_virtual_time(async {
        let world = World::started().await;
        let oracle = Oracle::watch(&world, "ci", many());
        let mut value = world.issued("ci", json!({ "expiresAfter": "3d" })).await;
        for _ in 0..2 {
            let end = world
                .ledger("ci")
                .unwrap()
                .current
                .unwrap()
                .origin
                .expires_at
                .unwrap();
            let due = next_rotation(&world);
            let room = end.duration_since(due).as_hours();
            assert!((25..36).contains(&room), "{room} h before the end");
            value = replaced(&world, DAY * 2, &value).await;
            settled(&world).await;
        }
        oracle.assert_kept("expiry");
        assert_eq!(world.live().len(), 1);
    });
}

#[test]
fn a_120_an_end_that_the_provider_cannot_keep_is_kept_by_handover() {
    in_virtual_time(async {
        let world = World::started().await;
        let spec = json!({
            "expiresAfter": "1d",
            "rotation": { "beforeExpiry": "Never" },
        });
        let first = world.issued("ci", spec).await;
        let shown = world.get("ci").unwrap().status.unwrap().credential.unwrap();
        assert_eq!(
            serde_json::to_value(shown.expiry_by).unwrap(),
            json!("Handover")
        );
        world.pass(MINUTE * 1439).await;
        assert!(world.errova.authenticates(&first));
        world.pass(MINUTE * 2).await;
        assert!(!world.errova.authenticates(&first), "{}", world.story());
    });
}

#[test]
fn a_119_after_any_edits_the_last_spec_holds_and_nothing_outdated_was_promoted() {
    // Edits after so many milliseconds: before, within and after each step of a rotation.
    for pause in [0, 1, 3, 5, 7, 9, 11, 15, 40, 60_000, 299_000, 301_000] {
        in_virtual_time(async {
            let world = World::started().await;
            let oracle = Oracle::watch(&world, "ci", many());
            let spec = json!({ "rotation": { "overlap": "5m" } });
            world.issued("ci", spec).await;
            let admin = ["org.admin"].as_slice();
            for scopes in [admin, &["org.read", "org.admin"], &["org.read"], admin] {
                world.edit("ci", &json!({ "scopes": scopes }));
                world.pass(Duration::from_millis(pause)).await;
            }
            let done = |w: &World| w.is_settled("ci") && scopes(w) == admin;
            world.until(HOUR * 3, "settled", done).await;
            oracle.assert_kept(&format!("edits every {pause} ms"));
            let truth = world.errova.truth();
            let alive = truth.iter().filter(|one| one.authenticates).count();
            assert_eq!(alive, 2, "{pause}: the operator's own and this one");
        });
    }
}

/// The scopes of the one credential that lives.
fn scopes(world: &World) -> Vec<String> {
    let current = world.ledger("ci").and_then(|l| l.current);
    let truth = world.errova.truth().into_iter();
    let in_use = current.map(|c| c.origin.id.to_string());
    let mut same = truth.filter(|one| Some(&one.id) == in_use.as_ref());
    same.next().map(|one| one.scopes).unwrap_or_default()
}

//! What others do to the target and to the ledger.

use std::time::Duration;

use handover::{api::annotations, simulator::Operation};
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use serde_json::{Value, json};

use super::support::{
    oracle::{Bounds, Oracle},
    user::in_virtual_time,
    world::{TENANT, World},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_01_a_damaged_target_is_rewritten_from_the_ledger_without_a_provider_call() {
    let label = annotations::COMPONENT;
    for (name, patch) in [
        ("edited", json!({ "data": { "token": "dGhlaXJz" } })),
        ("emptied", json!({ "data": { "token": "" } })),
        ("one key gone", json!({ "data": { "token": null } })),
        ("one key more", json!({ "data": { "more": "dGhlaXJz" } })),
        (
            "its epoch raised",
            json!({ "metadata": { "annotations": { annotations::EPOCH: "9" } } }),
        ),
        (
            "its MAC gone",
            json!({ "metadata": { "annotations": { annotations::MAC: null } } }),
        ),
        (
            "its label gone",
            json!({ "metadata": { "labels": { label: null } } }),
        ),
        ("deleted", Value::Null),
    ] {
        in_virtual_time(async {
            let world = World::started().await;
            let oracle = Oracle::watch(&world, "ci", Bounds::usual());
            let value = world.issued("ci", json!({})).await;
            world.pass(MINUTE).await;
            let calls = world.errova.audit().len();
            if patch.is_null() {
                world.api.delete_as_user::<Secret>(TENANT, "ci");
            } else {
                world.edit_target("ci", &patch);
            }
            let whole = |w: &World| {
                let target: Option<Secret> = w.api.get(TENANT, "ci");
                let keys = target.map_or(0, |t| t.data.unwrap_or_default().len());
                w.value("ci").as_ref() == Some(&value) && keys == 2 && w.is_settled("ci")
            };
            world.until(Duration::from_secs(11), name, whole).await;
            world.pass(MINUTE).await;
            oracle.assert_kept(name);
            let calls = world.errova.audit_since(calls);
            let calls = calls.iter().filter(|call| !world.is_check(call)).count();
            assert_eq!(calls, 0, "{name}");
        });
    }
}

#[test]
fn a_target_that_someone_fights_over_is_restored_at_most_every_ten_seconds() {
    in_virtual_time(async {
        let world = World::started().await;
        let value = world.issued("ci", json!({})).await;
        for _ in 0..600 {
            world.edit_target("ci", &json!({ "data": { "token": "dGhlaXJz" } }));
            world.pass(Duration::from_secs(1)).await;
        }
        let writes = world.api.count(|entry| {
            let request = &entry.request;
            request.client.starts_with("operator")
                && request.namespace.as_deref() == Some(TENANT)
                && request.resource == "secrets"
                && request.verb.writes()
                && !request.dry_run
        });
        assert!((30..=64).contains(&writes), "{writes} in ten minutes");
        assert_eq!(world.calls(Operation::TokenCreate).len(), 1);
        world
            .until(MINUTE, "restored", |w| {
                w.value("ci").as_ref() == Some(&value)
            })
            .await;
    });
}

#[test]
fn a_02_a_lost_ledger_is_made_anew_from_an_intact_target() {
    in_virtual_time(async {
        let world = World::started().await;
        let spec = json!({ "rotation": { "overlap": "5m" } });
        let value = world.issued("ci", spec).await;
        world.pass(MINUTE).await;
        world.delete_ledger("ci");
        world
            .until(MINUTE, "rebuilt", |w| {
                w.ledger("ci").is_some() && w.is_settled("ci")
            })
            .await;
        assert_eq!(world.value("ci"), Some(value.clone()));
        assert_eq!(world.calls(Operation::TokenCreate).len(), 1);
        let oracle = Oracle::watch(&world, "ci", Bounds::usual());
        world.ask_rotation("ci");
        world
            .until(HOUR, "rotated", |w| {
                w.is_settled("ci") && w.value("ci").as_ref() != Some(&value)
            })
            .await;
        oracle.assert_kept("rebuilt");
        assert_eq!(world.live().len(), 1);
    });
}

#[test]
fn a_02_a_lost_ledger_and_a_damaged_target_cost_one_replacement() {
    in_virtual_time(async {
        let mut world = World::started().await;
        let value = world.issued("ci", json!({})).await;
        world.stop().await;
        world.delete_ledger("ci");
        world.edit_target("ci", &json!({ "data": { "token": "dGhlaXJz" } }));
        world.start();
        world
            .until(MINUTE * 2, "replaced", |w| w.is_settled("ci"))
            .await;
        world.pass(HOUR * 3).await;
        assert_eq!(world.calls(Operation::TokenCreate).len(), 2);
        assert!(
            world.errova.authenticates(&value),
            "nobody proved that it is unused"
        );
    });
}

#[test]
fn a_damaged_ledger_stops_its_token_and_harms_nothing() {
    in_virtual_time(async {
        let world = World::started().await;
        let value = world.issued("ci", json!({})).await;
        let secrets: Vec<Secret> = world.api.list();
        let ledger = secrets
            .into_iter()
            .filter_map(|secret| secret.metadata.name)
            .find(|name| name.starts_with("ledger-"))
            .unwrap();
        let patch = json!({ "metadata": { "annotations": { annotations::LEDGER: "{" } } });
        world
            .api
            .patch_as_user::<Secret>("handover-system", &ledger, &patch);
        world.ask_rotation("ci");
        world.pass(HOUR).await;
        assert!(world.errova.authenticates(&value));
        assert_eq!(world.value("ci"), Some(value));
        assert_eq!(world.calls(Operation::TokenDelete).len(), 0);
    });
}

#[test]
fn an_event_tells_of_a_damage_and_of_its_repair() {
    in_virtual_time(async {
        let world = World::started().await;
        world.issued("ci", json!({})).await;
        world.pass(MINUTE).await;
        world.api.delete_as_user::<Secret>(TENANT, "ci");
        world.pass(MINUTE).await;
        let events: Vec<Event> = world.api.list();
        let reasons: Vec<_> = events.into_iter().filter_map(|e| e.reason).collect();
        assert!(
            reasons.contains(&"TargetRestored".to_owned()),
            "{reasons:?}"
        );
    });
}

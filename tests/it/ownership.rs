//! Secrets that are not ours, and tokens that want the same one.

use std::time::Duration;

use handover::{api::annotations, simulator::Operation};
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use super::support::{
    user::in_virtual_time,
    world::{TENANT, World},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn foreign(world: &World, metadata: &Value) {
    let mut secret: Secret = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": metadata, "data": { "token": "dGhlaXJz" },
    }))
    .unwrap();
    secret.metadata.name = Some("ci".to_owned());
    secret.metadata.namespace = Some(TENANT.to_owned());
    world.api.apply_as_user(&secret);
}

fn requests(world: &World) -> usize {
    world.api.count(|entry| {
        let request = &entry.request;
        request.client.starts_with("operator")
            && (request.verb.writes() || request.resource == "secrets")
            && request.verb.as_str() != "watch"
            && request.name.as_deref() != Some("errova-admin")
    })
}

#[test]
fn a_51_a_secret_of_somebody_else_is_left_alone_and_its_owner_named() {
    let owner = json!([{ "apiVersion": "v1", "kind": "Widget", "name": "gears", "uid": "1" }]);
    let label = json!({ annotations::COMPONENT: annotations::COMPONENT_TARGET });
    for (metadata, named) in [
        (json!({}), ""),
        (json!({ "ownerReferences": owner }), "Widget gears"),
        (
            json!({ "labels": { annotations::MANAGED_BY: "Helm" } }),
            "Helm",
        ),
        (json!({ "labels": label }), ""),
    ] {
        in_virtual_time(async {
            let world = World::started().await;
            foreign(&world, &metadata);
            let before: Secret = world.api.get(TENANT, "ci").unwrap();
            world.token("ci", json!({}));
            world
                .until(MINUTE, "refused", |w| w.reason("ci") == "TargetForeign")
                .await;
            world.pass(MINUTE).await;
            let spent = requests(&world);
            world.pass(HOUR).await;
            // It is not watched: asked for once a minute, by a rehearsal and a look.
            assert!(requests(&world) - spent <= 122, "{}", world.story());
            let (_, _, message) = world.condition("ci", "Ready").unwrap();
            assert!(message.contains(named), "{message}");
            assert_eq!(world.api.get::<Secret>(TENANT, "ci").unwrap(), before);
            assert_eq!(world.calls(Operation::TokenCreate).len(), 0);
            world.api.delete_as_user::<Secret>(TENANT, "ci");
            world
                .until(MINUTE * 11, "issued", |w| w.is_settled("ci"))
                .await;
        });
    }
}

#[test]
fn a_53_the_second_of_two_tokens_with_one_target_stalls_before_any_create() {
    in_virtual_time(async {
        let world = World::started().await;
        let value = world.issued("ci", json!({})).await;
        world.token("twin", json!({ "secret": { "name": "ci" } }));
        world
            .until(MINUTE, "refused", |w| w.reason("twin") == "TargetForeign")
            .await;
        world.pass(MINUTE).await;
        let (_, _, message) = world.condition("twin", "Ready").unwrap();
        assert!(message.contains("MachineToken ci"), "{message}");
        let spent = requests(&world);
        world.pass(HOUR).await;
        assert!(requests(&world) - spent <= 2, "{}", world.story());
        assert_eq!(world.calls(Operation::TokenCreate).len(), 1);
        assert_eq!(world.value("ci"), Some(value.clone()));
        world.delete("twin");
        world
            .until(MINUTE, "gone", |w| w.get("twin").is_none())
            .await;
        world.pass(HOUR).await;
        assert_eq!(
            world.value("ci"),
            Some(value),
            "the twin takes nothing along"
        );
        assert!(world.is_settled("ci"));
    });
}

#[test]
fn two_tokens_with_one_target_applied_at_once_end_with_one_owner() {
    in_virtual_time(async {
        let world = World::started().await;
        world.token("one", json!({ "secret": { "name": "ci" } }));
        world.token("two", json!({ "secret": { "name": "ci" } }));
        world.pass(HOUR).await;
        let ready = ["one", "two"].map(|name| world.is_ready(name));
        assert!(ready[0] != ready[1], "{}", world.story());
        let value = world.value("ci").unwrap();
        assert!(world.errova.authenticates(&value));
        for name in ["one", "two"] {
            world.delete(name);
        }
        world
            .until(HOUR, "gone", |w| {
                w.live().is_empty() && w.ledgers().is_empty()
            })
            .await;
        assert_eq!(world.api.get::<Secret>(TENANT, "ci"), None);
    });
}

#[test]
fn an_immutable_target_is_reported_and_the_credential_in_use_stays() {
    in_virtual_time(async {
        let world = World::started().await;
        let value = world.issued("ci", json!({})).await;
        world.edit_target("ci", &json!({ "immutable": true }));
        world.ask_rotation("ci");
        let reported = |w: &World| {
            w.condition("ci", "Ready")
                .is_some_and(|(_, _, message)| message.contains("immutable"))
        };
        world.until(MINUTE, "reported", reported).await;
        world.pass(HOUR).await;
        assert_eq!(world.value("ci"), Some(value.clone()));
        assert!(world.errova.authenticates(&value));
        assert_eq!(world.calls(Operation::TokenCreate).len(), 1);
        world.delete("ci");
        world
            .until(MINUTE, "gone", |w| {
                w.ledgers().is_empty() && w.live().is_empty()
            })
            .await;
    });
}

#[test]
fn a_target_cannot_be_renamed_and_says_so() {
    in_virtual_time(async {
        let world = World::started().await;
        let value = world.issued("ci", json!({})).await;
        world.edit("ci", &json!({ "secret": { "name": "elsewhere" } }));
        world
            .until(MINUTE, "refused", |w| w.reason("ci") == "SpecInvalid")
            .await;
        assert_eq!(world.value("ci"), Some(value.clone()));
        assert_eq!(world.api.get::<Secret>(TENANT, "elsewhere"), None);
        world.edit("ci", &json!({ "secret": { "name": null } }));
        world.until(MINUTE, "ready", |w| w.is_settled("ci")).await;
        assert_eq!(world.value("ci"), Some(value));
    });
}

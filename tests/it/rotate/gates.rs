//! What keeps the credential before the current one alive: the overlap, and the Pods that hold it.

use k8s_openapi::api::core::v1::{Pod, Secret};
use serde_json::{Value, json};

use super::{HOUR, MINUTE, replaced};
use crate::support::{
    apiserver::Verb,
    oracle::{Bounds, Oracle},
    user::in_virtual_time,
    world::{TENANT, World},
};

/// A Pod that runs since now.
fn pod(world: &World, name: &str, spec: &Value) {
    let pod: Pod = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": TENANT },
        "spec": spec,
    }))
    .unwrap();
    world.api.apply_as_user(&pod);
    let started = world.now().to_string();
    let status = json!({ "phase": "Running", "startTime": started });
    world.api.patch_status_as_user::<Pod>(TENANT, name, &status);
}

fn container(more: &Value) -> Value {
    let mut container = json!({ "name": "app", "image": "app" });
    let fields = more.as_object().unwrap().clone();
    container.as_object_mut().unwrap().extend(fields);
    container
}

fn by_env() -> Value {
    let env = json!({ "env": [{ "name": "T", "valueFrom": {
        "secretKeyRef": { "name": "ci", "key": "token" } } }] });
    json!({ "containers": [container(&env)] })
}

fn by_env_from() -> Value {
    let from = json!({ "envFrom": [{ "secretRef": { "name": "ci" } }] });
    json!({ "initContainers": [container(&from)], "containers": [container(&json!({}))] })
}

fn by_sub_path() -> Value {
    let mount = json!({ "volumeMounts": [{ "name": "v", "mountPath": "/t", "subPath": "token" }] });
    json!({ "containers": [container(&mount)], "volumes": [volume()] })
}

fn by_volume() -> Value {
    let mount = json!({ "volumeMounts": [{ "name": "v", "mountPath": "/t" }] });
    json!({ "containers": [container(&mount)], "volumes": [volume()] })
}

fn volume() -> Value {
    json!({ "name": "v", "secret": { "secretName": "ci" } })
}

fn without() -> Value {
    let env = json!({ "env": [{ "name": "T", "valueFrom": {
        "secretKeyRef": { "name": "other", "key": "token" } } }] });
    json!({ "containers": [container(&env)] })
}

#[test]
fn a_40_a_41_a_pod_that_reads_once_keeps_the_old_one_alive_until_it_is_replaced() {
    for (name, spec) in [
        ("env", by_env()),
        ("env-from", by_env_from()),
        ("sub-path", by_sub_path()),
    ] {
        in_virtual_time(async {
            let world = World::started().await;
            let oracle = Oracle::watch(&world, "ci", Bounds::usual());
            let rotation = json!({ "rotation": { "overlap": "5m" } });
            let first = world.issued("ci", rotation).await;
            pod(&world, name, &spec);
            pod(&world, "bystander", &without());
            world.pass(MINUTE).await;
            world.ask_rotation("ci");
            replaced(&world, MINUTE, &first).await;
            world.pass(HOUR * 5).await;
            assert!(world.errova.authenticates(&first), "{name}");
            assert!(world.is_ready("ci"), "{name}");
            let (_, _, message) = world.condition("ci", "RotationBlocked").unwrap();
            assert!(
                message.contains(name) && !message.contains("bystander"),
                "{message}"
            );
            world.api.delete_as_user::<Pod>(TENANT, name);
            pod(&world, "successor", &spec);
            world
                .until(HOUR, "revoked by itself", |w| w.is_settled("ci"))
                .await;
            oracle.assert_kept(name);
            assert!(!world.errova.authenticates(&first), "{name}");
            assert_eq!(world.condition("ci", "RotationBlocked"), None);
        });
    }
}

#[test]
fn a_41_a_plain_volume_has_followed_when_the_overlap_is_over() {
    in_virtual_time(async {
        let world = World::started().await;
        let rotation = json!({ "rotation": { "overlap": "5m" } });
        let first = world.issued("ci", rotation).await;
        pod(&world, "mount", &by_volume());
        world.pass(MINUTE).await;
        world.ask_rotation("ci");
        replaced(&world, MINUTE, &first).await;
        world
            .until(MINUTE * 6, "revoked", |w| w.is_settled("ci"))
            .await;
    });
}

#[test]
fn without_gates_the_overlap_alone_decides() {
    in_virtual_time(async {
        let world = World::started().await;
        let rotation = json!({ "rotation": { "overlap": "5m", "waitFor": [] } });
        let first = world.issued("ci", rotation).await;
        pod(&world, "env", &by_env());
        world.ask_rotation("ci");
        replaced(&world, MINUTE, &first).await;
        world.pass(MINUTE * 4).await;
        assert!(world.errova.authenticates(&first));
        world
            .until(MINUTE * 2, "revoked", |w| w.is_settled("ci"))
            .await;
    });
}

#[test]
fn pods_that_may_not_be_listed_keep_both_alive_and_status_says_what_to_grant() {
    in_virtual_time(async {
        let world = World::started().await;
        let rotation = json!({ "rotation": { "overlap": "5m" } });
        let first = world.issued("ci", rotation).await;
        world.api.deny(Verb::List, "pods", None);
        world.ask_rotation("ci");
        replaced(&world, MINUTE, &first).await;
        world.pass(HOUR).await;
        assert!(world.errova.authenticates(&first));
        let (_, _, message) = world.condition("ci", "RotationBlocked").unwrap();
        assert!(message.contains("rbac.pods"), "{message}");
        world.api.allow(Verb::List, "pods", None);
        world.until(HOUR, "revoked", |w| w.is_settled("ci")).await;
    });
}

#[test]
fn an_overlap_begins_anew_when_the_target_is_damaged_meanwhile() {
    in_virtual_time(async {
        let world = World::started().await;
        let oracle = Oracle::watch(&world, "ci", Bounds::usual());
        let rotation = json!({ "rotation": { "overlap": "5m" } });
        let first = world.issued("ci", rotation).await;
        world.ask_rotation("ci");
        replaced(&world, MINUTE, &first).await;
        world.pass(MINUTE * 4).await;
        world.api.delete_as_user::<Secret>(TENANT, "ci");
        let damaged = world.now();
        world.until(HOUR, "revoked", |w| w.is_settled("ci")).await;
        let held = world.now().duration_since(damaged);
        assert!(held.as_mins() >= 5, "only {held:#} after the repair");
        oracle.assert_kept("damaged");
        assert!(!world.errova.authenticates(&first));
    });
}

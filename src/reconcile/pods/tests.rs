//! Every way in which a Pod can refer to a Secret.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::*;
use crate::ledger::fixtures::{HOUR, MINUTE, NOON, ahead};

/// A Pod with this spec, created at noon.
fn pod(spec: &Value) -> Pod {
    let pod = json!({
        "metadata": { "name": "web", "creationTimestamp": "2026-03-10T12:00:00Z" },
        "spec": spec,
    });
    serde_json::from_value(pod).unwrap()
}

/// How a Pod of one container, changed by these fields, reads the Secret `ci`: once, or not only once.
fn reads(container: &Value, spec: &Value) -> Option<bool> {
    let mut whole = json!({ "containers": [{ "name": "main" }] });
    merge(&mut whole["containers"][0], container);
    merge(&mut whole, spec);
    pod_use(&pod(&whole), "ci").map(|found| found.reads_once)
}

fn merge(into: &mut Value, from: &Value) {
    let fields = from.as_object().unwrap().clone();
    into.as_object_mut().unwrap().extend(fields);
}

fn env(name: &str) -> Value {
    json!({ "env": [
        { "name": "PLAIN", "value": "x" },
        { "name": "TOKEN", "valueFrom": { "secretKeyRef": { "name": name, "key": "token" } } },
    ] })
}

fn env_from(name: &str) -> Value {
    json!({ "envFrom": [{ "configMapRef": { "name": "ci" } }, { "secretRef": { "name": name } }] })
}

fn volume(name: &str) -> Value {
    json!({ "volumes": [{ "name": "v", "secret": { "secretName": name } }] })
}

fn projected(name: &str) -> Value {
    let sources = json!([{ "configMap": { "name": "ci" } }, { "secret": { "name": name } }]);
    json!({ "volumes": [{ "name": "v", "projected": { "sources": sources } }] })
}

fn mount(field: &str) -> Value {
    json!({ "volumeMounts": [{ "name": "v", "mountPath": "/v", field: "token" }] })
}

#[test]
fn every_way_of_reading_is_seen_for_what_it_is() {
    let none = json!({});
    let pull = |name: &str| json!({ "imagePullSecrets": [{ "name": name }] });
    let init = |container: &Value| {
        let mut first = json!({ "name": "first" });
        merge(&mut first, container);
        json!({ "initContainers": [first] })
    };
    let config = json!({ "volumes": [{ "name": "v", "configMap": { "name": "ci" } }] });
    let (once, again) = (Some(true), Some(false));
    for (case, container, spec, expected) in [
        ("nothing", none.clone(), none.clone(), None),
        ("env", env("ci"), none.clone(), once),
        ("env of another", env("other"), none.clone(), None),
        ("envFrom", env_from("ci"), none.clone(), once),
        ("envFrom of another", env_from("other"), none.clone(), None),
        (
            "env of an init container",
            none.clone(),
            init(&env("ci")),
            once,
        ),
        (
            "envFrom of an init container",
            none.clone(),
            init(&env_from("ci")),
            once,
        ),
        ("a volume", none.clone(), volume("ci"), again),
        ("a volume of another", none.clone(), volume("other"), None),
        (
            "a volume that is mounted",
            json!({ "volumeMounts": [{ "name": "v", "mountPath": "/v" }] }),
            volume("ci"),
            again,
        ),
        ("a subPath", mount("subPath"), volume("ci"), once),
        ("a subPathExpr", mount("subPathExpr"), volume("ci"), once),
        (
            "a subPath of another volume",
            mount("subPath"),
            volume("other"),
            None,
        ),
        ("a projected volume", none.clone(), projected("ci"), again),
        (
            "a projected volume of another",
            none.clone(),
            projected("other"),
            None,
        ),
        (
            "a subPath of a projected volume",
            mount("subPath"),
            projected("ci"),
            once,
        ),
        ("a ConfigMap of that name", none.clone(), config, None),
        ("images are pulled with it", none.clone(), pull("ci"), again),
        ("images are pulled with another", none, pull("other"), None),
    ] {
        assert_eq!(reads(&container, &spec), expected, "{case}");
    }
}

#[test]
fn only_a_pod_that_has_ended_does_not_count() {
    let phase = |phase: Option<&str>| {
        let mut pod = pod(&volume("ci"));
        pod.status.get_or_insert_default().phase = phase.map(ToOwned::to_owned);
        pod_use(&pod, "ci").is_some()
    };
    assert!(!phase(Some("Succeeded")) && !phase(Some("Failed")));
    for alive in [None, Some("Pending"), Some("Running"), Some("Unknown")] {
        assert!(phase(alive), "{alive:?}");
    }
}

#[test]
fn a_pod_counts_from_its_creation_or_from_a_start_that_no_clock_of_a_node_can_feign() {
    let mut pod = pod(&volume("ci"));
    let since = |pod: &Pod| pod_use(pod, "ci").unwrap().since;
    assert_eq!(since(&pod), NOON);
    let start = |pod: &mut Pod, at| pod.status.get_or_insert_default().start_time = Some(Time(at));
    start(&mut pod, ahead(MINUTE * 4));
    assert_eq!(since(&pod), NOON, "the node may be ahead");
    start(&mut pod, ahead(HOUR));
    assert_eq!(since(&pod), ahead(HOUR - MINUTE * 5));
    pod.status = None;
    pod.metadata.creation_timestamp = None;
    assert_eq!(since(&pod), Timestamp::MIN, "unknown is as old as can be");
}

//! The definitions on a real API server: what it adds, what it keeps, and how it refuses.

use std::path::Path;

use handover::{
    api,
    sandbox::{
        control_plane::{ADMIN, ControlPlane, Options},
        progress::Progress,
    },
    yaml,
};
use serde_json::{Value, json};

use crate::plane;

/// A control plane of its own: the definitions are cluster-wide.
async fn plane_with_definitions() -> ControlPlane {
    let plane = ControlPlane::start(plane::assets(), Options::default(), Progress::stderr())
        .await
        .unwrap();
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let apply = ["apply", "--server-side", "-f", crds.to_str().unwrap()];
    plane.kubectl(ADMIN, &apply).await.unwrap();
    for crd in api::crds() {
        let name = format!("crd/{}", crd.metadata.name.unwrap());
        let wait = [
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            &name,
        ];
        plane.kubectl(ADMIN, &wait).await.unwrap();
    }
    plane
}

/// Applies objects and says what the API server says.
async fn apply(plane: &ControlPlane, objects: &[Value]) -> Result<(), String> {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), yaml::print_all(objects).unwrap()).unwrap();
    let path = file.path().to_str().unwrap();
    let applied = plane
        .kubectl(ADMIN, &["apply", "--server-side", "-f", path])
        .await;
    applied.map(drop).map_err(|error| error.to_string())
}

fn examples() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sandbox");
    let mut files: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let texts = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap());
    texts
        .flat_map(|text| yaml::read_all::<Value>(&text).unwrap())
        .collect()
}

/// The live object, by kind and name.
async fn live(plane: &ControlPlane, object: &Value) -> Value {
    let kind = object["kind"].as_str().unwrap();
    let name = object["metadata"]["name"].as_str().unwrap();
    let namespace = object["metadata"]["namespace"]
        .as_str()
        .unwrap_or("default");
    let get = [
        "get",
        kind,
        name,
        "--namespace",
        namespace,
        "--output",
        "json",
    ];
    let text = plane.kubectl(ADMIN, &get).await.unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn definitions_keep_what_is_written_and_refuse_what_is_wrong() {
    if plane::is_off() {
        return;
    }
    let plane = plane_with_definitions().await;
    let examples = examples();
    apply(&plane, &examples).await.unwrap();
    let ours: Vec<&Value> = examples
        .iter()
        .filter(|object| object["apiVersion"] == "handover.dev/v1alpha1")
        .collect();
    assert_eq!(ours.len(), 2);
    for object in ours {
        let live = live(&plane, object).await;
        assert_eq!(
            live["spec"], object["spec"],
            "A-75: nothing is added to a spec"
        );
        assert_eq!(
            live["status"]["observedGeneration"], -1,
            "A-77: nobody has looked yet"
        );
        assert_eq!(live["status"]["conditions"][0]["status"], "Unknown");
        for (change, message) in refusals(object["kind"].as_str().unwrap()) {
            let mut changed = object.clone();
            json_patch::merge(&mut changed["spec"], &change);
            let refused = apply(&plane, &[changed]).await.unwrap_err();
            assert!(refused.contains(message), "{change}: {refused}");
        }
    }
    let printed = plane
        .kubectl(ADMIN, &["get", "mt", "--all-namespaces"])
        .await
        .unwrap();
    assert!(
        printed.contains("NEXT-ROTATION") && printed.contains("Pending"),
        "{printed}"
    );
    let chosen = [
        "get",
        "mt",
        "-A",
        "-o",
        "name",
        "--field-selector",
        "spec.connectionRef.name=acme",
    ];
    assert!(
        plane
            .kubectl(ADMIN, &chosen)
            .await
            .unwrap()
            .contains("ci-deploy")
    );
}

/// Changes that the schema, not a rule, refuses, and a rule whose message quotes values.
fn refusals(kind: &str) -> Vec<(Value, &'static str)> {
    match kind {
        "MachineToken" => vec![
            (
                json!({"rotation": {"every": "1h30m"}}),
                "spec.rotation.every",
            ),
            (
                json!({"rotation": {"issuedAfter": "2026-02-30T00:00:00Z"}}),
                "spec.rotation.issuedAfter",
            ),
            (
                json!({"rotation": {"issuedAfter": "2026-02-01T00:00:00+01:00"}}),
                "spec.rotation.issuedAfter",
            ),
            (
                json!({"rotation": {"waitFor": ["LastUsed"]}}),
                "supported values: \"Pods\"",
            ),
            (
                json!({"rotation": {"waitFor": ["Pods", "Pods"]}}),
                "duplicate",
            ),
            (json!({"scopes": []}), "spec.scopes"),
            (json!({"displayName": "a\u{7}b"}), "spec.displayName"),
            (
                json!({"connectionRef": {"kind": "Secret"}}),
                "spec.connectionRef.kind",
            ),
            (
                json!({"connectionRef": {"namespace": "db"}}),
                "field not declared in schema",
            ),
            (
                json!({"secret": {"keys": {"a": "password"}}}),
                "spec.secret.keys.a",
            ),
            (
                json!({"rotation": {"overlap": "2h"}}),
                "rotation.overlap (2h) must be shorter than rotation.every (1h)",
            ),
        ],
        _ => vec![
            (
                json!({"provider": {"errova": {"organization": ".."}}}),
                "spec.provider.errova.organization",
            ),
            (json!({"maxUnresolved": 101}), "spec.maxUnresolved"),
            (
                json!({"requests": {"perMinute": 0}}),
                "spec.requests.perMinute",
            ),
            (json!({"provider": {"errova": null}}), "provider"),
            (
                json!({"access": [{"namespaces": {"names": []}}]}),
                "spec.access[0].namespaces.names",
            ),
            (
                json!({"access": [{"kinds": ["Secret"]}]}),
                "spec.access[0].kinds[0]",
            ),
        ],
    }
}

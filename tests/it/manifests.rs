//! What is generated is what is stored, and the rules of the CRDs answer as written.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and its helpers with it"
)]

use std::{env, fs, path::PathBuf};

use handover::{
    api::{
        self, Invalid,
        connection::{ClusterConnection, Connection},
        machine_token::MachineToken,
    },
    yaml,
};
use kube::core::cel::Validator;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

mod examples; // the manifests that users start from

/// Where a generated file is, below the package.
fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Compares a stored file with what the code generates, or stores it when asked to.
fn assert_current(name: &str, generated: &str) {
    #[expect(clippy::disallowed_methods, reason = "the switch of this test")]
    let update = env::var("UPDATE_GENERATED").is_ok();
    if update {
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        fs::write(path(name), generated).unwrap();
    }
    let stored = fs::read_to_string(path(name)).unwrap_or_default();
    assert!(
        stored == generated,
        "{name} is out of date. Run: UPDATE_GENERATED=1 cargo test --test it manifests"
    );
}

/// The schema of the kind of an object.
fn schema_of(object: &Value) -> Value {
    let kind = object["kind"].as_str().unwrap();
    let crd = api::crds()
        .into_iter()
        .find(|crd| crd.spec.names.kind == kind)
        .unwrap();
    let schema = crd.spec.versions[0].schema.as_ref().unwrap();
    serde_json::to_value(schema.open_api_v3_schema.as_ref().unwrap()).unwrap()
}

/// What the CEL rules of a kind say about an object, perhaps after another one.
fn cel_messages(object: &Value, old: Option<&Value>) -> Vec<String> {
    let answer = Validator::new().validate(&schema_of(object), object, old);
    answer.err().map_or_else(Vec::new, |errors| {
        errors
            .into_vec()
            .into_iter()
            .map(|error| error.message)
            .collect()
    })
}

/// What the operator says about an object that the API server has let through, and what its types keep
/// of the spec.
fn twin(object: &Value) -> (Result<(), Invalid>, Value) {
    fn read<K: DeserializeOwned>(object: &Value) -> K {
        serde_json::from_value(object.clone()).unwrap()
    }
    fn kept(spec: &impl Serialize) -> Value {
        serde_json::to_value(spec).unwrap()
    }
    match object["kind"].as_str().unwrap() {
        "MachineToken" => {
            let token: MachineToken = read(object);
            (token.validate(), kept(&token.spec))
        }
        "Connection" => {
            let connection: Connection = read(object);
            (connection.spec.validate(), kept(&connection.spec))
        }
        _ => {
            let connection: ClusterConnection = read(object);
            (connection.spec.validate(), kept(&connection.spec))
        }
    }
}

/// `change` laid over `base`; `null` removes a field.
fn patched(mut base: Value, change: &Value) -> Value {
    json_patch::merge(&mut base, change);
    base
}

fn token(change: &Value) -> Value {
    let token = json!({
        "apiVersion": "handover.dev/v1alpha1",
        "kind": "MachineToken",
        "metadata": {"name": "ci-deploy", "namespace": "web"},
        "spec": {"connectionRef": {"kind": "ClusterConnection", "name": "acme"}, "scopes": ["org.read"]},
    });
    patched(token, &json!({"spec": change}))
}

fn connection(kind: &str, change: &Value) -> Value {
    let connection = json!({
        "apiVersion": "handover.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "acme"},
        "spec": {"provider": {"errova": {
            "organization": "acme-inc",
            "auth": {"bearer": {"secretRef": {"name": "errova-admin", "key": "token"}}},
        }}},
    });
    patched(connection, &json!({"spec": change}))
}

/// No rule answers, the operator agrees, and its types lose nothing of the spec.
fn assert_accepted(object: &Value) {
    assert_eq!(cel_messages(object, None), [""; 0], "{object}");
    assert_eq!(twin(object), (Ok(()), object["spec"].clone()));
}

/// One rule answers, in these words, and the operator says the same.
fn assert_refused(object: &Value, message: &str) {
    assert_eq!(cel_messages(object, None), [message], "{object}");
    assert_eq!(twin(object).0.unwrap_err().message, message, "{object}");
}

#[test]
fn the_stored_definitions_are_the_generated_ones() {
    for crd in api::crds() {
        let plural = crd.spec.names.plural.clone();
        let text = yaml::print(&crd).unwrap();
        assert_current(&format!("crds/{plural}.yaml"), &text);
        assert_current(&format!("charts/handover/files/crds/{plural}.yaml"), &text);
    }
}

#[test]
fn no_definition_is_too_large_for_a_client_side_apply() {
    for crd in api::crds() {
        let bytes = serde_json::to_vec(&crd).unwrap().len();
        assert!(bytes < 256 * 1024, "{}: {bytes} bytes", crd.spec.names.kind);
    }
}

#[test]
fn a_77_a_resource_that_no_operator_has_seen_is_not_current() {
    for crd in api::crds() {
        let crd = serde_json::to_value(crd).unwrap();
        let status =
            &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
        let unseen = &status["default"];
        assert_eq!(unseen["observedGeneration"], -1);
        assert_eq!(unseen["conditions"][0]["type"], "Ready");
        assert_eq!(unseen["conditions"][0]["status"], "Unknown");
        assert_eq!(unseen["conditions"][0]["reason"], "Pending");
    }
}

/// Calls `visit` with every schema below `schema` and its path.
fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&Value, &str)) {
    visit(schema, path);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        walk(field, &format!("{path}.{name}"), visit);
    }
    for (key, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[key].is_object() {
            walk(&schema[key], &format!("{path}{suffix}"), visit);
        }
    }
}

#[test]
fn every_field_is_described_bounded_and_without_a_default_in_spec() {
    for crd in api::crds() {
        let crd = serde_json::to_value(crd).unwrap();
        let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        walk(
            root,
            crd["spec"]["names"]["kind"].as_str().unwrap(),
            &mut |schema, path| {
                let is_field = !path.ends_with([']', '}']);
                assert!(
                    !is_field || schema["description"].is_string(),
                    "{path} has no description"
                );
                assert!(schema["nullable"].is_null(), "{path} may be null");
                assert!(
                    path.ends_with(".status") || schema["default"].is_null(),
                    "{path} has a default"
                );
                let bound = match schema["type"].as_str().unwrap() {
                    "string" => ["maxLength", "enum", "format"]
                        .iter()
                        .any(|b| !schema[b].is_null()),
                    "array" => schema["maxItems"].is_u64(),
                    "object" if schema["additionalProperties"].is_object() => {
                        schema["maxProperties"].is_u64()
                    }
                    _ => true,
                };
                assert!(bound, "{path} has no bound");
            },
        );
    }
}

#[test]
fn good_tokens_are_accepted() {
    for change in [
        json!({}),
        json!({"rotation": {"every": "30d"}}),
        json!({"rotation": {"every": "1h", "overlap": "5m", "waitFor": []}}),
        json!({"rotation": {"every": "61m"}}),
        json!({"rotation": {"every": "30d", "overlap": "1d"}, "expiresAfter": "90d"}),
        json!({"rotation": {"schedule": "0 3 * * 1", "timeZone": "Europe/Berlin"}, "expiresAfter": "30d"}),
        json!({"rotation": {"issuedAfter": "2026-11-22T10:00:00Z", "beforeExpiry": "Never"}}),
        json!({"rotation": {"overlap": "5m"}, "expiresAfter": "6m"}),
        json!({"rotation": {}, "secret": {}}),
        json!({"expiresAfter": "61m"}),
        json!({"secret": {"name": "ci", "type": "Opaque", "keys": {"ERROVA_TOKEN": "token", "id": "id"}}}),
        json!({"secret": {"labels": {"app.kubernetes.io/name": "ci"},
            "annotations": {"reloader.stakater.com/match": "true"}}}),
    ] {
        assert_accepted(&token(&change));
    }
}

#[test]
fn bad_tokens_are_refused_in_words_that_help() {
    for (change, message) in [
        (
            json!({"rotation": {"every": "30d", "schedule": "0 3 * * 1"}}),
            "rotation.every and rotation.schedule exclude each other: remove one of them",
        ),
        (
            json!({"rotation": {"every": "30d", "timeZone": "UTC"}}),
            "rotation.timeZone means nothing without rotation.schedule: remove it, or write a schedule instead of every",
        ),
        (
            json!({"rotation": {"every": "3599s", "overlap": "5m"}}),
            "rotation.every (3599s) is below the floor of 1h: write 1h or more",
        ),
        (
            json!({"rotation": {"every": "30d", "overlap": "299s"}}),
            "rotation.overlap (299s) is below the floor of 5m: write 5m or more",
        ),
        (
            json!({"rotation": {"every": "1h"}}),
            "rotation.overlap (1h, the default) must be shorter than rotation.every (1h): write a shorter overlap",
        ),
        (
            json!({"rotation": {"every": "30d", "overlap": "720h"}}),
            "rotation.overlap (720h) must be shorter than rotation.every (30d): write a shorter overlap",
        ),
        (
            json!({"rotation": {"every": "30d"}, "expiresAfter": "720h"}),
            "rotation.every (30d) must be shorter than expiresAfter (720h): write a shorter every or a longer expiresAfter",
        ),
        (
            json!({"rotation": {"overlap": "2d"}, "expiresAfter": "1d"}),
            "rotation.overlap (2d) must be shorter than expiresAfter (1d): write a shorter overlap or a longer expiresAfter",
        ),
        (
            json!({"expiresAfter": "1h"}),
            "rotation.overlap (1h, the default) must be shorter than expiresAfter (1h): write a shorter overlap or a longer expiresAfter",
        ),
        (
            json!({"secret": {"type": "kubernetes.io/service-account-token"}}),
            "secret.type (kubernetes.io/service-account-token) gives rights and is refused: use Opaque",
        ),
        (
            json!({"secret": {"name": "ledger-machinetoken-1"}}),
            "secret.name (ledger-machinetoken-1) is reserved: choose another name",
        ),
        (
            json!({"secret": {"keys": {"two words": "token"}}}),
            "secret.keys: a key of a Secret has letters, digits, '-', '_' and '.' only, at most 253: rename it",
        ),
        (
            json!({"secret": {"labels": {"app.kubernetes.io/instance": "web"}}}),
            "secret.labels: keys of Argo CD, Flux, Helm, kubectl, Kubernetes and Handover are refused: remove them",
        ),
        (
            json!({"secret": {"annotations": {"argocd.argoproj.io/tracking-id": "web"}}}),
            "secret.annotations: keys of Argo CD, Flux, Helm, kubectl, Kubernetes and Handover are refused: remove them",
        ),
    ] {
        assert_refused(&token(&change), message);
    }
}

#[test]
fn the_name_of_a_token_is_checked_where_it_becomes_the_name_of_its_secret() {
    let named = |secret: &Value| {
        let change = json!({"metadata": {"name": "handover-instance"}, "spec": {"secret": secret}});
        patched(token(&json!({})), &change)
    };
    assert_refused(
        &named(&Value::Null),
        "metadata.name (handover-instance) is reserved as the name of a Secret: write another spec.secret.name",
    );
    assert_accepted(&named(&json!({"name": "ci"})));
}

#[test]
fn good_connections_are_accepted() {
    for change in [
        json!({}),
        json!({"url": "https://errova.example.com:8443/api/"}),
        json!({"url": "http://127.0.0.1:8080"}),
        json!({"maxUnresolved": 0, "requests": {"perMinute": 600, "inFlight": 8, "timeout": "1m"}}),
        json!({"issuedAfter": "2026-11-22T10:00:00Z"}),
    ] {
        assert_accepted(&connection("Connection", &change));
        assert_accepted(&connection("ClusterConnection", &change));
    }
    for namespaces in [
        json!({"names": ["web"]}),
        json!({"all": true}),
        json!({"selector": {"matchLabels": {"team": "web"}}}),
        json!({"selector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}}),
    ] {
        let access = json!({"access": [{"namespaces": namespaces, "scopes": ["org.read"]}]});
        assert_accepted(&connection("ClusterConnection", &access));
    }
    let ceilings = json!({"access": [{"scopes": ["org.read"], "maxLifetime": "90d"}]});
    assert_accepted(&connection("Connection", &ceilings));
}

#[test]
fn bad_connections_are_refused_in_words_that_help() {
    let parts = "url may have no userinfo, query or fragment: remove it; credentials belong into the Secret of provider.errova.auth";
    let shape = "url must be a scheme, a host, perhaps a port and a path, such as https://api.errova.com/api: correct it";
    for (change, message) in [
        (
            json!({"provider": {"errova": null}}),
            "provider needs exactly one block: write errova",
        ),
        (
            json!({"provider": {"errova": {"auth": {"bearer": null}}}}),
            "provider.errova.auth needs exactly one scheme: write bearer",
        ),
        (
            json!({"url": "ftp://api.errova.com"}),
            "url must begin with https:// or http://: correct the scheme",
        ),
        (json!({"url": "https://user:hunter2@api.errova.com"}), parts),
        (
            json!({"url": "https://api.errova.com/api?key=hunter2"}),
            parts,
        ),
        (json!({"url": "https://api.errova.com/api#top"}), parts),
        (json!({"url": "https:///api"}), shape),
        (json!({"url": "https://api errova.com/api"}), shape),
        (
            json!({"requests": {"timeout": "2m"}}),
            "requests.timeout (2m) is above the ceiling of 60s: write 60s or less",
        ),
    ] {
        assert_refused(&connection("Connection", &change), message);
        assert_refused(&connection("ClusterConnection", &change), message);
    }
}

#[test]
fn bad_access_rules_are_refused_in_words_that_help() {
    let one =
        "access.namespaces needs exactly one of names, selector, all: keep the one that is meant";
    let empty = "access.namespaces.selector is empty and would select every namespace: name labels, or write all: true";
    for (rule, message) in [
        (
            json!({"scopes": ["org.read"]}),
            "access.namespaces is required in every rule of a ClusterConnection: write names, selector or all: true",
        ),
        (json!({"namespaces": {}}), one),
        (json!({"namespaces": {"names": ["web"], "all": true}}), one),
        (json!({"namespaces": {"selector": {}}}), empty),
        (
            json!({"namespaces": {"selector": {"matchLabels": {}}}}),
            empty,
        ),
        (
            json!({"namespaces": {"all": false}}),
            "access.namespaces.all can only be true: remove it, or use names or selector",
        ),
    ] {
        assert_refused(
            &connection("ClusterConnection", &json!({"access": [rule]})),
            message,
        );
    }
    let foreign = json!({"access": [{"namespaces": {"all": true}}]});
    assert_refused(
        &connection("Connection", &foreign),
        "access.namespaces has no meaning on a Connection, which serves its own namespace: remove it",
    );
}

#[test]
fn the_provider_of_a_connection_cannot_change() {
    let old = connection("Connection", &json!({}));
    let moved = connection(
        "Connection",
        &json!({"provider": {"errova": {"organization": "other"}}}),
    );
    assert_eq!(cel_messages(&moved, Some(&old)), [""; 0]);
    let gone = connection("Connection", &json!({"provider": {"errova": null}}));
    let answers = cel_messages(&gone, Some(&old));
    assert!(
        answers
            .iter()
            .any(|m| m.starts_with("provider cannot change")),
        "{answers:?}"
    );
}

#[test]
fn the_chart_has_the_version_of_the_package() {
    let chart = fs::read_to_string(path("charts/handover/Chart.yaml")).unwrap();
    let chart: Vec<Value> = yaml::read_all(&chart).unwrap();
    assert_eq!(chart[0]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart[0]["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn what_becomes_part_of_a_path_is_checked_by_the_operator_too() {
    for organization in ["", "..", "a/b", "acme inc", "acme?", "é"] {
        let errova = json!({"provider": {"errova": {"organization": organization}}});
        let refused = twin(&connection("Connection", &errova)).0.unwrap_err();
        assert_eq!(
            refused.field, "spec.provider.errova.organization",
            "{organization:?}"
        );
    }
}

//! The chart, rendered by a real Helm: its rights are the committed ones, and a real API server takes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::PathBuf,
};

use handover::{
    sandbox::{assets::Tool, control_plane::ADMIN},
    yaml,
};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::plane;

/// The ways to install it, as the committed table names them, and the values of each.
const MODES: &[(&str, &[&str])] = &[
    ("Default: the own namespace", &[]),
    (
        "`rbac.namespaces: [web]`",
        &["--set", "rbac.namespaces={web}"],
    ),
    (
        "`rbac.clusterWide: true`",
        &["--set", "rbac.clusterWide=true"],
    ),
];

const NAMESPACE: &str = "handover-system";

fn package(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What Helm says, and whether it agrees.
async fn helm(arguments: &[&str]) -> (bool, String) {
    let helm = plane::assets().path(Tool::Helm).await.unwrap();
    let output = Command::new(helm).args(arguments).output().await.unwrap();
    let text = if output.status.success() {
        output.stdout
    } else {
        output.stderr
    };
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// The chart for the oldest supported cluster.
pub(crate) async fn template(namespace: &str, values: &[&str]) -> (bool, String) {
    let chart = package("charts/handover");
    let mut arguments = vec!["template", "handover", chart.to_str().unwrap()];
    arguments.extend(["--namespace", namespace, "--kube-version", "1.33.0"]);
    arguments.extend(values);
    helm(&arguments).await
}

async fn render(namespace: &str, values: &[&str]) -> Vec<Value> {
    let (rendered, text) = template(namespace, values).await;
    assert!(rendered, "{text}");
    yaml::read_all(&text).unwrap()
}

/// Where, on what, and which verbs.
type Rights = BTreeMap<(String, String), BTreeSet<String>>;

fn texts(list: &Value) -> impl Iterator<Item = String> {
    list.as_array()
        .into_iter()
        .flatten()
        .map(|item| item.as_str().unwrap().to_owned())
}

/// What a list of rules grants somewhere.
fn grant(rights: &mut Rights, place: &str, rules: &Value) {
    for rule in rules.as_array().into_iter().flatten() {
        for (group, resource) in texts(&rule["apiGroups"])
            .flat_map(|g| texts(&rule["resources"]).map(move |r| (g.clone(), r)))
        {
            let what = if group.is_empty() {
                resource
            } else {
                format!("{resource}.{group}")
            };
            let verbs = rights.entry((place.to_owned(), what)).or_default();
            verbs.extend(texts(&rule["verbs"]));
        }
    }
}

/// What the operator's account may do, by every binding that names it.
fn operator_rights(objects: &[Value]) -> Rights {
    let mut rights = Rights::new();
    for binding in objects {
        let place = match binding["kind"].as_str() {
            Some("ClusterRoleBinding") => "everywhere",
            Some("RoleBinding") => binding["metadata"]["namespace"].as_str().unwrap(),
            _ => continue,
        };
        let account =
            json!([{"kind": "ServiceAccount", "name": "handover", "namespace": NAMESPACE}]);
        assert_eq!(binding["subjects"], account);
        let role = &binding["roleRef"];
        let bound = objects.iter().find(|object| {
            object["kind"] == role["kind"]
                && object["metadata"]["name"] == role["name"]
                && (role["kind"] == "ClusterRole"
                    || object["metadata"]["namespace"] == binding["metadata"]["namespace"])
        });
        grant(&mut rights, place, &bound.unwrap()["rules"]);
    }
    rights
}

/// What people get: the roles that the API server adds to its own.
fn user_rights(objects: &[Value]) -> Rights {
    let mut rights = Rights::new();
    for role in objects
        .iter()
        .filter(|object| object["kind"] == "ClusterRole")
    {
        let labels = role["metadata"]["labels"].as_object().unwrap();
        for (label, _) in labels
            .iter()
            .filter(|(key, _)| key.contains("/aggregate-to-"))
        {
            let (_, place) = label.split_once("/aggregate-to-").unwrap();
            grant(&mut rights, place, &role["rules"]);
        }
    }
    rights
}

fn table(title: &str, first: &str, rights: &Rights) -> String {
    let mut text = format!("\n## {title}\n\n| {first} | resource | verbs |\n|---|---|---|\n");
    for ((place, what), verbs) in rights {
        let verbs: Vec<&str> = verbs.iter().map(String::as_str).collect();
        writeln!(text, "| {place} | {what} | {} |", verbs.join(", ")).unwrap();
    }
    text
}

#[tokio::test]
async fn the_rights_of_every_mode_are_the_committed_ones() {
    if plane::is_off() {
        return;
    }
    let mut text =
        "# Rights that the chart grants\n\nGenerated from what Helm renders. The operator has no \
                    right that is not here.\n"
            .to_owned();
    for (title, values) in MODES {
        let objects = render(NAMESPACE, values).await;
        text.push_str(&table(title, "where", &operator_rights(&objects)));
    }
    let users = user_rights(&render(NAMESPACE, &[]).await);
    text.push_str(&table("People", "added to role", &users));

    let file = package("charts/handover/RIGHTS.md");
    #[expect(clippy::disallowed_methods, reason = "the switch of this test")]
    if std::env::var("UPDATE_GENERATED").is_ok() {
        fs::write(&file, &text).unwrap();
    }
    assert!(
        fs::read_to_string(file).unwrap_or_default() == text,
        "charts/handover/RIGHTS.md is out of date. Run: UPDATE_GENERATED=1 cargo test --test cluster chart"
    );
}

#[tokio::test]
async fn a_114_no_mode_but_the_cluster_wide_one_reaches_secrets_everywhere() {
    if plane::is_off() {
        return;
    }
    for (title, values) in MODES {
        let rights = operator_rights(&render(NAMESPACE, values).await);
        let everywhere = rights.get(&("everywhere".to_owned(), "secrets".to_owned()));
        let verbs: Vec<&str> = everywhere
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let expected: &[&str] = if values.contains(&"rbac.clusterWide=true") {
            &["create", "delete", "get", "patch", "update"]
        } else {
            &[]
        };
        assert_eq!(verbs, expected, "{title}");
        let powers = ["*", "escalate", "bind", "impersonate"];
        assert!(
            rights
                .values()
                .flatten()
                .all(|verb| !powers.contains(&verb.as_str())),
            "{title}"
        );
    }
}

#[tokio::test]
async fn helm_finds_nothing_to_complain_about() {
    if plane::is_off() {
        return;
    }
    let chart = package("charts/handover");
    let lint = [
        "lint",
        "--strict",
        "--kube-version",
        "1.33.0",
        chart.to_str().unwrap(),
    ];
    let (clean, text) = helm(&lint).await;
    assert!(clean, "{text}");
}

#[tokio::test]
async fn wrong_values_are_refused() {
    if plane::is_off() {
        return;
    }
    for value in [
        "foo=1",
        "rbac.namespaces={Web}",
        "concurrency=0",
        "image.digest=latest",
        "crds.keep=1",
    ] {
        let (rendered, text) = template(NAMESPACE, &["--set", value]).await;
        assert!(
            !rendered && text.contains("values don't meet"),
            "{value}: {text}"
        );
    }
}

#[tokio::test]
async fn the_definitions_are_kept_unless_someone_says_otherwise() {
    if plane::is_off() {
        return;
    }
    for (values, definitions, policy) in [
        (&[][..], 3, json!("keep")),
        (&["--set", "crds.keep=false"][..], 3, Value::Null),
        (&["--set", "crds.enabled=false"][..], 0, Value::Null),
    ] {
        let mut objects = render(NAMESPACE, values).await;
        objects.retain(|object| object["kind"] == "CustomResourceDefinition");
        assert_eq!(objects.len(), definitions, "{values:?}");
        for object in objects {
            assert_eq!(
                object["metadata"]["annotations"]["helm.sh/resource-policy"],
                policy
            );
        }
    }
}

#[tokio::test]
async fn the_api_server_takes_what_every_mode_renders() {
    if plane::is_off() {
        return;
    }
    let (_, namespace) = plane::namespace().await;
    let folder = tempfile::tempdir().unwrap();
    for (index, (title, values)) in MODES.iter().enumerate() {
        let values: Vec<String> = values
            .iter()
            .map(|v| v.replace("web", &namespace))
            .collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let (rendered, text) = template(&namespace, &values).await;
        assert!(rendered, "{text}");
        let file = folder.path().join(format!("{index}.yaml"));
        fs::write(&file, text).unwrap();
        let apply = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "-f",
        ];
        let arguments: Vec<&str> = apply.into_iter().chain([file.to_str().unwrap()]).collect();
        let plane = plane::plane().await;
        let applied = plane.kubectl(ADMIN, &arguments).await;
        assert!(applied.is_ok(), "{title}: {applied:?}");
    }
}

#[tokio::test]
async fn the_operator_is_admitted_where_pods_are_restricted() {
    if plane::is_off() {
        return;
    }
    let (client, namespace) = plane::namespace().await;
    let restricted =
        json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .patch(
            &namespace,
            &PatchParams::default(),
            &Patch::Merge(restricted),
        )
        .await
        .unwrap();

    let objects = render(&namespace, &[]).await;
    let deployment = objects
        .iter()
        .find(|object| object["kind"] == "Deployment")
        .unwrap();
    let template = deployment["spec"]["template"].clone();
    let mut pod: Pod = serde_json::from_value(template).unwrap();
    pod.metadata.name = Some("handover".to_owned());
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    pods.create(&dry_run, &pod).await.unwrap();
}

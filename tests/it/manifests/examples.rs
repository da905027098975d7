//! The manifests that users start from: made here, stored in `examples/`, and true.
//!
//! Each field carries the first sentence of its own documentation as a comment, so that an example
//! never says something else than `kubectl explain`.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and its helpers with it"
)]

use std::{collections::BTreeSet, fs};

use handover::{api, yaml};
use serde_json::{Value, json};

use super::{assert_accepted, assert_current, path, schema_of};

/// How wide comments are.
const WIDTH: usize = 100;

/// One file: its name, what it is for, and its objects.
struct Example {
    file: &'static str,
    about: &'static str,
    objects: Vec<Value>,
}

fn examples() -> Vec<Example> {
    [sandbox(), errova()].into_iter().flatten().collect()
}

fn example(file: &'static str, about: &'static str, objects: Vec<Value>) -> Example {
    Example {
        file,
        about,
        objects,
    }
}

/// What `cargo sandbox` plays its story with.
fn sandbox() -> Vec<Example> {
    vec![
        example(
            "sandbox/1-namespace.yaml",
            "The namespace of a team.",
            vec![namespace("web")],
        ),
        example(
            "sandbox/2-connection.yaml",
            "A provider account that the platform team offers to the namespace web. The sandbox makes \
             the Secret and writes the address of its simulator into url.",
            vec![cluster_connection(&json!({
                "provider": {"errova": {
                    "organization": "acme-inc",
                    "auth": {"bearer": {"secretRef": {"name": "errova-admin", "key": "tokenSecret"}}},
                }},
                "url": "http://127.0.0.1:8080/api",
                "access": [{"namespaces": {"names": ["web"]}, "scopes": ["org.read"]}],
            }))],
        ),
        example(
            "sandbox/3-token.yaml",
            "A token that is replaced every hour. The one before it stays valid for five minutes.",
            vec![machine_token(&json!({
                "connectionRef": {"kind": "ClusterConnection", "name": "acme"},
                "scopes": ["org.read"],
                "rotation": {"every": "1h", "overlap": "5m"},
                "secret": {"keys": {"token": "token"}},
            }))],
        ),
        example(
            "sandbox/4-consumer.yaml",
            "A workload that reads the token from a volume, where a new one appears by itself.",
            vec![deployment(&json!({
                "containers": [{
                    "name": "ci",
                    "image": "busybox:1.37",
                    "command": ["sh", "-c", "while sleep 60; do test -s /var/run/errova/token; done"],
                    "volumeMounts": [{"name": "errova", "mountPath": "/var/run/errova", "readOnly": true}],
                }],
                "volumes": [{"name": "errova", "secret": {"secretName": "ci-deploy"}}],
            }))],
        ),
    ]
}

/// A first real use.
fn errova() -> Vec<Example> {
    vec![
        example(
            "errova/1-admin-secret.yaml",
            "A machine token of Errova with the scope org.admin, made in its settings. Put it in place \
             of the text below; better, create the Secret with your own tool and leave this file out.",
            vec![json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "errova-admin", "namespace": "handover-system"},
                "stringData": {"tokenSecret": "REPLACE-ME"},
            })],
        ),
        example(
            "errova/2-connection.yaml",
            "The organization, and who may have what in it. Set organization, and the label by which \
             you tell the namespaces that may have tokens.",
            vec![cluster_connection(&json!({
                "provider": {"errova": {
                    "organization": "acme-inc",
                    "auth": {"bearer": {"secretRef": {"name": "errova-admin", "key": "tokenSecret"}}},
                }},
                "access": [{
                    "namespaces": {"selector": {"matchLabels": {"errova": "enabled"}}},
                    "scopes": ["org.read"],
                    "maxLifetime": "90d",
                }],
            }))],
        ),
        example(
            "errova/3-namespace.yaml",
            "A namespace with that label. The operator needs rights in it: name it in rbac.namespaces \
             of the chart.",
            vec![json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": "web", "labels": {"errova": "enabled"}},
            })],
        ),
        example(
            "errova/4-token.yaml",
            "The token, replaced every 30 days. It lives for 90 days at most, by the access rule.",
            vec![machine_token(&json!({
                "connectionRef": {"kind": "ClusterConnection", "name": "acme"},
                "displayName": "CI deploy token",
                "scopes": ["org.read"],
                "rotation": {"every": "30d", "overlap": "1h"},
                "secret": {"keys": {"ERROVA_TOKEN": "token"}},
            }))],
        ),
        example(
            "errova/5-workload.yaml",
            "A workload that gets the token as an environment variable. Such a Pod never sees a new \
             value: the token before stays valid until the Pods were restarted, for instance by kubectl \
             rollout restart.",
            vec![deployment(&json!({
                "containers": [{
                    "name": "ci",
                    "image": "busybox:1.37",
                    "command": ["sh", "-c", "while sleep 60; do test -n \"$ERROVA_TOKEN\"; done"],
                    "envFrom": [{"secretRef": {"name": "ci-deploy"}}],
                }],
            }))],
        ),
    ]
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

fn cluster_connection(spec: &Value) -> Value {
    json!({
        "apiVersion": "handover.dev/v1alpha1",
        "kind": "ClusterConnection",
        "metadata": {"name": "acme"},
        "spec": spec,
    })
}

fn machine_token(spec: &Value) -> Value {
    json!({
        "apiVersion": "handover.dev/v1alpha1",
        "kind": "MachineToken",
        "metadata": {"name": "ci-deploy", "namespace": "web"},
        "spec": spec,
    })
}

fn deployment(pod: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "ci", "namespace": "web"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app.kubernetes.io/name": "ci"}},
            "template": {"metadata": {"labels": {"app.kubernetes.io/name": "ci"}}, "spec": pod},
        },
    })
}

fn is_ours(object: &Value) -> bool {
    object["apiVersion"]
        .as_str()
        .is_some_and(|version| version.starts_with(api::GROUP))
}

/// The text of a file: what it is for, then its objects with their documentation.
fn text(example: &Example) -> String {
    let documents: Vec<String> = example
        .objects
        .iter()
        .map(|object| {
            let printed = yaml::print(object).unwrap();
            if is_ours(object) {
                documented(&printed, &schema_of(object))
            } else {
                printed
            }
        })
        .collect();
    format!("{}{}", comment(example.about, 0), documents.join("---\n"))
}

/// Puts the first sentence of a field's description above the field, below `spec`.
fn documented(printed: &str, schema: &Value) -> String {
    let mut text = String::new();
    // The schema of the object that holds the keys of each indentation.
    let mut holders = vec![(0, schema.clone())];
    for line in printed.lines() {
        let item = line.trim_start().starts_with("- ");
        let column = line.len() - line.trim_start().len() + if item { 2 } else { 0 };
        while holders.last().is_some_and(|(indent, _)| *indent > column) {
            holders.pop();
        }
        let key = line
            .trim_start()
            .trim_start_matches("- ")
            .split(':')
            .next()
            .unwrap_or_default();
        let holder = &holders.last().unwrap().1;
        let field = holder["properties"][key].clone();
        let description = field["description"]
            .as_str()
            .filter(|_| column > 0 && !item);
        if let Some(description) = description {
            text.push_str(&comment(first_sentence(description), column));
        }
        text.push_str(line);
        text.push('\n');
        if field["properties"].is_object() {
            holders.push((column + 2, field));
        } else if field["items"]["properties"].is_object() {
            holders.push((column + 2, field["items"].clone()));
        }
    }
    text
}

fn first_sentence(description: &str) -> &str {
    description
        .split_inclusive(". ")
        .next()
        .unwrap_or(description)
        .trim_end()
}

/// `text` as comment lines.
fn comment(text: &str, indent: usize) -> String {
    let start = format!("{}#", " ".repeat(indent));
    let mut lines = vec![start.clone()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().unwrap();
        if line.len() > start.len() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{start} {word}"));
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_stored_examples_are_the_generated_ones() {
    for example in examples() {
        assert_current(&format!("examples/{}", example.file), &text(&example));
    }
}

#[test]
fn no_example_is_written_by_hand() {
    let generated: BTreeSet<_> = examples()
        .iter()
        .map(|example| path("examples").join(example.file))
        .collect();
    let stored: BTreeSet<_> = ["examples/sandbox", "examples/errova"]
        .into_iter()
        .flat_map(|folder| fs::read_dir(path(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(stored, generated);
}

#[test]
fn the_text_of_an_example_reads_as_what_it_was_made_from() {
    for example in examples() {
        let read: Vec<Value> = yaml::read_all(&text(&example)).unwrap();
        assert_eq!(read, example.objects, "{}", example.file);
    }
}

#[test]
fn a_75_examples_pass_every_rule_and_the_types_lose_nothing_of_them() {
    for object in examples()
        .into_iter()
        .flat_map(|example| example.objects)
        .filter(is_ours)
    {
        assert_accepted(&object);
    }
}

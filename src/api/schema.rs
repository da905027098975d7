//! The definitions as the API server gets them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, JSON, JSONSchemaProps,
    JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt as _;
use serde_json::json;

use super::{
    connection::{ClusterConnection, Connection},
    machine_token::MachineToken,
};
use Shown::{Always, Wide};

/// A column of `kubectl get`: name, type, path, and whether it is shown with `-o wide` only.
///
/// Columns read status, where what the spec leaves to a default is written. A time that may lie in the
/// future is a `string`: kubectl prints a `date` as time elapsed, and a future one as `<invalid>`.
type Column = (&'static str, &'static str, &'static str, Shown);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Always,
    Wide,
}

const READY: &str = r#".status.conditions[?(@.type=="Ready")].status"#;
const REASON: &str = r#".status.conditions[?(@.type=="Ready")].reason"#;
const CREATED: &str = ".metadata.creationTimestamp";

const CONNECTION_COLUMNS: &[Column] = &[
    ("Ready", "string", READY, Always),
    ("Reason", "string", REASON, Always),
    ("Provider", "string", ".status.provider", Always),
    ("URL", "string", ".status.url", Always),
    ("Age", "date", CREATED, Always),
    ("Credentials", "integer", ".status.credentials", Wide),
    (
        "Pending-Revocations",
        "integer",
        ".status.pendingRevocations",
        Wide,
    ),
];

const CREDENTIAL_COLUMNS: &[Column] = &[
    ("Ready", "string", READY, Always),
    ("Reason", "string", REASON, Always),
    ("Secret", "string", ".status.secret", Always),
    ("Issued", "date", ".status.credential.issuedAt", Always),
    (
        "Next-Rotation",
        "string",
        ".status.credential.nextRotation",
        Always,
    ),
    ("Expires", "string", ".status.credential.expiresAt", Always),
    ("Age", "date", CREATED, Always),
    ("ID", "string", ".status.credential.id", Wide),
    ("Connection", "string", ".status.connection", Wide),
    ("Retiring", "string", ".status.retiring[0].id", Wide),
    (
        "Waiting-For",
        "string",
        ".status.retiring[0].waitingFor[0]",
        Wide,
    ),
];

/// Every kind of the group, in the order they are needed.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [
        (ClusterConnection::crd(), CONNECTION_COLUMNS),
        (Connection::crd(), CONNECTION_COLUMNS),
        (MachineToken::crd(), CREDENTIAL_COLUMNS),
    ]
    .into_iter()
    .map(|(crd, columns)| finished(crd, columns))
    .collect()
}

/// A derived definition, with columns, absence instead of `null`, and a status that says that no
/// operator has written it yet.
fn finished(mut crd: CustomResourceDefinition, columns: &[Column]) -> CustomResourceDefinition {
    let kind = crd.spec.names.kind.clone();
    for version in &mut crd.spec.versions {
        version.additional_printer_columns = Some(columns.iter().map(column).collect());
        let root = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut());
        let Some(root) = root else { continue };
        tidy(root);
        let status = root
            .properties
            .as_mut()
            .and_then(|fields| fields.get_mut("status"));
        if let Some(status) = status {
            status.default = Some(unseen(&kind));
        }
    }
    crd
}

fn column(&(name, type_, path, shown): &Column) -> CustomResourceColumnDefinition {
    CustomResourceColumnDefinition {
        name: name.to_owned(),
        type_: type_.to_owned(),
        json_path: path.to_owned(),
        priority: (shown == Wide).then_some(1),
        ..CustomResourceColumnDefinition::default()
    }
}

/// The status of a resource that no operator has looked at: without it, tools take it for healthy.
fn unseen(kind: &str) -> JSON {
    let message = format!(
        "no operator has looked at this {kind} yet; if it stays so, check that handover runs and that \
         its --watch-namespaces and --selector include it"
    );
    JSON(json!({
        "observedGeneration": -1,
        "conditions": [{
            "type": "Ready",
            "status": "Unknown",
            "reason": "Pending",
            "message": message,
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }],
    }))
}

/// Makes a derived schema say what is meant, all the way down: an optional field is absent or has a value
/// (`Option` alone would also let `null` in), and a paragraph of a description is one line, which kubectl
/// wraps itself.
fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(text) = &mut schema.description {
        let paragraphs: Vec<String> = text.split("\n\n").map(|p| p.replace('\n', " ")).collect();
        *text = paragraphs.join("\n\n");
    }
    if let Some(members) = &mut schema.enum_ {
        members.retain(|member| !member.0.is_null());
    }
    schema
        .properties
        .iter_mut()
        .flat_map(|fields| fields.values_mut())
        .for_each(tidy);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => tidy(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(tidy),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(value)) = &mut schema.additional_properties {
        tidy(value);
    }
}

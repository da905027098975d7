//! The table of resources a server knows.

use std::fmt;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

/// The plural of what defines further kinds.
pub(super) const DEFINITIONS: &str = "customresourcedefinitions";

/// One resource: where it is served, and the rules that differ from kind to kind.
#[derive(Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a row of a table: each column says one thing"
)]
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) name: String,
    pub(super) plural: String,
    pub(super) namespaced: bool,
    pub(super) status: bool,
    /// Changes of the spec are counted.
    pub(super) generation: bool,
    /// Custom resources take their defaults from a schema, and refuse an update that names no version.
    pub(super) custom: bool,
    schema: Value,
}

impl Kind {
    /// A built-in, namespaced kind without a status.
    pub(super) fn native(api_version: &str, kind: &str, plural: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            name: kind.to_owned(),
            plural: plural.to_owned(),
            namespaced: true,
            status: false,
            generation: false,
            custom: false,
            schema: Value::Null,
        }
    }

    /// A built-in workload: namespaced, with a status and a generation.
    fn workload(kind: &str, plural: &str) -> Self {
        Self {
            status: true,
            generation: true,
            ..Self::native("apps/v1", kind, plural)
        }
    }

    /// The same with a status subresource.
    fn with_status(self) -> Self {
        Self {
            status: true,
            ..self
        }
    }

    /// The same without a namespace.
    pub(super) fn cluster_scoped(self) -> Self {
        Self {
            namespaced: false,
            ..self
        }
    }

    /// What every server has.
    pub(super) fn built_in() -> Vec<Self> {
        vec![
            Self::native("v1", "Namespace", "namespaces")
                .cluster_scoped()
                .with_status(),
            Self::native("v1", "Secret", "secrets"),
            Self::native("v1", "ConfigMap", "configmaps"),
            Self::native("v1", "Pod", "pods").with_status(),
            Self::native("v1", "Event", "events"),
            Self::native("events.k8s.io/v1", "Event", "events"),
            Self::workload("Deployment", "deployments"),
            Self::workload("StatefulSet", "statefulsets"),
            Self::workload("DaemonSet", "daemonsets"),
            Self::native(
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                DEFINITIONS,
            )
            .cluster_scoped()
            .with_status(),
        ]
    }

    /// The first version of a custom resource, as its definition describes it.
    pub(super) fn of(definition: &Value) -> Option<Self> {
        let crd: CustomResourceDefinition = serde_json::from_value(definition.clone()).ok()?;
        let (spec, version) = (&crd.spec, crd.spec.versions.first()?);
        let schema = version.schema.as_ref()?.open_api_v3_schema.as_ref()?;
        Some(Self {
            group: spec.group.clone(),
            version: version.name.clone(),
            name: spec.names.kind.clone(),
            plural: spec.names.plural.clone(),
            namespaced: spec.scope == "Namespaced",
            status: version
                .subresources
                .as_ref()
                .is_some_and(|sub| sub.status.is_some()),
            generation: true,
            custom: true,
            schema: serde_json::to_value(schema).ok()?,
        })
    }

    /// `group/version`, or the version alone for the core group.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `secrets`, `connections.handover.dev`: how messages call it.
    pub(super) fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `Secret`, `Connection.handover.dev`: how refusals of a field call it.
    pub(super) fn qualified_name(&self) -> String {
        if self.group.is_empty() {
            self.name.clone()
        } else {
            format!("{}.{}", self.name, self.group)
        }
    }

    /// Built-in objects need not say what they are.
    pub(super) fn complete_type(&self, object: &mut Value) {
        let Some(fields) = object.as_object_mut().filter(|_| !self.custom) else {
            return;
        };
        for (field, expected) in [
            ("apiVersion", self.api_version()),
            ("kind", self.name.clone()),
        ] {
            fields.entry(field).or_insert_with(|| json!(expected));
        }
    }

    /// Whether the object says that it is of this kind.
    pub(super) fn is_kind_of(&self, object: &Value) -> bool {
        object["apiVersion"] == self.api_version() && object["kind"] == self.name
    }

    /// Fills in what the schema of a custom resource gives a default for.
    pub(super) fn apply_defaults(&self, object: &mut Value) {
        fill(&self.schema, object);
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource())
    }
}

fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => fill_fields(schema, fields),
        Value::Array(items) => {
            for item in items {
                fill(&schema["items"], item);
            }
        }
        _ => {}
    }
}

fn fill_fields(schema: &Value, fields: &mut Map<String, Value>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(default) = property.get("default") {
            fields.entry(name).or_insert_with(|| default.clone());
        }
        if let Some(value) = fields.get_mut(name) {
            fill(property, value);
        }
    }
    if let Some(any) = schema.get("additionalProperties") {
        for value in fields.values_mut() {
            fill(any, value);
        }
    }
}

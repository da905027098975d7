//! Objects as JSON: the fields that the server looks at or writes itself.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::kinds::Kind;

/// The metadata that no request sets.
pub(super) const OF_THE_SERVER: [&str; 7] = [
    "uid",
    "namespace",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
];

/// The stored object with nothing but the status that was sent.
pub(super) fn with_status(current: &Value, sent: &Value) -> Value {
    let mut next = current.clone();
    match sent.get("status") {
        Some(status) => next["status"] = status.clone(),
        None => remove(&mut next, "status"),
    }
    next
}

/// The object that was sent, with what belongs to the server.
pub(super) fn with_metadata(current: &Value, sent: Value, status_is_apart: bool) -> Value {
    let mut next = sent;
    for field in OF_THE_SERVER {
        restore(&mut next["metadata"], &current["metadata"], field);
    }
    tidy(&mut next);
    if status_is_apart {
        restore(&mut next, current, "status");
    }
    next
}

/// Empty metadata is no metadata.
pub(super) fn tidy(object: &mut Value) {
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        if is_empty(&object["metadata"][field]) {
            remove(&mut object["metadata"], field);
        }
    }
}

/// Whether anything but metadata and status changed.
pub(super) fn spec_differs(current: &Value, next: &Value) -> bool {
    let rest = |object: &Value| {
        let mut rest = object.clone();
        remove(&mut rest, "metadata");
        remove(&mut rest, "status");
        rest
    };
    rest(current) != rest(next)
}

pub(super) fn marked_deleted(current: &Value, now: Timestamp) -> Value {
    let mut next = current.clone();
    next["metadata"]["deletionTimestamp"] = json!(time(now));
    next["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    if next["metadata"]["generation"].is_u64() {
        bump_generation(&mut next);
    }
    if next["kind"] == "Namespace" {
        next["status"]["phase"] = json!("Terminating");
    }
    next
}

pub(super) fn bump_generation(object: &mut Value) {
    let generation = object["metadata"]["generation"].as_u64().unwrap_or(0);
    object["metadata"]["generation"] = json!(generation + 1);
}

/// Deletion was asked for.
pub(super) fn is_deleting(object: &Value) -> bool {
    object["metadata"].get("deletionTimestamp").is_some()
}

/// Something has to happen before the object can go; a Namespace is emptied first.
pub(super) fn is_held(kind: &Kind, object: &Value) -> bool {
    finalizers(object).next().is_some() || kind.plural == "namespaces"
}

pub(super) fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    let list = object["metadata"]["finalizers"].as_array();
    list.into_iter().flatten().filter_map(Value::as_str)
}

/// A time as Kubernetes writes it.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

pub(super) fn remove(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
}

fn restore(object: &mut Value, from: &Value, field: &str) {
    match from.get(field) {
        Some(value) => object[field] = value.clone(),
        None => remove(object, field),
    }
}

//! The rules of single built-in kinds, and of namespaces.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use serde_json::{Value, json};

use super::{
    failure::Failure,
    kinds::Kind,
    object::{is_deleting, text},
    store::{Key, Store},
};

const LARGEST_SECRET: usize = 1024 * 1024;

/// Nothing is created in a namespace that does not exist or is going away.
pub(super) fn check_namespace(store: &Store, kind: &Kind, key: &Key) -> Result<(), Failure> {
    if !kind.namespaced {
        return Ok(());
    }
    let namespaces = Kind::native("v1", "Namespace", "namespaces").cluster_scoped();
    match store.get(&Key::new(&namespaces, "", &key.namespace)) {
        None => Err(Failure::not_found(&namespaces, &key.namespace)),
        Some(object) if is_deleting(object) => {
            Err(Failure::terminating(kind, &key.name, &key.namespace))
        }
        Some(_) => Ok(()),
    }
}

/// Defaults and validation of an object that is about to be stored.
pub(super) fn admit(
    kind: &Kind,
    key: &Key,
    current: Option<&Value>,
    object: &mut Value,
) -> Result<(), Failure> {
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "secrets") => admit_secret(kind, key, current, object),
        ("", "namespaces") if current.is_none() => {
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(key.name);
            object["spec"]["finalizers"] = json!(["kubernetes"]);
            object["status"] = json!({"phase": "Active"});
            Ok(())
        }
        ("", "pods") if current.is_none() => {
            object["status"] = json!({"phase": "Pending", "qosClass": "BestEffort"});
            Ok(())
        }
        _ => Ok(()),
    }
}

fn admit_secret(
    kind: &Kind,
    key: &Key,
    current: Option<&Value>,
    object: &mut Value,
) -> Result<(), Failure> {
    let invalid = |field: &str, problem: &str| Failure::invalid(kind, &key.name, field, problem);
    fold_string_data(object)?;
    let data = data_of(object)?;
    if let Some(name) = data.keys().find(|name| !is_data_key(name)) {
        let problem = format!(
            "Invalid value: {name:?}: a valid config key must consist of alphanumeric characters, \
             '-', '_' or '.'"
        );
        return Err(invalid(&format!("data[{name}]"), &problem));
    }
    if data.values().map(|value| value.0.len()).sum::<usize>() > LARGEST_SECRET {
        return Err(invalid(
            "data",
            "Too long: may not be more than 1048576 bytes",
        ));
    }
    if text(&object["type"]).is_empty() {
        object["type"] = json!("Opaque");
    }
    let Some(current) = current else {
        return Ok(());
    };
    if object["type"] != current["type"] {
        return Err(Failure::immutable(
            kind,
            &key.name,
            "type",
            text(&object["type"]),
        ));
    }
    if current["immutable"] == true {
        let problem = "Forbidden: field is immutable when `immutable` is set";
        if object["immutable"] != true {
            return Err(invalid("immutable", problem));
        }
        if data != data_of(current)? {
            return Err(invalid("data", problem));
        }
    }
    Ok(())
}

/// `stringData` is only for writing: it ends in `data`. An empty `data` is left out.
fn fold_string_data(object: &mut Value) -> Result<(), Failure> {
    let mut secret: Secret = decoded(object)?;
    for (name, value) in secret.string_data.take().unwrap_or_default() {
        let value = ByteString(value.into_bytes());
        secret.data.get_or_insert_default().insert(name, value);
    }
    secret.data = secret.data.filter(|data| !data.is_empty());
    if let Some(fields) = object.as_object_mut() {
        fields.remove("stringData");
        fields.remove("data");
    }
    if let Some(data) = secret.data {
        object["data"] = json!(data);
    }
    Ok(())
}

fn data_of(object: &Value) -> Result<BTreeMap<String, ByteString>, Failure> {
    Ok(decoded(object)?.data.unwrap_or_default())
}

fn decoded(object: &Value) -> Result<Secret, Failure> {
    serde_json::from_value(object.clone()).map_err(|_| Failure::unreadable(object))
}

fn is_data_key(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && !name.starts_with("..")
        && name != "."
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

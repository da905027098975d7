//! Get and list, and the shapes in which objects are answered.

use serde_json::{Value, json};

use super::{
    failure::Failure,
    kinds::Kind,
    request::Call,
    select::Selection,
    store::{Key, Store},
};

pub(super) fn get(store: &Store, kind: &Kind, key: &Key) -> Result<Value, Failure> {
    store
        .get(key)
        .map(|object| (**object).clone())
        .ok_or_else(|| Failure::not_found(kind, &key.name))
}

/// One page, as of the version of the first page.
pub(super) fn list(store: &Store, kind: &Kind, call: &Call) -> Result<Value, Failure> {
    let namespace = call.info.namespace.as_deref();
    let selection = selection(call)?;
    let limit = match call.parameters.number("limit")? {
        None | Some(0) => usize::MAX,
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let (version, after) = match Token::parse(call.parameters.get("continue"))? {
        Some(token) if token.version < store.oldest => {
            return Err(Failure::expired(token.version, store.oldest));
        }
        Some(token) => (token.version, Some(token.after)),
        None => (store.version(), None),
    };
    let mut rest = store.list_at(kind, namespace, version);
    rest.retain(|(key, object)| {
        let place = (key.namespace.clone(), key.name.clone());
        after.as_ref().is_none_or(|after| place > *after) && selection.matches(object)
    });
    let later = rest.split_off(limit.min(rest.len()));
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let (Some((last, _)), false) = (rest.last(), later.is_empty()) {
        metadata["continue"] = json!(Token::print(version, last));
        if selection.is_all() {
            metadata["remainingItemCount"] = json!(later.len());
        }
    }
    let items: Vec<Value> = rest.iter().map(|(_, o)| item(kind, call, o)).collect();
    let (api_version, name) = if call.metadata_only {
        ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadata")
    } else {
        (kind.api_version(), kind.name.as_str())
    };
    Ok(json!({
        "kind": format!("{name}List"),
        "apiVersion": api_version,
        "metadata": metadata,
        "items": items,
    }))
}

pub(super) fn selection(call: &Call) -> Result<Selection, Failure> {
    Selection::parse(
        call.parameters.get("labelSelector"),
        call.parameters.get("fieldSelector"),
    )
}

/// The object, or only its metadata where the caller asked for that.
pub(super) fn shaped(object: &Value, metadata_only: bool) -> Value {
    if !metadata_only {
        return object.clone();
    }
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"],
    })
}

/// Items of built-in lists carry no kind, as in the real server.
fn item(kind: &Kind, call: &Call, object: &Value) -> Value {
    let mut item = shaped(object, call.metadata_only);
    if let (Some(fields), false) = (item.as_object_mut(), kind.custom || call.metadata_only) {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    item
}

/// Where the next page begins.
struct Token {
    version: u64,
    after: (String, String),
}

impl Token {
    fn print(version: u64, last: &Key) -> String {
        format!("{version}:{}/{}", last.namespace, last.name)
    }

    fn parse(text: &str) -> Result<Option<Self>, Failure> {
        if text.is_empty() {
            return Ok(None);
        }
        let parts = text.split_once(':').and_then(|(version, place)| {
            let (namespace, name) = place.split_once('/')?;
            Some(Self {
                version: version.parse().ok()?,
                after: (namespace.to_owned(), name.to_owned()),
            })
        });
        parts
            .map(Some)
            .ok_or_else(|| Failure::bad_request("continue key is not valid"))
    }
}

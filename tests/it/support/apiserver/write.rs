//! Create, update, patch and delete: each decides on a write, none makes it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    admission,
    failure::Failure,
    kinds::Kind,
    request::Format,
    store::{Key, Store, Write},
};

/// What a writing request comes to.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) code: u16,
    pub(super) outcome: Outcome,
}

/// What is left to do, and what to answer.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Make this write and answer with the object.
    Store(Write),
    /// Make this write and answer that it went well.
    Remove(Write),
    /// There is nothing to change: answer with the object as it is.
    Keep(Value),
}

/// The object of a writing request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) kind: &'a Kind,
    pub(super) key: &'a Key,
    /// The request is about `/status`.
    pub(super) status: bool,
}

impl Subject<'_> {
    fn name(&self) -> &str {
        &self.key.name
    }

    fn current<'s>(&self, store: &'s Store) -> Result<&'s Value, Failure> {
        store
            .get(self.key)
            .map(|object| &**object)
            .ok_or_else(|| Failure::not_found(self.kind, self.name()))
    }

    fn write(&self, object: Value, removes: bool) -> Write {
        Write {
            key: self.key.clone(),
            object,
            removes,
        }
    }
}

/// `POST` of a new object.
pub(super) fn create(
    store: &Store,
    subject: Subject<'_>,
    mut object: Value,
    now: Timestamp,
) -> Result<Decision, Failure> {
    let Subject { kind, key, .. } = subject;
    check_form(subject, &object)?;
    admission::check_namespace(store, kind, key)?;
    if store.get(key).is_some() {
        return Err(Failure::already_exists(kind, &key.name));
    }
    let metadata = &mut object["metadata"];
    if !text(&metadata["resourceVersion"]).is_empty() {
        return Err(Failure::version_on_create());
    }
    remove(metadata, "deletionTimestamp");
    remove(metadata, "deletionGracePeriodSeconds");
    remove(metadata, "selfLink");
    metadata["uid"] = json!(store.next_uid());
    metadata["creationTimestamp"] = json!(time(now));
    if kind.namespaced {
        metadata["namespace"] = json!(key.namespace);
    }
    if kind.generation {
        metadata["generation"] = json!(1);
    }
    if kind.status {
        remove(&mut object, "status");
    }
    kind.apply_defaults(&mut object);
    admission::admit(subject.kind, key, None, &mut object)?;
    Ok(Decision {
        code: 201,
        outcome: Outcome::Store(subject.write(object, false)),
    })
}

/// Server-side apply: creates what is not there, else merges.
pub(super) fn apply(
    store: &Store,
    subject: Subject<'_>,
    body: &Value,
    now: Timestamp,
) -> Result<Decision, Failure> {
    if store.get(subject.key).is_some() || subject.status {
        update(store, subject, Format::Apply, body)
    } else {
        create(store, subject, body.clone(), now)
    }
}

/// `PUT` or `PATCH`, of the object or of its status.
pub(super) fn update(
    store: &Store,
    subject: Subject<'_>,
    format: Format,
    body: &Value,
) -> Result<Decision, Failure> {
    let Subject { kind, key, .. } = subject;
    let current = subject.current(store)?;
    let sent = sent_object(subject, current, format, body)?;
    check_form(subject, &sent)?;
    check_identity(subject, current, &sent, format)?;
    let mut next = if subject.status {
        with_status(current, &sent)
    } else {
        with_metadata(current, sent, kind.status)
    };
    check_finalizers(subject, current, &next)?;
    kind.apply_defaults(&mut next);
    admission::admit(kind, key, Some(current), &mut next)?;
    if kind.generation && spec_differs(current, &next) {
        bump_generation(&mut next);
    }
    let outcome = if next == *current {
        Outcome::Keep(next)
    } else {
        let removes = is_deleting(&next) && !is_held(kind, &next);
        Outcome::Store(subject.write(next, removes))
    };
    Ok(Decision { code: 200, outcome })
}

/// `DELETE`, with preconditions.
pub(super) fn delete(
    store: &Store,
    subject: Subject<'_>,
    options: &Value,
    now: Timestamp,
) -> Result<Decision, Failure> {
    let current = subject.current(store)?;
    check_preconditions(subject, current, &options["preconditions"])?;
    let outcome = if !is_held(subject.kind, current) {
        Outcome::Remove(subject.write(current.clone(), true))
    } else if is_deleting(current) {
        Outcome::Keep(current.clone())
    } else {
        Outcome::Store(subject.write(marked_deleted(current, now), false))
    };
    Ok(Decision { code: 200, outcome })
}

/// What the request wants the object to be.
fn sent_object(
    subject: Subject<'_>,
    current: &Value,
    format: Format,
    body: &Value,
) -> Result<Value, Failure> {
    let mut object = current.clone();
    match format {
        Format::Whole => return Ok(body.clone()),
        Format::MergePatch | Format::Apply => json_patch::merge(&mut object, body),
        Format::JsonPatch => {
            let patch = serde_json::from_value(json_patch_of(body, current))
                .map_err(|_| Failure::bad_request("the body is not a JSON patch"))?;
            let json_patch::Patch(operations) = patch;
            json_patch::patch(&mut object, &operations)
                .map_err(|_| Failure::patch_does_not_apply())?;
        }
    }
    match &object {
        Value::Object(_) => Ok(object),
        _ => Err(Failure::invalid(
            subject.kind,
            subject.name(),
            "patch",
            "Invalid value: not an object",
        )),
    }
}

/// The real server lets `test` find `null` at a path that does not exist; the crate does not.
fn json_patch_of(body: &Value, current: &Value) -> Value {
    let holds_by_absence = |operation: &&Value| {
        operation["op"] == "test"
            && operation["value"].is_null()
            && current.pointer(text(&operation["path"])).is_none()
    };
    let operations = body.as_array().into_iter().flatten();
    operations
        .filter(|operation| !holds_by_absence(operation))
        .cloned()
        .collect()
}

fn check_form(subject: Subject<'_>, object: &Value) -> Result<(), Failure> {
    let Subject { kind, key, .. } = subject;
    if text(&object["apiVersion"]) != kind.api_version() || text(&object["kind"]) != kind.name {
        let message = format!(
            "the kind in the data ({} {}) does not match the expected kind ({} {})",
            object["apiVersion"],
            object["kind"],
            kind.api_version(),
            kind.name
        );
        return Err(Failure::bad_request(message));
    }
    let metadata = &object["metadata"];
    if key.name.is_empty() {
        let problem = "Required value: name or generateName is required";
        return Err(Failure::invalid(kind, "", "metadata.name", problem));
    }
    if text(&metadata["name"]) != key.name {
        let message = "the name of the object does not match the name on the URL";
        return Err(Failure::bad_request(message));
    }
    match text(&metadata["namespace"]) {
        "" => Ok(()),
        namespace if namespace == key.namespace => Ok(()),
        _ => Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
    }
}

/// The compare-and-swap: version first, then uid, as in the real server.
fn check_identity(
    subject: Subject<'_>,
    current: &Value,
    sent: &Value,
    format: Format,
) -> Result<(), Failure> {
    let Subject { kind, key, .. } = subject;
    let (is, sent) = (&current["metadata"], &sent["metadata"]);
    let (uid, version) = (text(&sent["uid"]), text(&sent["resourceVersion"]));
    let other_uid = !uid.is_empty() && uid != text(&is["uid"]);
    if other_uid && format == Format::Whole {
        return Err(Failure::precondition(
            kind,
            key,
            "UID",
            uid,
            text(&is["uid"]),
        ));
    }
    if version.is_empty() && kind.custom {
        let problem = "Invalid value: 0: must be specified for an update";
        return Err(Failure::invalid(
            kind,
            &key.name,
            "metadata.resourceVersion",
            problem,
        ));
    }
    if !version.is_empty() && version != text(&is["resourceVersion"]) {
        return Err(Failure::modified(kind, &key.name));
    }
    if other_uid && !subject.status {
        return Err(Failure::immutable(kind, &key.name, "metadata.uid", uid));
    }
    Ok(())
}

fn check_preconditions(
    subject: Subject<'_>,
    current: &Value,
    wanted: &Value,
) -> Result<(), Failure> {
    for (field, what) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        let (sent, is) = (&wanted[field], &current["metadata"][field]);
        if !sent.is_null() && sent != is {
            let Subject { kind, key, .. } = subject;
            return Err(Failure::precondition(kind, key, what, text(sent), text(is)));
        }
    }
    Ok(())
}

fn check_finalizers(subject: Subject<'_>, current: &Value, next: &Value) -> Result<(), Failure> {
    let added: Vec<&str> = finalizers(next)
        .filter(|name| !finalizers(current).any(|old| old == *name))
        .collect();
    if !is_deleting(current) || added.is_empty() {
        return Ok(());
    }
    let problem = format!(
        "Forbidden: no new finalizers can be added if the object is being deleted, found new \
         finalizers {added:?}"
    );
    Err(Failure::invalid(
        subject.kind,
        subject.name(),
        "metadata.finalizers",
        &problem,
    ))
}

/// The stored object with nothing but the status that was sent.
fn with_status(current: &Value, sent: &Value) -> Value {
    let mut next = current.clone();
    match sent.get("status") {
        Some(status) => next["status"] = status.clone(),
        None => remove(&mut next, "status"),
    }
    next
}

/// The object that was sent, with what belongs to the server.
fn with_metadata(current: &Value, sent: Value, status_is_apart: bool) -> Value {
    const OF_THE_SERVER: [&str; 7] = [
        "uid",
        "namespace",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
    ];
    let mut next = sent;
    for field in OF_THE_SERVER {
        restore(&mut next["metadata"], &current["metadata"], field);
    }
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        if is_empty(&next["metadata"][field]) {
            remove(&mut next["metadata"], field);
        }
    }
    if status_is_apart {
        restore(&mut next, current, "status");
    }
    next
}

fn spec_differs(current: &Value, next: &Value) -> bool {
    let rest = |object: &Value| {
        let mut rest = object.clone();
        remove(&mut rest, "metadata");
        remove(&mut rest, "status");
        rest
    };
    rest(current) != rest(next)
}

fn marked_deleted(current: &Value, now: Timestamp) -> Value {
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

fn bump_generation(object: &mut Value) {
    let generation = object["metadata"]["generation"].as_u64().unwrap_or(0);
    object["metadata"]["generation"] = json!(generation + 1);
}

/// Deletion was asked for.
pub(super) fn is_deleting(object: &Value) -> bool {
    object["metadata"].get("deletionTimestamp").is_some()
}

/// Something has to happen before the object can go; a Namespace is emptied first.
fn is_held(kind: &Kind, object: &Value) -> bool {
    finalizers(object).next().is_some() || kind.plural == "namespaces"
}

pub(super) fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    let list = object["metadata"]["finalizers"].as_array();
    list.into_iter().flatten().filter_map(Value::as_str)
}

/// A time as Kubernetes writes it.
fn time(at: Timestamp) -> String {
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

fn remove(object: &mut Value, field: &str) {
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

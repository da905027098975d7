//! Create, update, patch and delete: each decides on a write, none makes it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    admission,
    failure::Failure,
    kinds::Kind,
    object::{
        OF_THE_SERVER, bump_generation, is_deleting, is_held, marked_deleted, remove, spec_differs,
        text, tidy, time, with_metadata, with_status,
    },
    request::Format,
    rules::{check_finalizers, check_form, check_identity, check_preconditions},
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
    pub(super) fn name(&self) -> &str {
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
    kind.complete_type(&mut object);
    check_form(subject, &object)?;
    admission::check_namespace(store, kind, key)?;
    if !text(&object["metadata"]["resourceVersion"]).is_empty() {
        return Err(Failure::version_on_create());
    }
    if store.get(key).is_some() {
        return Err(Failure::already_exists(kind, &key.name));
    }
    tidy(&mut object);
    let metadata = &mut object["metadata"];
    for field in OF_THE_SERVER {
        remove(metadata, field);
    }
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
        Format::Whole => {
            object = body.clone();
            subject.kind.complete_type(&mut object);
            return Ok(object);
        }
        Format::MergePatch | Format::Apply => json_patch::merge(&mut object, body),
        Format::JsonPatch => {
            let patch = serde_json::from_value(json_patch_of(body, current))
                .map_err(|_| Failure::bad_request("the body is not a JSON patch"))?;
            let json_patch::Patch(operations) = patch;
            json_patch::patch(&mut object, &operations)
                .map_err(|_| Failure::patch_does_not_apply())?;
        }
    }
    if subject.kind.is_kind_of(&object) {
        Ok(object)
    } else {
        Err(Failure::unreadable(&object))
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

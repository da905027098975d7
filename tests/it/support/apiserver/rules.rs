//! What an object has to fulfil before it is written: its form, its identity, its finalizers.

use serde_json::Value;

use super::{
    failure::Failure,
    object::{finalizers, is_deleting, text},
    request::Format,
    write::Subject,
};

/// The body is an object of this kind, under this name, in this namespace.
pub(super) fn check_form(subject: Subject<'_>, object: &Value) -> Result<(), Failure> {
    let Subject { kind, key, .. } = subject;
    if !kind.is_kind_of(object) {
        let message = format!(
            "the object provided is unrecognized (must be of type {})",
            kind.name
        );
        return Err(Failure::bad_request(message));
    }
    let metadata = &object["metadata"];
    if key.name.is_empty() {
        let problem = "Required value: name or generateName is required";
        return Err(Failure::invalid(kind, "", "metadata.name", problem));
    }
    if !is_dns_name(&key.name) {
        let problem = format!(
            "Invalid value: {:?}: a lowercase RFC 1123 subdomain",
            key.name
        );
        return Err(Failure::invalid(kind, &key.name, "metadata.name", &problem));
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
pub(super) fn check_identity(
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
        return Err(Failure::other_object(kind, key, uid, text(&is["uid"])));
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

/// A deletion meant this object, as it is.
pub(super) fn check_preconditions(
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

/// Nobody holds an object that is already going.
pub(super) fn check_finalizers(
    subject: Subject<'_>,
    current: &Value,
    next: &Value,
) -> Result<(), Failure> {
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

/// A subdomain of RFC 1123, as names of almost everything are.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        !label.is_empty()
            && label.bytes().all(|b| plain(b) || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

//! What faults do to the content of an answer.

use super::{
    dialect::Dialect,
    effects::Damage,
    refusal::status,
    reply::{Content, Reply},
};

/// More than any list may weigh.
const HUGE: usize = 9 << 20;

/// Damages an answer. A status replaces any answer; the rest strikes successes only.
pub(super) fn damage(dialect: &dyn Dialect, fault: Damage, reply: &mut Reply) {
    if let Damage::Status(other) = fault {
        let other = status(dialect, other);
        reply.status = other.status;
        reply.headers = other.headers;
        reply.content = other.content;
    } else if reply.status.is_success() {
        match fault {
            Damage::Status(_) => {}
            Damage::NoValue => reply.drop_value(),
            Damage::OldValue => show_old_value(dialect, reply),
            Damage::WrongOwner => show_other_id(dialect, reply),
            Damage::BadJson => rewrite(reply, |bytes| bytes.push(b'}')),
            Damage::Huge => rewrite(reply, |bytes| bytes.resize(bytes.len() + HUGE, b' ')),
            Damage::Truncate(length) => rewrite(reply, |bytes| bytes.truncate(length)),
        }
    }
}

fn rewrite(reply: &mut Reply, change: impl FnOnce(&mut Vec<u8>)) {
    let content = std::mem::replace(&mut reply.content, Content::Empty);
    let (kind, bytes) = content.into_bytes();
    let mut bytes = bytes.to_vec();
    change(&mut bytes);
    reply.content = Content::Other {
        kind: kind.unwrap_or("application/json"),
        bytes: bytes.into(),
    };
}

fn show_old_value(dialect: &dyn Dialect, reply: &mut Reply) {
    let earlier = (reply.subject.id.as_deref())
        .and_then(|id| dialect.credentials().before(id))
        .and_then(|credential| credential.values.last());
    if let (Some(value), Some(name)) = (earlier, reply.fields.value.clone()) {
        let value = value.secret.expose().to_owned();
        reply.replace(&name, &value);
    }
}

fn show_other_id(dialect: &dyn Dialect, reply: &mut Reply) {
    let other = (reply.subject.id.as_deref()).and_then(|id| dialect.credentials().before(id));
    if let (Some(other), Some(name)) = (other, reply.fields.id.clone()) {
        let id = other.id.clone();
        reply.replace(&name, &id);
    }
}

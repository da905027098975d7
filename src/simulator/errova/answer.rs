//! Answers in the shapes that the knobs choose.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

use super::knobs::{ErrorShape, ErrovaKnobs, Nesting};
use crate::simulator::reply::{Content, Fields, Reply, Subject};

/// Why an operation is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Denied(pub(super) StatusCode);

impl Denied {
    pub(super) const BAD_REQUEST: Self = Self(StatusCode::BAD_REQUEST);
    pub(super) const UNAUTHORIZED: Self = Self(StatusCode::UNAUTHORIZED);
    pub(super) const FORBIDDEN: Self = Self(StatusCode::FORBIDDEN);
    pub(super) const NOT_FOUND: Self = Self(StatusCode::NOT_FOUND);
    pub(super) const CONFLICT: Self = Self(StatusCode::CONFLICT);
}

fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "bad_request",
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::CONFLICT => "conflict",
        StatusCode::TOO_MANY_REQUESTS => "rate_limited",
        _ => "error",
    }
}

/// A refusal in Errova's own shape.
pub(super) fn refusal(knobs: &ErrovaKnobs, status: StatusCode) -> Reply {
    let message = status.canonical_reason().unwrap_or("Error");
    let error = json!({"code": code(status), "message": message});
    let content = match knobs.error {
        ErrorShape::Nested => Content::Json(json!({ "error": error })),
        ErrorShape::Flat => Content::Json(error),
        ErrorShape::Text => Content::text(message),
        ErrorShape::Html => Content::html("<html><body><h1>Error</h1></body></html>"),
        ErrorShape::Empty => Content::Empty,
    };
    Reply::new(status, content)
}

/// A thing as an answer shows it.
pub(super) struct Shown {
    /// What it is under when things are nested.
    pub(super) thing: &'static str,
    pub(super) members: Map<String, Json>,
    /// The member that is shown once.
    pub(super) value: Option<&'static str>,
    pub(super) subject: Subject,
}

/// The answer to a change of the world.
pub(super) fn done(knobs: &ErrovaKnobs, status: StatusCode, shown: Shown) -> Reply {
    let wire = |name: &str| {
        let other = knobs.shape.names.get(name);
        other.map_or_else(|| name.to_owned(), Clone::clone)
    };
    let members: Map<String, Json> = (shown.members.into_iter())
        .map(|(name, member)| (wire(&name), member))
        .collect();
    let content = match knobs.shape.nesting {
        Nesting::Flat => Json::Object(members),
        Nesting::Nested => json!({ shown.thing: members }),
        Nesting::Data => json!({ "data": members }),
    };
    let fields = Fields {
        id: Some(wire("id")),
        value: shown.value.map(wire),
    };
    Reply {
        committed: true,
        subject: shown.subject,
        fields,
        ..Reply::new(status, Content::Json(content))
    }
}

/// The answer to a delete.
pub(super) fn deleted(knobs: &ErrovaKnobs, subject: Subject) -> Reply {
    let status = status(knobs.status.delete, StatusCode::NO_CONTENT);
    let content = if status == StatusCode::NO_CONTENT {
        Content::Empty
    } else {
        Content::Json(json!({}))
    };
    Reply {
        committed: true,
        subject,
        ..Reply::new(status, content)
    }
}

/// A status that a knob names; `otherwise` if HTTP has no such status.
pub(super) fn status(code: u16, otherwise: StatusCode) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(otherwise)
}

/// A time as Errova writes it: UTC, to the second.
pub(super) fn written(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

//! What a provider answers, before faults and the network have their part in it.

use axum::body::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value as Json;

use super::values::Digest;

/// An answer.
#[derive(Clone)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
    /// Whether the world was changed.
    pub(super) committed: bool,
    /// What the request was about, for the audit.
    pub(super) subject: Subject,
    /// Where in the content the interesting fields are.
    pub(super) fields: Fields,
}

/// What a request was about.
#[derive(Clone, Debug, Default)]
pub(super) struct Subject {
    pub(super) id: Option<String>,
    pub(super) label: Option<String>,
    pub(super) value: Option<Digest>,
}

/// The names under which an answer shows an id and the values that are shown once.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    pub(super) id: Option<String>,
    pub(super) value: Option<String>,
}

/// The body of an answer.
#[derive(Clone)]
pub(super) enum Content {
    Json(Json),
    Other { kind: &'static str, bytes: Bytes },
    Empty,
}

impl Content {
    pub(super) fn text(text: &'static str) -> Self {
        Self::Other {
            kind: "text/plain; charset=utf-8",
            bytes: Bytes::from_static(text.as_bytes()),
        }
    }

    pub(super) fn html(page: &'static str) -> Self {
        Self::Other {
            kind: "text/html; charset=utf-8",
            bytes: Bytes::from_static(page.as_bytes()),
        }
    }

    /// The content type and the bytes.
    pub(super) fn into_bytes(self) -> (Option<&'static str>, Bytes) {
        match self {
            Self::Json(json) => (Some("application/json"), json.to_string().into()),
            Self::Other { kind, bytes } => (Some(kind), bytes),
            Self::Empty => (None, Bytes::new()),
        }
    }
}

impl Reply {
    /// An answer that changed nothing.
    pub(super) fn new(status: StatusCode, content: Content) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            content,
            committed: false,
            subject: Subject::default(),
            fields: Fields::default(),
        }
    }

    pub(super) fn with_header(mut self, name: header::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Leaves out the value that is shown once.
    pub(super) fn drop_value(&mut self) {
        if let (Content::Json(json), Some(name)) = (&mut self.content, &self.fields.value) {
            change_members(json, name, &mut |members| {
                members.remove(name);
            });
        }
    }

    /// Shows something else under a name.
    pub(super) fn replace(&mut self, name: &str, with: &str) {
        if let Content::Json(json) = &mut self.content {
            change_members(json, name, &mut |members| {
                members.insert(name.to_owned(), with.into());
            });
        }
    }
}

/// Calls `change` on every member of this name, at any depth.
fn change_members(
    json: &mut Json,
    name: &str,
    change: &mut dyn FnMut(&mut serde_json::Map<String, Json>),
) {
    match json {
        Json::Object(members) => {
            if members.contains_key(name) {
                change(members);
            }
            for member in members.values_mut() {
                change_members(member, name, change);
            }
        }
        Json::Array(items) => {
            for item in items {
                change_members(item, name, change);
            }
        }
        _ => {}
    }
}

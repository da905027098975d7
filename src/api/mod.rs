//! The custom resources: data and documentation, no IO.
//!
//! What a field means stands at the field, in words for the person who types YAML; it becomes the CRD
//! and `kubectl explain`. Defaults are methods here and never written into a `spec`. Rules are CEL, and
//! `validate` repeats them for objects that an older or missing rule let through.

#![expect(
    unreachable_pub,
    reason = "KubeSchema repeats each struct inside a function, with its visibility"
)]

pub mod access;
pub mod annotations;
pub mod condition;
pub mod connection;
pub mod machine_token;
pub mod moment;
pub mod rotation;
pub mod span;
pub mod status;
pub mod target;

mod cel;
mod reason;
mod schema;

pub use schema::crds;

/// The API group of all kinds.
pub const GROUP: &str = "handover.dev";

/// The names Kubernetes gives to objects.
const DNS_SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// A spec that breaks a rule of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// The path of the field, or of the smallest object the rule is about.
    pub field: &'static str,
    /// What is wrong, with the value and what to do. Never a credential.
    pub message: String,
}

impl Invalid {
    fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self {
            field,
            message: message.into(),
        }
    }
}

//! Providers in our words: what can be asked of one, and what an answer proves.
//!
//! ```text
//!   errova ──► call::Line ──► budget (lanes, rate, pause) ──► transport
//!     ▲            │
//!     └─ answer ◄──┴── outcome: what the answer proves
//! ```
//!
//! Small traits instead of one fat one: a provider implements what it can do. Wire types stay private
//! to the provider's file; the planner sees [`capabilities::Capabilities`] and the meaning of answers only.

use futures::future::BoxFuture;

pub use self::error::ProviderError;
use crate::{
    ledger::{
        ids::CredentialId,
        proof::{Condemned, CreateOnce, Stored},
    },
    secret_value::SecretValue,
};

pub mod admin;
mod answer;
pub mod budget;
pub mod call;
pub mod capabilities;
pub mod endpoint;
pub mod error;
pub mod errova;
pub mod outcome;

/// What a create should make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Shown at the provider behind our marker.
    pub display_name: String,
    /// The scopes of the credential.
    pub scopes: Vec<String>,
}

/// A credential that a create made.
#[derive(Debug)]
pub struct Issued {
    /// The provider's id.
    pub id: CredentialId,
    /// The value that is shown once.
    pub value: SecretValue,
    /// What differs from what was asked, if the answer shows it. Such a credential is kept, rejected
    /// and deleted; it is never promoted.
    pub flaw: Option<Flaw>,
}

/// How an issued credential differs from what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Flaw {
    /// Other scopes than asked.
    WrongScopes,
    /// The echoed label does not begin with our marker.
    WrongLabel,
}

/// What became of a create (E3). Unknown unless proven.
#[derive(Debug)]
pub enum Outcome {
    /// Id and value are in hand.
    Issued(Issued),
    /// Proven: nothing was created.
    Refused(Refusal),
    /// The provider may have created it.
    Unknown(Unknown),
}

/// Why a create made nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No byte of the request left.
    NotSent,
    /// The admin credential is not accepted (401).
    Unauthenticated,
    /// The admin credential may not do this (403).
    Forbidden,
    /// Too many requests (429); the connection is paused already.
    Throttled,
    /// The request itself is refused (any other 4xx of the provider's own shape).
    Rejected(u16),
}

/// What little is known about a create whose fate is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// An id that could be picked out of a damaged answer: it is to be deleted at once.
    pub id: Option<CredentialId>,
    /// A 2xx that could not be read: issuing stops on the whole connection (`BreakerOpen`).
    pub unreadable: bool,
}

/// What a probe with a stored value showed (E7, E10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probed {
    /// The provider accepts the value.
    Accepted,
    /// The provider refuses the value, in its own shape.
    Refused,
}

/// Proof that a credential is gone (E13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// Creates credentials.
pub trait Issue: Send + Sync {
    /// One POST at most. Consumes the right to send it; sends nothing once that is too late.
    fn issue<'a>(&'a self, create: CreateOnce, request: &'a Request) -> BoxFuture<'a, Outcome>;
}

/// Asks whether a value authenticates, without doing harm.
pub trait Probe: Send + Sync {
    /// No answer is no refusal: anything but a clear word is an error.
    fn probe<'a>(
        &'a self,
        value: &'a Stored<SecretValue>,
    ) -> BoxFuture<'a, Result<Probed, ProviderError>>;
}

/// Deletes credentials.
pub trait Revoke: Send + Sync {
    /// Idempotent; `Ok` is proof of absence.
    fn revoke<'a>(&'a self, condemned: &'a Condemned)
    -> BoxFuture<'a, Result<Gone, ProviderError>>;
}

/// Asks whether the admin credential of the connection authenticates.
pub trait Authenticate: Send + Sync {
    /// One harmless call.
    fn authenticate(&self) -> BoxFuture<'_, Result<(), ProviderError>>;
}

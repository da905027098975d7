//! Why a plan is as it is: what status, Events and metrics tell people.

use jiff::Timestamp;

use super::gates::Blocked;
use crate::{
    api::condition::Reason,
    ledger::{
        ids::{CredentialId, Generation},
        record::{Cause, Failure},
    },
};

/// What a person does about creates with an unknown outcome.
pub const SETTLE: &str = "look for the labels of status.suspectedOrphans at the provider, delete what is there, then \
                          name the attempts in the annotation handover.dev/resolved-attempts, such as \"3,4\"";

/// That nobody knows what became of so many creates.
pub fn unknown_outcomes(open: usize) -> String {
    let creates = if open == 1 {
        "create has"
    } else {
        "creates have"
    };
    format!("{open} {creates} an unknown outcome")
}

/// Something that stands in the way: a reason of the closed list, and what to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The reason.
    pub reason: Reason,
    /// For people: names the field or object, and the remedy. Never a value, never the provider's text.
    pub message: String,
    /// When it ends by itself, if that is known.
    pub until: Option<Timestamp>,
}

impl Obstacle {
    /// The same, ending by itself at a known time.
    #[must_use]
    pub fn until(self, until: Timestamp) -> Self {
        Self {
            until: Some(until),
            ..self
        }
    }

    /// An obstacle with its message.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            until: None,
        }
    }
}

/// Why a plan is as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// Everything is as it should be.
    Settled,
    /// Both credentials are valid, at least until then.
    Overlap(Timestamp),
    /// The overlap is over, but a gate does not hold.
    GatesClosed(Blocked),
    /// The annotation says so.
    Paused,
    /// An effect is under way.
    Working(Work),
    /// Something stands in the way.
    Blocked(Obstacle),
    /// The resource is going, and this remains to be done.
    Leaving(Option<Obstacle>),
}

/// What is being done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// A credential is being created.
    Issue(Cause),
    /// A create whose holder is gone is given up.
    Abandon(Generation),
    /// The stored value is probed.
    Verify,
    /// A pending credential is given up.
    Reject,
    /// The target is written.
    Deliver,
    /// The retiring credential's gates are looked at.
    Retire,
    /// A credential is deleted at the provider.
    Revoke(CredentialId),
    /// Something about the record is put right.
    Record,
}

impl Obstacle {
    /// The attempts of the window are used up.
    pub fn budget(fruitless: bool, until: Timestamp) -> Self {
        let what = if fruitless {
            "creates in 24 h that never became current"
        } else {
            "creates in 24 h"
        };
        Self::new(
            Reason::BudgetExhausted,
            format!("too many {what}; the next one may start {until}"),
        )
    }

    /// Creates with an unknown outcome.
    pub fn unresolved(open: usize, max: usize) -> Self {
        let message = format!(
            "{} and the connection allows {max} (maxUnresolved): {SETTLE}",
            unknown_outcomes(open)
        );
        Self::new(Reason::AmbiguousCreate, message)
    }

    /// The last attempt failed; the next one waits.
    pub fn failed(failure: Failure, until: Timestamp) -> Self {
        let (reason, what) = match failure {
            Failure::NotSent => (Reason::ProviderUnavailable, "the provider could not be reached".to_owned()),
            Failure::Unauthenticated => (
                Reason::ConnectionNotReady,
                "the provider does not accept the connection's admin credential (401)".to_owned(),
            ),
            Failure::Forbidden => (
                Reason::ProviderRejected,
                "the connection's admin credential may not create this (403); give it the right to".to_owned(),
            ),
            Failure::Throttled => (Reason::RateLimited, "the provider asks for fewer requests (429)".to_owned()),
            Failure::Rejected(status) => (
                Reason::ProviderRejected,
                format!("the provider refuses the request ({status}); check spec.scopes and the connection's organization"),
            ),
            Failure::Ambiguous => (
                Reason::ProviderUnavailable,
                "the last create got no clear answer and was not repeated".to_owned(),
            ),
            Failure::Unreadable => (
                Reason::BreakerOpen,
                "the provider answered a create with success, but without a readable id and value".to_owned(),
            ),
            Failure::NotVerified => (
                Reason::VerifyFailed,
                "the new credential did not authenticate or is not what was asked for; it was not used".to_owned(),
            ),
        };
        Self::new(reason, format!("{what}; next attempt {until}"))
    }
}

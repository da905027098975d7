//! Faults as they are ordered: which calls they strike, and what goes wrong.
//!
//! An order is one JSON object:
//!
//! ```json
//! {"op": "machineToken.create", "nth": 1, "faults": ["loseResponse", {"stall": "5s"}]}
//! ```
//!
//! Several orders may strike one call, and all their faults then happen together. What each does to
//! the exchange is in [`super::effects`].

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    credentials::after,
    operation::{Operation, Provider},
    values::Generator,
};

/// A duration in a document: `10m`, `1s`, or ISO 8601.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wait(#[serde(with = "jiff::fmt::serde::unsigned_duration::required")] pub Duration);

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// The operation is done, then the connection closes: a one-time value is gone.
    LoseResponse,
    /// The connection closes before the operation is done.
    LoseRequest,
    /// Nothing is answered, and the operation is done only after this wait.
    DelayCommit(Wait),
    /// The operation is done twice; the second answer is the one that arrives.
    Duplicate,
    /// This status instead of the answer, before or after the operation is done.
    Status(StatusFault),
    /// The body of a 2xx ends after so many bytes.
    Truncate(usize),
    /// A 2xx grows beyond every limit that a client should have.
    Huge,
    /// The body of a 2xx is no JSON.
    BadJson,
    /// The value is missing from a 2xx.
    NoValue,
    /// A 2xx shows the value of an earlier credential.
    OldValue,
    /// The answer starts only after this wait. The operation is done before it.
    Stall(Wait),
    /// The body arrives at so many bytes a second.
    Slow(u32),
    /// The connection breaks after the first byte of the body.
    Reset,
    /// Sent elsewhere; nothing is done.
    Redirect(Redirect),
    /// 429 in the provider's own shape for calls beyond the limit.
    RateLimit(RateLimit),
    /// Listings show the world as it was so long ago.
    StaleList(Wait),
    /// Listings leave out the first so many items.
    DropItems(usize),
    /// Listings show so many items that do not exist.
    InventItems(usize),
    /// Listings are empty.
    EmptyList,
    /// This page (from 1) of a listing fails with 500.
    PageFails(usize),
    /// A listing points back to its first page.
    CursorLoop,
    /// The new credential has less scope than asked.
    WrongScope,
    /// The answer to a create names another credential's id.
    WrongOwner,
    /// The new credential gets another label than asked.
    Relabel,
    /// The new credential is refused for so long.
    VerifyLag(Wait),
    /// The revoked credential is accepted for so long.
    RevokeLag(Wait),
    /// Every caller is refused for so long, counted from the order.
    AuthDown(AuthDown),
    /// The servers' clocks are off by this from the order on, for all calls: a server has one clock.
    ClockSkew(jiff::SignedDuration),
}

/// See [`Fault::Status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatusFault {
    /// Any status that HTTP allows in an answer.
    pub code: u16,
    /// What comes with it.
    #[serde(default)]
    pub body: FaultBody,
    /// Whether the operation is done nevertheless.
    #[serde(default)]
    pub committed: bool,
}

/// The body of an ordered status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultBody {
    /// The provider's own error shape.
    #[default]
    Own,
    /// The page of some proxy.
    Html,
    /// None.
    Empty,
    /// Plain text.
    Text,
}

/// See [`Fault::Redirect`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Redirect {
    /// Where to.
    pub url: String,
    /// 302 or 307.
    #[serde(default = "temporary_redirect")]
    pub code: u16,
}

fn temporary_redirect() -> u16 {
    307
}

/// See [`Fault::RateLimit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimit {
    /// So many calls are served…
    pub limit: usize,
    /// …in any stretch of this length.
    pub window: Wait,
    /// How the answer says when to come back; by the provider's knob if absent.
    #[serde(default)]
    pub retry_after: Option<RetryAfter>,
}

/// The form of a `Retry-After`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RetryAfter {
    /// No such header.
    #[default]
    None,
    /// Seconds from now.
    Seconds,
    /// An HTTP date.
    Date,
}

/// See [`Fault::AuthDown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthDown {
    /// For how long.
    #[serde(rename = "for")]
    pub lasting: Wait,
    /// 401 or 403.
    #[serde(default = "unauthorized")]
    pub code: u16,
}

fn unauthorized() -> u16 {
    401
}

/// Faults, and the calls they strike. A field left out matches every call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultOrder {
    /// Calls of this provider.
    #[serde(default)]
    pub provider: Option<Provider>,
    /// Calls of this operation.
    #[serde(default)]
    pub op: Option<Operation>,
    /// Calls about a label that contains this.
    #[serde(default)]
    pub label: Option<String>,
    /// Calls whose path names this organization, project or id.
    #[serde(default)]
    pub resource: Option<String>,
    /// Calls made with the credential of this id.
    #[serde(default)]
    pub caller: Option<String>,
    /// Of the calls that match, only this one, counted from 1.
    #[serde(default)]
    pub nth: Option<u64>,
    /// Of the calls that match, each with this probability.
    #[serde(default)]
    pub probability: Option<f64>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

impl FaultOrder {
    /// These faults on every call of an operation. Narrow it with the other fields.
    pub fn on(op: Operation, faults: impl IntoIterator<Item = Fault>) -> Self {
        Self {
            op: Some(op),
            faults: faults.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Only the n-th call that matches, counted from 1.
    #[must_use]
    pub fn nth(self, nth: u64) -> Self {
        Self {
            nth: Some(nth),
            ..self
        }
    }

    fn matches(&self, call: &Facts) -> bool {
        let is =
            |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        self.provider
            .is_none_or(|provider| provider == call.provider)
            && (self.op.is_none() || self.op == call.op)
            && is(&self.caller, &call.caller)
            && (self.resource.as_ref()).is_none_or(|wanted| call.resources.contains(wanted))
            && self.label.as_ref().is_none_or(|wanted| {
                call.label
                    .as_ref()
                    .is_some_and(|label| label.contains(wanted))
            })
    }
}

/// What an order can match on.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) provider: Provider,
    pub(super) op: Option<Operation>,
    pub(super) caller: Option<String>,
    /// The credential or project that the path names.
    pub(super) id: Option<String>,
    /// The label in the request, else that of the credential in the path.
    pub(super) label: Option<String>,
    /// The names in the path: organization, project, id.
    pub(super) resources: Vec<String>,
}

/// The orders in force.
#[derive(Debug, Default)]
pub(super) struct Orders(Vec<Standing>);

#[derive(Debug)]
struct Standing {
    order: FaultOrder,
    since: Timestamp,
    matched: u64,
    /// When the calls that a rate limit let through were made.
    served: VecDeque<Timestamp>,
}

impl Orders {
    pub(super) fn add(&mut self, order: FaultOrder, now: Timestamp) {
        self.0.push(Standing {
            order,
            since: now,
            matched: 0,
            served: VecDeque::new(),
        });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The faults that strike this call.
    pub(super) fn strike(
        &mut self,
        call: &Facts,
        now: Timestamp,
        generator: &mut Generator,
    ) -> Vec<Fault> {
        (self.0.iter_mut())
            .filter(|standing| standing.order.matches(call))
            .flat_map(|standing| standing.strike(now, generator))
            .collect()
    }
}

impl Standing {
    fn strike(&mut self, now: Timestamp, generator: &mut Generator) -> Vec<Fault> {
        self.matched += 1;
        let struck = self.order.nth.is_none_or(|nth| nth == self.matched)
            && (self.order.probability).is_none_or(|likely| generator.chance(likely));
        if !struck {
            return Vec::new();
        }
        let (since, served) = (self.since, &mut self.served);
        (self.order.faults.iter())
            .filter(|fault| match fault {
                Fault::RateLimit(limit) => exceeds(served, limit, now),
                Fault::AuthDown(down) => now < after(since, down.lasting.0),
                _ => true,
            })
            .cloned()
            .collect()
    }
}

/// Whether one more call now is beyond the limit; if not, it is counted.
fn exceeds(served: &mut VecDeque<Timestamp>, limit: &RateLimit, now: Timestamp) -> bool {
    while served
        .front()
        .is_some_and(|at| after(*at, limit.window.0) <= now)
    {
        served.pop_front();
    }
    let exceeded = served.len() >= limit.limit;
    if !exceeded {
        served.push_back(now);
    }
    exceeded
}

//! What to do next about one credential, and why. Pure: no I/O, no clock, no runtime.
//!
//! The order of `RULES` is the design: the first rule that has something to say wins. Duties towards
//! what exists come first (a deletion, an orphaned intent, a revocation), then the credential in hand,
//! then the target, then the one that retires, and a new one last.

use jiff::Timestamp;

pub use because::{Because, Obstacle, SETTLE, Work, unknown_outcomes};
pub use gates::{Blocked, Retired};
pub use times::Times;
pub use world::World;

use crate::ledger::{
    ids::{Epoch, Generation},
    proof::Condemned,
    record::{Cause, Place},
};

mod because;
mod duties;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod gates;
mod rest;
mod rules;
pub mod schedule;
pub mod times;
pub mod world;

/// What to do next, and why.
#[derive(Debug)]
pub struct Plan {
    /// One effect, or nothing to do now.
    pub effect: Option<Effect>,
    /// Why.
    pub because: Because,
    /// When to look again, if nothing happens before.
    pub wake: Option<Timestamp>,
}

/// Everything Handover can do about a credential. There is no "POST again" and no "DELETE this id".
#[derive(Debug)]
pub enum Effect {
    /// Give the resource its finalizer back.
    Claim,
    /// The resource goes: nothing is armed any more.
    Bury,
    /// Take the finalizer off.
    Release,
    /// Delete the target.
    RemoveTarget,
    /// Remove a ledger whose duty is done.
    Close,
    /// Give up an intent whose holder is gone. Its create is never sent again.
    Abandon(Generation),
    /// Whatever is past the end of its life is to be deleted.
    CondemnExpired,
    /// Delete at the provider, then clear.
    Revoke(Condemned),
    /// Take a person's word about creates with an unknown outcome.
    Resolve(Vec<Generation>),
    /// Make a lost ledger anew from an intact target.
    Rebuild,
    /// E1: dry-run of the target write.
    Rehearse,
    /// Arm, POST once, fill (or disarm, or abandon).
    Issue(Order),
    /// Probe the stored value, then promote.
    Verify(Generation),
    /// Give up a pending credential.
    Reject(Generation, Rejection),
    /// Write the target.
    Deliver,
    /// The overlap begins: the target holds the current credential.
    StartOverlap(Epoch),
    /// The target was damaged during the overlap, which begins anew after the repair.
    SuspendOverlap,
    /// Look at the live target and the Pods.
    Inspect,
    /// Probe the current credential again.
    Prove(Generation),
    /// Retiring → deleting, absorbing.
    Mark(Retired),
}

/// What to issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The number of the attempt.
    pub generation: Generation,
    /// Why.
    pub cause: Cause,
    /// The rotate request that is answered by it.
    pub request: Option<Timestamp>,
    /// Where.
    pub place: Place,
    /// Digest of the identity fields.
    pub spec_hash: String,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// Why a pending credential is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// It is not what was asked for, or the provider refused it for too long.
    Unusable,
    /// The spec changed meanwhile.
    Outdated,
}

impl Effect {
    /// A word for logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Claim => "Claim",
            Self::Bury => "Bury",
            Self::Release => "Release",
            Self::RemoveTarget => "RemoveTarget",
            Self::Close => "Close",
            Self::Abandon(_) => "Abandon",
            Self::CondemnExpired => "CondemnExpired",
            Self::Revoke(_) => "Revoke",
            Self::Resolve(_) => "Resolve",
            Self::Rebuild => "Rebuild",
            Self::Rehearse => "Rehearse",
            Self::Issue(_) => "Issue",
            Self::Verify(_) => "Verify",
            Self::Reject(..) => "Reject",
            Self::Deliver => "Deliver",
            Self::StartOverlap(_) => "StartOverlap",
            Self::SuspendOverlap => "SuspendOverlap",
            Self::Inspect => "Inspect",
            Self::Prove(_) => "Prove",
            Self::Mark(_) => "Mark",
        }
    }
}

type Rule = fn(&World, Timestamp) -> Option<Plan>;

const RULES: &[Rule] = &[
    duties::bury_when_deleted,
    duties::abandon_orphaned_intent, // armed by a holder that is gone; never sent again
    duties::release_with_namespace,
    duties::condemn_expired,
    duties::revoke_condemned, // in an absorbing state already: finish it
    duties::settle_resolved,
    duties::remove_target_when_buried,
    duties::release_resource,
    duties::close_ledger,
    duties::rest_when_leaving,
    rules::rest_when_paused,
    rules::claim_resource,
    rules::refuse_foreign_target, // someone else's Secret has that name; stops nothing above
    rules::rebuild_lost_ledger,
    rules::reject_unusable_pending,
    rules::reject_outdated_pending,
    rules::verify_pending,
    rules::suspend_overlap, // before a repair, so that a crash cannot shorten the overlap
    rules::deliver_promoted,
    rules::start_overlap,
    rules::inspect_gates, // the overlap is over
    rules::prove_current_again,
    rules::mark_retired, // only through an open gate
    rules::rehearse_target,
    rules::issue_when_none,
    rules::issue_when_due,
];

/// The next step. The planner that ships is the one that is model-checked.
pub fn plan(world: &World, now: Timestamp) -> Plan {
    let rule = RULES.iter().find_map(|rule| rule(world, now));
    let mut plan = rule.unwrap_or_else(|| rest::rest(world, now));
    if plan.effect.is_none() {
        // Whatever it waits for, a duty that falls due before is not slept over.
        plan.wake = plan.wake.into_iter().chain(duties::next(world, now)).min();
    }
    plan
}

impl Plan {
    fn act(effect: Effect, work: Work) -> Self {
        Self {
            effect: Some(effect),
            because: Because::Working(work),
            wake: None,
        }
    }

    fn wait(because: Because, wake: Option<Timestamp>) -> Self {
        Self {
            effect: None,
            because,
            wake,
        }
    }

    fn blocked(obstacle: Obstacle, wake: Option<Timestamp>) -> Self {
        Self::wait(Because::Blocked(obstacle), wake)
    }
}

#[cfg(test)]
mod tests;

//! The verdict on one resource: ready or not, why, and whether anybody has to act. Pure.

use crate::{
    api::{condition::Reason, moment::Moment},
    plan::{Because, Blocked, Obstacle, Work, World, world::Task},
};

/// The verdict on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `Ready=True`.
    pub ready: bool,
    /// Nothing will change until someone acts. Only if not ready.
    pub stalled: bool,
    /// Of the condition `Ready`.
    pub reason: Reason,
    /// Of the condition `Ready`.
    pub message: String,
    /// `RotationBlocked`, if it is.
    pub blocked: Option<String>,
}

/// Reads the verdict off a world and its plan.
pub fn verdict(world: &World, because: &Because) -> Verdict {
    let usable = world.is_delivered() && fits(world);
    match because {
        Because::Leaving(obstacle) => leaving(obstacle.as_ref()),
        Because::Blocked(obstacle) if is_hard(obstacle.reason) || !usable => no(obstacle),
        _ => match world
            .obstacle
            .as_ref()
            .filter(|obstacle| is_hard(obstacle.reason))
        {
            Some(obstacle) => no(obstacle),
            None if usable => in_use(because, world.obstacle.as_ref()),
            None => not_yet(world, because),
        },
    }
}

/// Whether what is in use is what the spec asks for.
fn fits(world: &World) -> bool {
    let current = world
        .ledger
        .as_ref()
        .and_then(|ledger| ledger.current.as_ref());
    let wanted = world.wish().and_then(|wish| wish.spec_hash.as_ref());
    wanted.is_none_or(|wanted| current.is_some_and(|current| current.origin.spec_hash == *wanted))
}

/// Reasons that make a resource not ready even while an older credential works: the spec as it stands
/// cannot be had.
const fn is_hard(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::SpecInvalid
            | Reason::NotAllowed
            | Reason::NamespaceNotGranted
            | Reason::TargetForeign
            | Reason::CapabilityMissing
            | Reason::StateRollback
    )
}

/// Reasons that do not go away by themselves.
const fn is_final(reason: Reason) -> bool {
    is_hard(reason)
        || matches!(
            reason,
            Reason::TargetRejected
                | Reason::ProviderRejected
                | Reason::VerifyFailed
                | Reason::BreakerOpen
                | Reason::AmbiguousCreate
                | Reason::Paused
        )
}

fn no(obstacle: &Obstacle) -> Verdict {
    Verdict {
        ready: false,
        stalled: is_final(obstacle.reason),
        reason: obstacle.reason,
        message: obstacle.message.clone(),
        blocked: None,
    }
}

fn leaving(obstacle: Option<&Obstacle>) -> Verdict {
    let message = obstacle.map_or_else(
        || "its credentials are being revoked".to_owned(),
        |obstacle| format!("{} ({})", obstacle.message, obstacle.reason.as_str()),
    );
    Verdict {
        ready: false,
        stalled: false,
        reason: Reason::Deleting,
        message,
        blocked: None,
    }
}

/// The target holds a verified credential; the rest is about its predecessor or its successor.
fn in_use(because: &Because, obstacle: Option<&Obstacle>) -> Verdict {
    let yes = |reason, message: String, blocked| Verdict {
        ready: true,
        stalled: false,
        reason,
        message,
        blocked,
    };
    let delivered = "the target Secret holds a verified credential";
    let waits = |obstacle: &Obstacle| {
        let (what, reason) = (&obstacle.message, obstacle.reason.as_str());
        format!("{delivered}; what comes next waits: {what} ({reason})")
    };
    match because {
        Because::Overlap(until) => {
            let until = Moment(*until);
            yes(
                Reason::Overlap,
                format!("{delivered}; the one before stays valid at least until {until}"),
                None,
            )
        }
        Because::GatesClosed(closed) => {
            let waits = format!(
                "the one before stays valid: {}",
                waiting_for(closed).join("; ")
            );
            yes(
                Reason::Overlap,
                format!("{delivered}; {waits}"),
                is_blocking(closed).then_some(waits),
            )
        }
        Because::Blocked(obstacle) if obstacle.reason == Reason::RotationBlocked => yes(
            Reason::Overlap,
            delivered.to_owned(),
            Some(obstacle.message.clone()),
        ),
        Because::Blocked(obstacle) => yes(Reason::Delivered, waits(obstacle), None),
        Because::Paused => yes(
            Reason::Delivered,
            format!("{delivered}; paused by annotation"),
            None,
        ),
        Because::Settled | Because::Working(_) | Because::Leaving(_) => {
            // A connection in trouble tells that itself; one that is missing has nowhere to tell it.
            let missing = obstacle.filter(|o| o.reason == Reason::ReferenceMissing);
            let message = missing.map_or_else(|| delivered.to_owned(), waits);
            yes(Reason::Delivered, message, None)
        }
    }
}

const fn is_blocking(closed: &Blocked) -> bool {
    matches!(closed, Blocked::Pods(_) | Blocked::PodsUnknown)
}

fn not_yet(world: &World, because: &Because) -> Verdict {
    let (reason, message) = match because {
        Because::Paused => (
            Reason::Paused,
            "paused by the annotation handover.dev/paused".to_owned(),
        ),
        Because::Working(Work::Verify) => {
            let wait = world.memory.waits.get(&Task::Verify);
            let wait = wait.map(|wait| wait.obstacle.message.clone());
            let why = wait.unwrap_or_else(|| "the stored credential is being verified".to_owned());
            (Reason::Verifying, why)
        }
        Because::Working(Work::Issue(cause)) => (
            Reason::Issuing,
            format!("a credential is being created ({})", cause.as_str()),
        ),
        _ => (
            Reason::Delivering,
            "the target Secret is being written".to_owned(),
        ),
    };
    Verdict {
        ready: false,
        stalled: is_final(reason),
        reason,
        message,
        blocked: None,
    }
}

/// What the retiring credential waits for, by name.
pub fn waiting_for(closed: &Blocked) -> Vec<String> {
    match closed {
        Blocked::Idle => Vec::new(),
        Blocked::Overlap(until) => vec![format!("the overlap ends at {}", Moment(*until))],
        Blocked::NotDistributed => vec!["the new credential is not in the target yet".to_owned()],
        Blocked::NotInspected | Blocked::NotProven => {
            vec!["the credential in use is proven once more".to_owned()]
        }
        Blocked::PodsUnknown => {
            vec!["Pods may not be listed; grant it (rbac.pods of the chart) or set rotation.waitFor: []".to_owned()]
        }
        Blocked::Pods(names) => {
            let shown = names
                .iter()
                .take(8)
                .map(|name| format!("Pod {} has the old value until it is replaced", cut(name)));
            let more = names.len().saturating_sub(8);
            shown
                .chain((more > 0).then(|| format!("and {more} more Pods")))
                .collect()
        }
    }
}

/// The beginning of a Pod's name: an item of status has 256 characters, a name up to 253.
fn cut(name: &str) -> &str {
    name.get(..200).unwrap_or(name)
}

#[cfg(test)]
mod tests;

//! The story that the sandbox tells: each chapter does something, says what was seen of it, and fails if
//! any of that is not so.
//!
//! What is told comes from the API server and from the provider, not from the operator's own logs; a value
//! is never shown.

use std::fs;

use super::{
    SandboxError,
    error::hold,
    journal::Issue,
    narrator::{Narrator, short},
    stage::Stage,
};
use crate::simulator::CANARY;

mod deletion;
mod issue;
mod lost_answer;
mod rotation;

/// What it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    /// Replacements of a token in use.
    pub(super) rotations: i64,
    /// How often the consumer authenticated.
    pub(super) ticks: u64,
    /// How often it was refused.
    pub(super) refused: u64,
    /// Creates that were sent, and tokens that were deleted.
    pub(super) created: usize,
    /// Tokens that still work when all is over.
    pub(super) left: usize,
}

/// Plays all chapters.
pub(super) async fn tell(stage: &mut Stage) -> Result<Summary, SandboxError> {
    let first = issue::tell(stage).await?;
    let second = rotation::tell(stage, &first).await?;
    let third = lost_answer::tell(stage, &second).await?;
    let summary = deletion::tell(stage, &third).await?;
    nothing_leaked(stage)?;
    Ok(summary)
}

/// The simulator puts a mark into every value that it makes, the admin's too.
fn nothing_leaked(stage: &Stage) -> Result<(), SandboxError> {
    let path = stage.operator.log();
    let log = fs::read_to_string(path).map_err(|source| SandboxError::File {
        path: path.to_owned(),
        source,
    })?;
    hold(!log.contains(CANARY), "a value is in the operator's log")
}

/// From the arming of an attempt to its delivery, as both witnesses saw it.
fn tell_issue(narrator: &Narrator, issue: &Issue) {
    let (attempt, id) = (issue.creation.attempt, short(&issue.creation.id));
    if let Some(at) = issue.rehearsed {
        narrator.step_at(
            at,
            "rehearsed",
            "a dry run: Secret web/ci-deploy can be written, so a token would have a place",
        );
    }
    narrator.step_at(
        issue.armed,
        "armed",
        format_args!("the ledger records attempt {attempt} before its create is sent"),
    );
    narrator.step_at(
        issue.created,
        "created",
        format_args!("Errova made {id}; its answer shows the value, this once"),
    );
    narrator.step_at(
        issue.filled,
        "filled",
        "the ledger stores the value before anybody uses it",
    );
    narrator.step_at(
        issue.verified,
        "verified",
        "the stored value authenticates at Errova",
    );
    narrator.step_at(
        issue.promoted,
        "promoted",
        format_args!("the ledger makes {id} the current token"),
    );
    narrator.step_at(
        issue.delivered,
        "delivered",
        format_args!("Secret web/ci-deploy holds {id}"),
    );
}

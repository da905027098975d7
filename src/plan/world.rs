//! What the planner sees: gathered once, then changed only by the replies to our own effects.
//!
//! There is no status in here: what people read is never an input to a decision.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{Obstacle, gates::Blocked, times::Times};
use crate::ledger::{
    ids::{CredentialId, Epoch, Generation},
    record::{Ledger, Owner, Patience, Place},
};

/// One credential resource and everything around it.
#[derive(Clone, Debug)]
pub struct World {
    /// Which resource.
    pub owner: Owner,
    /// What it asks for, or that it goes.
    pub resource: Resource,
    /// The record, if there is one.
    pub ledger: Option<Ledger>,
    /// The target Secret.
    pub target: Target,
    /// Attempts that a person settled, on the resource or on its ledger.
    pub resolved: Vec<Generation>,
    /// Why nothing may be issued at the moment, apart from budget and backoff.
    pub obstacle: Option<Obstacle>,
    /// What this process alone knows.
    pub memory: Memory,
    /// What was looked up in this very pass.
    pub fresh: Fresh,
    /// The durations of the protocol.
    pub times: Times,
}

/// The custom resource.
#[derive(Clone, Debug)]
pub enum Resource {
    /// It is there and asks.
    Wanted(Box<Wish>),
    /// It is being deleted.
    Deleting(Deletion),
    /// It is gone.
    Gone,
}

/// What a resource asks for, defaults applied.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Where to issue, if the connection can be used.
    pub place: Option<Place>,
    /// Digest of the identity fields; unknown while the connection is.
    pub spec_hash: Option<String>,
    /// Digest of what the target should look like, values apart.
    pub rendering: String,
    /// When to rotate.
    pub rotation: Rotation,
    /// The end of a life, counted from issue.
    pub expires_after: Option<SignedDuration>,
    /// `handover.dev/paused`.
    pub paused: bool,
    /// How many unresolved creates do not stop the next one.
    pub max_unresolved: usize,
    /// Digest of spec, connection and its auth: when it changes, backoff is over.
    pub inputs: String,
    /// Our finalizer is on the resource.
    pub claimed: bool,
}

/// When to rotate, defaults applied.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// On which clock.
    pub rhythm: Rhythm,
    /// What the one before waits for.
    pub patience: Patience,
    /// Replace what was issued before (resource and connection, the later one that has passed).
    pub issued_after: Vec<Timestamp>,
    /// The rotate annotation.
    pub requested_at: Option<Timestamp>,
    /// Replace before the end of its life.
    pub renew: bool,
}

/// The clock of routine rotations.
#[derive(Clone, Debug)]
pub enum Rhythm {
    /// On request and before expiry only.
    OnRequest,
    /// So long after issue.
    Every(SignedDuration),
    /// By a cron expression in a time zone.
    Cron(Box<croner::Cron>, TimeZone),
}

/// A resource on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// `deletionPolicy: Retain`, and what a retiring credential then waits for.
    pub retain: Option<Patience>,
    /// Our finalizer is still on it.
    pub claimed: bool,
    /// Its namespace is being deleted: the finalizer must not stand in the way.
    pub terminating: bool,
}

/// The target Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// There is none.
    Absent,
    /// There is one, and it is not ours.
    Foreign {
        /// Who holds it, if that can be told.
        holder: Option<String>,
    },
    /// It is ours.
    Ours(Seen),
}

/// What our target shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Of its annotations.
    pub epoch: Epoch,
    /// Of its annotations.
    pub attempt: Generation,
    /// Of its annotations.
    pub id: CredentialId,
    /// Digest of the presentation it was rendered by.
    pub rendering: String,
    /// The MAC over owner, epoch, id and data verifies: nobody else changed it.
    pub sound: bool,
    /// Nothing can be changed in it any more.
    pub immutable: bool,
}

/// What this process remembers between passes. Losing it costs calls, never safety.
#[derive(Clone, Debug)]
pub struct Memory {
    /// This process.
    pub holder: String,
    /// It is asked to stop: nothing is armed any more.
    pub stopping: bool,
    /// Effects that failed, and when they may be tried again.
    pub waits: BTreeMap<Task, Wait>,
    /// When the target was last written, and with which epoch.
    pub delivered: Option<(Epoch, Timestamp)>,
    /// Since when the provider refuses the stored value of a pending credential.
    pub refused_since: Option<(Generation, Timestamp)>,
    /// What the last look at the gates showed, and when to look again.
    pub closed: Option<(Blocked, Timestamp)>,
    /// Rendering for which the target's write was rehearsed with success.
    pub rehearsed: Option<String>,
}

impl Memory {
    /// A process that just started knows nothing.
    pub fn blank(holder: &str) -> Self {
        Self {
            holder: holder.to_owned(),
            stopping: false,
            waits: BTreeMap::new(),
            delivered: None,
            refused_since: None,
            closed: None,
            rehearsed: None,
        }
    }
}

/// What can fail and be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// Looking whether the target can be written.
    Rehearse,
    /// Probing the pending credential.
    Verify,
    /// Writing the target.
    Deliver,
    /// Looking at the gates.
    Inspect,
    /// Probing the current credential again.
    Prove,
    /// Deleting at the provider.
    Revoke,
    /// Deleting the target.
    RemoveTarget,
}

/// A task that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Not before this.
    pub until: Timestamp,
    /// Failures in a row.
    pub n: u32,
    /// Why.
    pub obstacle: Obstacle,
}

/// Facts that were looked up in this pass; a pass begins without any.
#[derive(Clone, Debug, Default)]
pub struct Fresh {
    /// The live target and the Pods, read after the overlap was over.
    pub inspected: Option<Inspection>,
    /// When the current credential was proven valid again.
    pub proven: Option<Timestamp>,
}

/// A live look at what the gates are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// When.
    pub at: Timestamp,
    /// Pods that refer to the target; none if they may not be listed.
    pub pods: Option<Vec<PodUse>>,
}

/// A Pod that refers to the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodUse {
    /// Its name.
    pub name: String,
    /// Since when it runs (or exists).
    pub since: Timestamp,
    /// It reads the Secret once, when it starts (env, envFrom, subPath).
    pub reads_once: bool,
}

impl World {
    /// The wish of a resource that is there.
    pub fn wish(&self) -> Option<&Wish> {
        match &self.resource {
            Resource::Wanted(wish) => Some(wish),
            Resource::Deleting(_) | Resource::Gone => None,
        }
    }

    /// The failed task that still has to wait.
    pub fn waiting(&self, task: Task, now: Timestamp) -> Option<&Wait> {
        self.memory.waits.get(&task).filter(|wait| wait.until > now)
    }

    /// Whether the target shows exactly the current credential, untouched, as it should look.
    pub fn is_delivered(&self) -> bool {
        let Some(current) = self
            .ledger
            .as_ref()
            .and_then(|ledger| ledger.current.as_ref())
        else {
            return false;
        };
        let Target::Ours(seen) = &self.target else {
            return false;
        };
        let epoch = self.ledger.as_ref().map(|ledger| ledger.epoch);
        let rendering = self
            .wish()
            .is_none_or(|wish| wish.rendering == seen.rendering);
        seen.sound && Some(seen.epoch) == epoch && seen.id == current.origin.id && rendering
    }
}

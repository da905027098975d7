//! Worlds for tests: verbs on a resource and what is around it. Everything happens at [`NOON`].

use croner::parser::CronParser;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{
    Obstacle, World,
    gates::Blocked,
    times::Times,
    world::{
        Deletion, Fresh, Inspection, Memory, PodUse, Resource, Rhythm, Rotation, Seen, Target,
        Task, Wait, Wish,
    },
};
use crate::{
    api::condition::Reason,
    ledger::{
        fixtures::{DAY, HOLDER, HOUR, NOON, PATIENCE, SPEC, ago, owner, place},
        record::Ledger,
    },
};

/// Digest of the presentation that tests ask for.
pub(crate) const RENDERING: &str = "rendering-1";

/// Digest of spec, connection and auth in tests.
pub(crate) const INPUTS: &str = "inputs-1";

/// A target that shows the current credential of `ledger`.
pub(crate) fn delivered(ledger: &Ledger) -> Target {
    let current = ledger.current.as_ref().unwrap();
    Target::Ours(Seen {
        epoch: ledger.epoch,
        attempt: current.origin.generation,
        id: current.origin.id.clone(),
        rendering: RENDERING.to_owned(),
        sound: true,
        immutable: false,
    })
}

/// A Pod that reads the target once, at its start.
pub(crate) fn pod(name: &str, since: Timestamp) -> PodUse {
    PodUse {
        name: name.to_owned(),
        since,
        reads_once: true,
    }
}

/// A Pod that mounts the target as a volume.
pub(crate) fn volume_pod(name: &str, since: Timestamp) -> PodUse {
    PodUse {
        reads_once: false,
        ..pod(name, since)
    }
}

impl World {
    /// A new resource: nothing is issued, the target is rehearsed, nothing is ever due.
    pub(crate) fn test() -> Self {
        let rotation = Rotation {
            rhythm: Rhythm::OnRequest,
            patience: PATIENCE,
            issued_after: Vec::new(),
            requested_at: None,
            renew: true,
        };
        let wish = Wish {
            place: Some(place()),
            spec_hash: Some(SPEC.to_owned()),
            rendering: RENDERING.to_owned(),
            rotation,
            expires_after: None,
            paused: false,
            max_unresolved: 1,
            inputs: INPUTS.to_owned(),
            claimed: true,
        };
        let mut memory = Memory::blank(HOLDER);
        memory.rehearsed = Some(RENDERING.to_owned());
        Self {
            owner: owner(),
            resource: Resource::Wanted(Box::new(wish)),
            ledger: None,
            target: Target::Absent,
            resolved: Vec::new(),
            obstacle: None,
            memory,
            fresh: Fresh::default(),
            times: Times::shipped(),
        }
    }

    /// In use for an hour.
    pub(crate) fn issued() -> Self {
        Self::test().with_ledger(Ledger::test().issued(ago(HOUR)))
    }

    /// Replaced two hours ago, an overlap of one hour behind it, and nobody looked at the gates yet.
    pub(crate) fn retiring() -> Self {
        let ledger = Ledger::test().issued(ago(DAY)).issued(ago(HOUR * 2));
        Self::test().with_ledger(ledger.overlapping(ago(HOUR * 2)))
    }

    /// With this ledger, whose current credential is delivered.
    pub(crate) fn with_ledger(mut self, ledger: Ledger) -> Self {
        if ledger.current.is_some() {
            self.target = delivered(&ledger);
        }
        self.ledger = Some(ledger);
        self
    }

    /// The ledger alone is different; the target still shows what it did.
    pub(crate) fn record(mut self, change: impl FnOnce(Ledger) -> Ledger) -> Self {
        self.ledger = self.ledger.map(change);
        self
    }

    /// Asks for something else.
    pub(crate) fn wishing(mut self, change: impl FnOnce(&mut Wish)) -> Self {
        let Resource::Wanted(wish) = &mut self.resource else {
            panic!("nobody wishes anything");
        };
        change(wish);
        self
    }

    /// Is to be rotated otherwise.
    pub(crate) fn rotating(self, change: impl FnOnce(&mut Rotation)) -> Self {
        self.wishing(|wish| change(&mut wish.rotation))
    }

    /// `rotation.every`.
    pub(crate) fn every(self, span: SignedDuration) -> Self {
        self.rotating(|rotation| rotation.rhythm = Rhythm::Every(span))
    }

    /// `rotation.schedule` in a time zone.
    pub(crate) fn cron(self, expression: &str, zone: &str) -> Self {
        let cron = CronParser::new().parse(expression).unwrap();
        let zone = TimeZone::get(zone).unwrap();
        self.rotating(|rotation| rotation.rhythm = Rhythm::Cron(Box::new(cron), zone))
    }

    /// The rotate annotation.
    pub(crate) fn asked(self, at: Timestamp) -> Self {
        self.rotating(|rotation| rotation.requested_at = Some(at))
    }

    /// `issuedAfter` of resource and connection.
    pub(crate) fn issued_after(self, levels: impl Into<Vec<Timestamp>>) -> Self {
        self.rotating(|rotation| rotation.issued_after = levels.into())
    }

    /// The pause annotation.
    pub(crate) fn paused(self) -> Self {
        self.wishing(|wish| wish.paused = true)
    }

    /// Being deleted, with our finalizer on it.
    pub(crate) fn deleting(mut self) -> Self {
        self.resource = Resource::Deleting(Deletion {
            retain: None,
            claimed: true,
            terminating: false,
        });
        self
    }

    /// How it is being deleted.
    pub(crate) fn deletion(mut self, change: impl FnOnce(&mut Deletion)) -> Self {
        let Resource::Deleting(deletion) = &mut self.resource else {
            panic!("it is not being deleted");
        };
        change(deletion);
        self
    }

    /// No longer there.
    pub(crate) fn gone(mut self) -> Self {
        self.resource = Resource::Gone;
        self
    }

    /// The target is someone else's.
    pub(crate) fn foreign(mut self, holder: Option<&str>) -> Self {
        let holder = holder.map(ToOwned::to_owned);
        self.target = Target::Foreign { holder };
        self
    }

    /// The target was deleted.
    pub(crate) fn targetless(mut self) -> Self {
        self.target = Target::Absent;
        self
    }

    /// The target shows something else.
    pub(crate) fn showing(mut self, change: impl FnOnce(&mut Seen)) -> Self {
        let Target::Ours(seen) = &mut self.target else {
            panic!("there is no target of ours");
        };
        change(seen);
        self
    }

    /// Somebody edited the target.
    pub(crate) fn damaged(self) -> Self {
        self.showing(|seen| seen.sound = false)
    }

    /// Nothing may be issued.
    pub(crate) fn hindered(mut self, reason: Reason) -> Self {
        self.obstacle = Some(Obstacle::new(reason, "for a test"));
        self
    }

    /// A task failed, and waits.
    pub(crate) fn waiting_for(mut self, task: Task, until: Timestamp) -> Self {
        let obstacle = Obstacle::new(Reason::ProviderUnavailable, format!("{task:?} failed"));
        let wait = Wait {
            until,
            n: 1,
            obstacle,
        };
        self.memory.waits.insert(task, wait);
        self
    }

    /// Target and Pods were looked at now.
    pub(crate) fn inspected(mut self, pods: impl Into<Option<Vec<PodUse>>>) -> Self {
        let pods = pods.into();
        self.fresh.inspected = Some(Inspection { at: NOON, pods });
        self
    }

    /// The current credential was proven valid again now.
    pub(crate) fn proven(mut self) -> Self {
        self.fresh.proven = Some(NOON);
        self
    }

    /// The gates were seen closed, and are not looked at before `until`.
    pub(crate) fn seen_closed(mut self, until: Timestamp) -> Self {
        self.memory.closed = Some((Blocked::PodsUnknown, until));
        self
    }

    /// Whatever has no verb of its own.
    pub(crate) fn but(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

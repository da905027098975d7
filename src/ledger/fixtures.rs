//! Ledgers for tests: verbs that lead from an empty record to any other, by the transitions that ship.

use jiff::{SignedDuration, Timestamp};

use super::{
    ids::{CredentialId, Generation},
    marker::{InstanceId, Nonce},
    record::{
        Backoff, Budget, Cause, Failure, Intent, Kind, Ledger, Origin, Owner, Patience, Place,
        Proof,
    },
};
use crate::moment::{after, before};

pub(crate) mod walk;

/// The moment at which tests happen: 2026-03-10T12:00:00Z.
pub(crate) const NOON: Timestamp = Timestamp::constant(1_773_144_000, 0);

pub(crate) const MILLISECOND: SignedDuration = SignedDuration::from_millis(1);
pub(crate) const SECOND: SignedDuration = SignedDuration::from_secs(1);
pub(crate) const MINUTE: SignedDuration = SignedDuration::from_mins(1);
pub(crate) const HOUR: SignedDuration = SignedDuration::from_hours(1);
pub(crate) const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The identity of the spec that tests ask for.
pub(crate) const SPEC: &str = "spec-1";

/// The process that tests run in.
pub(crate) const HOLDER: &str = "pod-1/boot-1";

/// So long before [`NOON`].
pub(crate) fn ago(span: SignedDuration) -> Timestamp {
    before(NOON, span)
}

/// So long after [`NOON`].
pub(crate) fn ahead(span: SignedDuration) -> Timestamp {
    after(NOON, span)
}

pub(crate) fn owner() -> Owner {
    Owner {
        kind: Kind::MachineToken,
        namespace: "team-a".to_owned(),
        name: "ci".to_owned(),
        uid: "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0".to_owned(),
    }
}

pub(crate) fn place() -> Place {
    Place {
        connection: "ClusterConnection/acme".to_owned(),
        uid: "connection-uid".to_owned(),
        endpoint: "https://errova.example".to_owned(),
        organization: "acme".to_owned(),
    }
}

pub(crate) fn instance() -> InstanceId {
    InstanceId::parse("1a2b3c4d").unwrap()
}

pub(crate) fn id(text: &str) -> CredentialId {
    CredentialId::parse(text).unwrap()
}

/// The id of what attempt `g` of a fixture creates.
pub(crate) fn id_of(g: u64) -> CredentialId {
    id(&format!("cred-{g}"))
}

/// The nonce of attempt `g` of a fixture.
pub(crate) fn nonce(g: u64) -> Nonce {
    Nonce::parse(&format!("{g:016x}")).unwrap()
}

pub(crate) fn intent(g: u64, at: Timestamp) -> Intent {
    Intent {
        generation: Generation(g),
        nonce: nonce(g),
        spec_hash: SPEC.to_owned(),
        holder: HOLDER.to_owned(),
        at,
        sendable_until: after(at, MINUTE),
        place: place(),
        cause: if g == 1 {
            Cause::Created
        } else {
            Cause::Scheduled
        },
        request: None,
        expires_at: None,
    }
}

pub(crate) fn origin(g: u64, at: Timestamp) -> Origin {
    Origin {
        generation: Generation(g),
        nonce: Some(nonce(g)),
        id: id_of(g),
        place: place(),
        at,
        expires_at: None,
        cause: Cause::Created,
        spec_hash: SPEC.to_owned(),
    }
}

pub(crate) fn backoff(until: Timestamp) -> Backoff {
    Backoff {
        n: 1,
        until,
        failure: Failure::Ambiguous,
        inputs: "inputs-1".to_owned(),
        request: None,
    }
}

/// `deletionPolicy: Retain` with an overlap of an hour and the gate `Pods`.
pub(crate) const PATIENCE: Patience = Patience {
    overlap: HOUR,
    pods: true,
};

impl Ledger {
    /// The ledger of a resource for which nothing was asked yet.
    pub(crate) fn test() -> Self {
        Self::new(owner(), "ci".to_owned())
    }

    /// One more intent, armed at `at`.
    pub(crate) fn arming(self, at: Timestamp) -> Self {
        self.arming_with(at, |_| {})
    }

    /// The same, changed before it is armed.
    pub(crate) fn arming_with(self, at: Timestamp, change: impl FnOnce(&mut Intent)) -> Self {
        let mut intent = intent(self.attempt.next().0, at);
        change(&mut intent);
        self.arm(intent, DAY).unwrap()
    }

    /// What was armed is stored.
    pub(crate) fn filling(self) -> Self {
        let intent = self.intent.as_ref().unwrap();
        let (g, at) = (intent.generation, after(intent.at, SECOND));
        self.fill(g, id_of(g.0), None, at).unwrap()
    }

    /// What is pending is in use.
    pub(crate) fn promoting(self) -> Self {
        let pending = self.pending.as_ref().unwrap();
        let (g, at) = (pending.origin.generation, after(pending.since, SECOND));
        self.promote(g, Proof::Probed, at).unwrap()
    }

    /// A credential armed at `at`, and in use seconds later; the one before retires.
    pub(crate) fn issued(self, at: Timestamp) -> Self {
        self.arming(at).filling().promoting()
    }

    /// The target holds the current credential since `at`.
    pub(crate) fn overlapping(self, at: Timestamp) -> Self {
        self.distributed(self.epoch, at).unwrap()
    }

    /// The retiring credential is to be deleted.
    pub(crate) fn marking(self, at: Timestamp) -> Self {
        let retired = self.retiring.as_ref().unwrap().origin.id.clone();
        self.mark(&retired, at).unwrap()
    }

    /// A create at `at` whose fate is unknown.
    pub(crate) fn unsure(self, at: Timestamp) -> Self {
        let armed = self.arming(at);
        let g = armed.attempt;
        armed.abandon(g, at, None).unwrap()
    }

    /// The current credential ends at `end`.
    pub(crate) fn ending(mut self, end: Timestamp) -> Self {
        self.current.as_mut().unwrap().origin.expires_at = Some(end);
        self
    }

    /// So many creates since `since`, of which so many led to nothing.
    pub(crate) fn spending(mut self, since: Timestamp, count: u32, fruitless: u32) -> Self {
        self.budget = Budget {
            since: Some(since),
            count,
            fruitless,
        };
        self
    }

    /// Whatever has no verb of its own.
    pub(crate) fn but(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

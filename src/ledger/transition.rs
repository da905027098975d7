//! The transitions of a ledger: from one record to the next, without I/O and without a clock.
//!
//! ```text
//!            arm              fill              promote            mark           clear
//!   (idle) ──────► intent ──────────► pending ──────────► current ─ ─ ► retiring ──────► deleting ──────► history
//!                    │ disarm             │ reject           (the one before)              ▲   ▲
//!                    ▼                    └──────────────────────────────────────────────┘   │
//!                  spent                    compensate (an issued id that could not be kept) ────┘
//!                    ▲ resolve
//!   intent ─ abandon ─► abandoned          condemn: anything past its end ──► deleting
//!                                          bury: everything ──► deleting, and nothing is armed again
//! ```
//!
//! A transition that does not apply answers `None`: the caller looks again and plans anew.

use jiff::{SignedDuration, Timestamp};

use super::{
    ids::{CredentialId, Epoch, Generation},
    record::{
        Abandoned, Backoff, Budget, Cause, Current, Doomed, Failure, Intent, Ledger, Origin, Owner,
        Patience, Pending, Proof, Retiring, Spent, Tombstone,
    },
};
use crate::{moment::after, provider::Flaw};

impl Ledger {
    /// E2. One intent at a time, with the next number; never on a buried ledger.
    pub fn arm(&self, intent: Intent, window: SignedDuration) -> Option<Self> {
        let free = self.tombstone.is_none() && self.intent.is_none() && self.pending.is_none();
        if !free || self.retiring.is_some() || intent.generation != self.attempt.next() {
            return None;
        }
        let mut next = self.clone();
        next.attempt = intent.generation;
        next.spent
            .retain(|spent| after(spent.at, window) > intent.at);
        if next
            .budget
            .since
            .is_none_or(|since| after(since, window) <= intent.at)
        {
            next.budget = Budget {
                since: Some(intent.at),
                ..Budget::default()
            };
        }
        next.budget.count += 1;
        next.budget.fruitless += 1;
        next.intent = Some(intent);
        Some(next)
    }

    /// E4. The create is proven to have made nothing; it costs a wait, not the budget.
    pub fn disarm(&self, generation: Generation, backoff: Backoff) -> Option<Self> {
        let mut next = self.spend(generation, self.armed(generation)?.at)?;
        next.budget.count = next.budget.count.saturating_sub(1);
        next.budget.fruitless = next.budget.fruitless.saturating_sub(1);
        next.backoff = Some(backoff);
        Some(next)
    }

    /// E4'. The fate of the create is unknown; its intent never comes back.
    pub fn abandon(
        &self,
        generation: Generation,
        at: Timestamp,
        backoff: Option<Backoff>,
    ) -> Option<Self> {
        let intent = self.armed(generation)?.clone();
        let mut next = self.clone();
        next.intent = None;
        next.abandoned.push(Abandoned {
            generation,
            nonce: intent.nonce,
            at,
            place: intent.place,
            spec_hash: intent.spec_hash,
            cause: intent.cause,
        });
        next.backoff = backoff.or(next.backoff);
        Some(next)
    }

    /// E5. Possession: id and value become durable together (the store adds the value).
    pub fn fill(
        &self,
        generation: Generation,
        id: CredentialId,
        flaw: Option<Flaw>,
        at: Timestamp,
    ) -> Option<Self> {
        let intent = self.armed(generation)?.clone();
        if self.recorded().any(|origin| origin.id == id) {
            return None; // someone else's id, or an old one: never two entries for one credential
        }
        let mut next = self.clone();
        next.intent = None;
        next.pending = Some(Pending {
            request: intent.request,
            origin: intent.into_origin(id),
            since: at,
            flaw,
        });
        Some(next)
    }

    /// E6. An id that was issued for an attempt that is no longer armed: it is to be deleted. The
    /// attempt is no longer unresolved, since its credential is known.
    pub fn compensate(
        &self,
        generation: Generation,
        id: CredentialId,
        at: Timestamp,
    ) -> Option<Self> {
        if self.recorded().any(|origin| origin.id == id) {
            return None;
        }
        let abandoned = self
            .abandoned
            .iter()
            .find(|a| a.generation == generation)?
            .clone();
        let mut next = self.clone();
        next.abandoned.retain(|a| a.generation != generation);
        next.deleting.push(Doomed {
            origin: abandoned.into_origin(id),
            since: at,
        });
        Some(next)
    }

    /// E8. The stored value was accepted: pending becomes current, current retires.
    pub fn promote(&self, generation: Generation, proof: Proof, at: Timestamp) -> Option<Self> {
        let pending = self.pending_of(generation)?.clone();
        if self.tombstone.is_some() || self.retiring.is_some() || pending.flaw.is_some() {
            return None;
        }
        let mut next = self.clone();
        let previous = next.current.take();
        let previous_id = previous.as_ref().map(|current| current.origin.id.clone());
        if pending.origin.cause != Cause::Created {
            next.rotations += 1;
        }
        next.pending = None;
        next.retiring = previous.map(|c| Retiring {
            origin: c.origin,
            since: at,
            distributed_at: None,
        });
        next.current = Some(Current {
            origin: pending.origin,
            promoted_at: at,
            proof,
            previous_id,
        });
        next.epoch = next.epoch.next();
        next.budget.fruitless = next.budget.fruitless.saturating_sub(1);
        next.backoff = None;
        next.last_rotate_at = next.last_rotate_at.max(pending.request);
        Some(next)
    }

    /// A pending credential that must not be used: refused, flawed, or made for an older spec.
    pub fn reject(
        &self,
        generation: Generation,
        at: Timestamp,
        backoff: Option<Backoff>,
    ) -> Option<Self> {
        let pending = self.pending_of(generation)?.clone();
        let mut next = self.clone();
        next.pending = None;
        next.deleting.push(Doomed {
            origin: pending.origin,
            since: at,
        });
        next.backoff = backoff.or(next.backoff);
        Some(next)
    }

    /// The target holds the current credential since `at`; the overlap counts from here.
    pub fn distributed(&self, epoch: Epoch, at: Timestamp) -> Option<Self> {
        let mut next = self.clone();
        let retiring = next.retiring.as_mut()?;
        if self.epoch != epoch || retiring.distributed_at.is_some_and(|before| before >= at) {
            return None;
        }
        retiring.distributed_at = Some(at);
        Some(next)
    }

    /// The target was damaged: the overlap begins anew once it is repaired.
    pub fn suspend_overlap(&self) -> Option<Self> {
        let mut next = self.clone();
        next.retiring.as_mut()?.distributed_at.take()?;
        Some(next)
    }

    /// E11. The gates hold: the retiring credential may be deleted. Absorbing.
    pub fn mark(&self, retired: &CredentialId, at: Timestamp) -> Option<Self> {
        let retiring = self
            .retiring
            .as_ref()
            .filter(|r| r.origin.id == *retired)?
            .clone();
        let mut next = self.clone();
        next.retiring = None;
        next.deleting.push(Doomed {
            origin: retiring.origin,
            since: at,
        });
        Some(next)
    }

    /// Whatever is past the end of its life is to be deleted, gates or not. One that retires and
    /// outlives its successor is current again.
    pub fn condemn_expired(&self, now: Timestamp) -> Option<Self> {
        let over = |origin: &Origin| origin.expires_at.is_some_and(|end| end <= now);
        let mut next = self.clone();
        let pending = next.pending.take_if(|p| over(&p.origin)).map(|p| p.origin);
        let current = next.current.take_if(|c| over(&c.origin)).map(|c| c.origin);
        let retiring = next.retiring.take_if(|r| over(&r.origin)).map(|r| r.origin);
        let lost = current.as_ref().map(|origin| origin.id.clone());
        next.doom([retiring, current, pending], now);
        if let Some(lost) = lost {
            next.restore(lost, now);
        }
        (next != *self).then_some(next)
    }

    /// E13. Proven gone.
    pub fn clear(&self, id: &CredentialId, at: Timestamp) -> Option<Self> {
        let doomed = self.deleting.iter().find(|d| d.origin.id == *id)?.clone();
        let mut next = self.clone();
        next.deleting.retain(|d| d.origin.id != *id);
        if let Some(nonce) = &doomed.origin.nonce {
            let generation = doomed.origin.generation;
            next.spent.push(Spent {
                generation,
                nonce: nonce.clone(),
                at,
            });
        }
        next.remember(&doomed.origin, at);
        Some(next)
    }

    /// A person says what became of these creates.
    pub fn resolve(&self, attempts: &[Generation], at: Timestamp) -> Option<Self> {
        let mut next = self.clone();
        let (settled, open) = next
            .abandoned
            .drain(..)
            .partition(|a| attempts.contains(&a.generation));
        let settled: Vec<Abandoned> = settled;
        next.abandoned = open;
        let spent = settled.into_iter();
        next.spent.extend(spent.map(|a| Spent {
            generation: a.generation,
            nonce: a.nonce,
            at,
        }));
        (next != *self).then_some(next)
    }

    /// The resource goes: nothing is armed any more. An armed intent is abandoned, and unless the
    /// credential is retained everything recorded is to be deleted, without gates.
    pub fn bury(&self, retain: Option<Patience>, at: Timestamp) -> Option<Self> {
        if self.tombstone.is_some() {
            return None;
        }
        let armed = self.intent.as_ref().map(|intent| intent.generation);
        let mut next = match armed {
            Some(generation) => self.abandon(generation, at, None)?,
            None => self.clone(),
        };
        next.tombstone = Some(Tombstone { at, retain });
        let pending = next.pending.take().map(|p| p.origin);
        if retain.is_some() {
            next.doom([pending], at);
        } else {
            let current = next.current.take().map(|c| c.origin);
            let retiring = next.retiring.take().map(|r| r.origin);
            next.doom([retiring, current, pending], at);
        }
        Some(next)
    }

    /// The resource went before the first create was sent: nothing was made, nothing will be.
    pub fn withdraw(&self, generation: Generation, at: Timestamp) -> Option<Self> {
        self.spend(generation, at)?.bury(None, at)
    }

    /// The value of the current credential is not in the ledger: it is to be replaced. If the one before
    /// still retires, the two change places first: it can be delivered, and nothing else could be while
    /// an attempt is in hand.
    pub fn forfeit(&self, at: Timestamp) -> Option<Self> {
        let mut next = self.clone();
        next.current.as_mut()?.origin.spec_hash.clear();
        if next == *self {
            return None;
        }
        let lost = next.current.clone()?.origin;
        let whole = |retiring: &Retiring| !retiring.origin.spec_hash.is_empty();
        if next.retiring.as_ref().is_some_and(whole) {
            next.restore(lost.id.clone(), at);
            next.retiring = Some(Retiring {
                origin: lost,
                since: at,
                distributed_at: None,
            });
        }
        Some(next)
    }

    /// The first record after a ledger was lost, from what an intact target proves. With the value the
    /// credential is pending again, to be verified; without it, it stays in use until it is replaced.
    pub fn rebuilt(
        owner: Owner,
        target: String,
        origin: Origin,
        epoch: Epoch,
        value_at_hand: bool,
        at: Timestamp,
    ) -> Self {
        let mut ledger = Self::new(owner, target);
        ledger.attempt = origin.generation;
        ledger.epoch = epoch;
        if value_at_hand {
            ledger.pending = Some(Pending {
                origin,
                since: at,
                request: None,
                flaw: None,
            });
        } else {
            let proof = Proof::Probed; // it was, before it was written to the target
            ledger.current = Some(Current {
                origin,
                promoted_at: at,
                proof,
                previous_id: None,
            });
        }
        ledger
    }

    /// The armed intent ends without leaving an entry.
    fn spend(&self, generation: Generation, at: Timestamp) -> Option<Self> {
        let nonce = self.armed(generation)?.nonce.clone();
        let mut next = self.clone();
        next.intent = None;
        next.spent.push(Spent {
            generation,
            nonce,
            at,
        });
        Some(next)
    }

    fn armed(&self, generation: Generation) -> Option<&Intent> {
        self.intent
            .as_ref()
            .filter(|intent| intent.generation == generation)
    }

    fn pending_of(&self, generation: Generation) -> Option<&Pending> {
        self.pending
            .as_ref()
            .filter(|pending| pending.origin.generation == generation)
    }

    /// `lost` was in use and is no longer: the one that retires still works. Without this nothing would be
    /// in use, and nothing could be issued either, since an attempt is in hand.
    fn restore(&mut self, lost: CredentialId, at: Timestamp) {
        if let Some(retiring) = self.retiring.take() {
            self.epoch = self.epoch.next();
            self.current = Some(Current {
                origin: retiring.origin,
                promoted_at: at,
                proof: Proof::Probed, // it was, when it was promoted itself
                previous_id: Some(lost),
            });
        }
    }

    fn doom<const N: usize>(&mut self, origins: [Option<Origin>; N], since: Timestamp) {
        let origins = origins.into_iter().flatten();
        self.deleting
            .extend(origins.map(|origin| Doomed { origin, since }));
    }
}

impl Intent {
    fn into_origin(self, id: CredentialId) -> Origin {
        Origin {
            generation: self.generation,
            nonce: Some(self.nonce),
            id,
            place: self.place,
            at: self.at,
            expires_at: self.expires_at,
            cause: self.cause,
            spec_hash: self.spec_hash,
        }
    }
}

impl Abandoned {
    fn into_origin(self, id: CredentialId) -> Origin {
        Origin {
            generation: self.generation,
            nonce: Some(self.nonce),
            id,
            place: self.place,
            at: self.at,
            expires_at: None,
            cause: self.cause,
            spec_hash: self.spec_hash,
        }
    }
}

impl Backoff {
    /// The wait after one more failure: doubling from `first`, at most `longest`.
    pub fn after(
        before: Option<&Self>,
        failure: Failure,
        (inputs, request): (&str, Option<Timestamp>),
        now: Timestamp,
        (first, longest): (SignedDuration, SignedDuration),
    ) -> Self {
        let n = before
            .filter(|b| b.inputs == inputs)
            .map_or(0, |b| b.n)
            .saturating_add(1);
        let doubled = first.checked_mul(1_i32.checked_shl(n.min(20) - 1).unwrap_or(i32::MAX));
        let wait = doubled.map_or(longest, |wait| wait.min(longest));
        Self {
            n,
            until: after(now, wait),
            failure,
            inputs: inputs.to_owned(),
            request,
        }
    }
}

#[cfg(test)]
mod tests;

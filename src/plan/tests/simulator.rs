//! Carries plans out without any I/O: each effect becomes the ledger transition or the memory that its
//! success or failure leaves behind.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{
    api::condition::Reason,
    ledger::{
        fixtures::{HOLDER, HOUR, MINUTE, id, nonce},
        record::{Backoff, Failure, Intent, Ledger, Origin, Proof},
    },
    moment::after,
    plan::{
        fixtures::{delivered, pod},
        world::{Inspection, Resource, Seen, Target, Task, Wait},
    },
    provider::Flaw,
};

/// How the next effect ends. An effect that knows fewer ends takes the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As it should.
    Well,
    /// Proven to have done nothing.
    Refused,
    /// Nobody knows.
    Unknown,
    /// Done, but not as asked.
    Flawed,
}

/// A world that plans are carried out in.
#[derive(Debug)]
pub(super) struct Simulator {
    pub(super) world: World,
    pub(super) now: Timestamp,
    /// Effects that were carried out, in order.
    pub(super) done: Vec<&'static str>,
    serial: u64,
}

impl Simulator {
    pub(super) fn new(world: World, now: Timestamp) -> Self {
        Self {
            world,
            now,
            done: Vec::new(),
            serial: 1_000_000,
        }
    }

    /// One pass: plans and acts until nothing is left to do now, at most `most` times.
    pub(super) fn pass(&mut self, most: usize, mut end: impl FnMut() -> End) -> Option<Plan> {
        self.world.fresh = crate::plan::world::Fresh::default();
        for _ in 0..most {
            let mut plan = plan(&self.world, self.now);
            match plan.effect.take() {
                Some(effect) => {
                    self.done.push(effect.name());
                    self.act(effect, end());
                }
                None => return Some(plan),
            }
        }
        None
    }

    fn act(&mut self, effect: Effect, end: End) {
        let well = end == End::Well;
        match effect {
            Effect::Claim => self.claim(),
            Effect::Bury => self.bury(),
            Effect::Release => self.world.resource = Resource::Gone,
            Effect::Close => self.world.ledger = None,
            Effect::RemoveTarget if well => self.world.target = Target::Absent,
            Effect::RemoveTarget => self.fail(Task::RemoveTarget),
            Effect::Abandon(g) => self.swap(|ledger, now| ledger.abandon(g, now, None)),
            Effect::CondemnExpired => self.swap(Ledger::condemn_expired),
            Effect::Resolve(attempts) => self.swap(|ledger, now| ledger.resolve(&attempts, now)),
            Effect::Revoke(condemned) if well => {
                self.world.memory.waits.remove(&Task::Revoke);
                self.swap(|ledger, now| ledger.clear(condemned.id(), now));
            }
            Effect::Revoke(_) => self.fail(Task::Revoke),
            Effect::Rebuild => self.rebuild(well),
            Effect::Rehearse if well => self.rehearse(),
            Effect::Rehearse => self.fail(Task::Rehearse),
            Effect::Issue(order) => self.issue(order, end),
            Effect::Verify(g) => self.verify(g, end),
            Effect::Reject(g, why) => self.reject(g, why),
            Effect::Deliver => self.deliver(end),
            Effect::StartOverlap(epoch) => self.swap(|ledger, now| ledger.distributed(epoch, now)),
            Effect::SuspendOverlap => self.swap(|ledger, _| ledger.suspend_overlap()),
            Effect::Inspect => self.inspect(end),
            Effect::Prove(_) if well => self.world.fresh.proven = Some(self.now),
            Effect::Prove(_) => self.fail(Task::Prove),
            Effect::Mark(retired) => self.swap(|ledger, now| ledger.mark(retired.id(), now)),
        }
    }

    fn swap(&mut self, transition: impl FnOnce(&Ledger, Timestamp) -> Option<Ledger>) {
        let ledger = self
            .world
            .ledger
            .as_ref()
            .expect("there is a ledger to change");
        let next = transition(ledger, self.now);
        assert!(
            next.is_some(),
            "{:?} does not apply to {ledger:#?}",
            self.done.last()
        );
        self.world.ledger = next;
    }

    fn fail(&mut self, task: Task) {
        let n = self.world.memory.waits.get(&task).map_or(0, |wait| wait.n);
        let (first, longest) = (self.world.times.retry(), self.world.times.longest_retry());
        let pause = first.saturating_mul(1 << n.min(16)).min(longest);
        let wait = Wait {
            until: after(self.now, pause),
            n: n + 1,
            obstacle: Obstacle::new(Reason::ProviderUnavailable, "simulated"),
        };
        self.world.memory.waits.insert(task, wait);
    }

    fn claim(&mut self) {
        if let Resource::Wanted(wish) = &mut self.world.resource {
            wish.claimed = true;
        }
    }

    fn bury(&mut self) {
        let Resource::Deleting(deletion) = self.world.resource else {
            panic!("only what is being deleted is buried");
        };
        self.swap(|ledger, now| ledger.bury(deletion.retain, now));
    }

    fn rehearse(&mut self) {
        let wish = self.world.wish().expect("somebody asks");
        self.world.memory.rehearsed = Some(wish.rendering.clone());
        self.world.memory.waits.remove(&Task::Rehearse);
    }

    fn rebuild(&mut self, value_at_hand: bool) {
        let Target::Ours(Seen {
            attempt, epoch, id, ..
        }) = self.world.target.clone()
        else {
            panic!("only an intact target proves anything");
        };
        let wish = self.world.wish().expect("somebody asks");
        let spec_hash = wish
            .spec_hash
            .clone()
            .filter(|_| value_at_hand)
            .unwrap_or_default();
        let origin = Origin {
            generation: attempt,
            nonce: None,
            id,
            place: wish.place.clone().expect("the connection is known"),
            at: self.now,
            expires_at: None,
            cause: Cause::LedgerLost,
            spec_hash,
        };
        let (owner, now) = (self.world.owner.clone(), self.now);
        let rebuilt = Ledger::rebuilt(owner, "ci".to_owned(), origin, epoch, value_at_hand, now);
        self.world.ledger = Some(rebuilt);
    }

    fn issue(&mut self, order: Order, end: End) {
        self.serial += 1;
        let (serial, now, g) = (self.serial, self.now, order.generation);
        let intent = Intent {
            generation: g,
            nonce: nonce(serial),
            spec_hash: order.spec_hash,
            holder: HOLDER.to_owned(),
            at: now,
            sendable_until: after(now, MINUTE),
            place: order.place,
            cause: order.cause,
            request: order.request,
            expires_at: order.expires_at,
        };
        let window = self.world.times.budget_window();
        let blank = || Ledger::new(self.world.owner.clone(), "ci".to_owned());
        self.world.ledger = Some(self.world.ledger.take().unwrap_or_else(blank));
        self.swap(|ledger, _| ledger.arm(intent, window));
        self.claim(); // before the first create is sent
        let backoff = self.backoff(if end == End::Refused {
            Failure::NotSent
        } else {
            Failure::Ambiguous
        });
        let new = id(&format!("sim-{serial}"));
        self.swap(|ledger, now| match end {
            End::Well => ledger.fill(g, new, None, now),
            End::Flawed => ledger.fill(g, new, Some(Flaw::WrongScopes), now),
            End::Refused => ledger.disarm(g, backoff),
            End::Unknown => ledger.abandon(g, now, Some(backoff)),
        });
    }

    fn backoff(&self, failure: Failure) -> Backoff {
        let ledger = self.world.ledger.as_ref().expect("there is a ledger");
        let asked = ledger.intent.as_ref().and_then(|intent| intent.request);
        let asked = asked.or(ledger.pending.as_ref().and_then(|pending| pending.request));
        let times = self.world.times;
        let waits = (times.first_backoff(), times.longest_backoff());
        let inputs = &self.world.wish().expect("somebody asks").inputs;
        Backoff::after(
            ledger.backoff.as_ref(),
            failure,
            (inputs, asked),
            self.now,
            waits,
        )
    }

    fn verify(&mut self, g: Generation, end: End) {
        let memory = &mut self.world.memory;
        match end {
            End::Well => {
                memory.waits.remove(&Task::Verify);
                memory.refused_since = None;
                self.swap(|ledger, now| ledger.promote(g, Proof::Probed, now));
            }
            End::Refused | End::Flawed => {
                let since = memory.refused_since.filter(|(of, _)| *of == g);
                memory.refused_since = since.or(Some((g, self.now)));
                self.fail(Task::Verify);
            }
            End::Unknown => {
                memory.refused_since = None;
                self.fail(Task::Verify);
            }
        }
    }

    fn reject(&mut self, g: Generation, why: Rejection) {
        let unusable = why == Rejection::Unusable;
        let backoff = unusable.then(|| self.backoff(Failure::NotVerified));
        self.world.memory.waits.remove(&Task::Verify);
        self.swap(|ledger, now| ledger.reject(g, now, backoff));
    }

    fn deliver(&mut self, end: End) {
        match end {
            End::Well => {
                let ledger = self.world.ledger.as_ref().expect("there is a ledger");
                self.world.memory.delivered = Some((ledger.epoch, self.now));
                self.world.memory.waits.remove(&Task::Deliver);
                let rendering = self.world.wish().expect("somebody asks").rendering.clone();
                self.world.target = delivered(ledger);
                let Target::Ours(seen) = &mut self.world.target else {
                    unreachable!("it was just written");
                };
                seen.rendering = rendering;
            }
            End::Flawed if !self.would_lose_both() => self.swap(Ledger::forfeit),
            End::Refused | End::Unknown | End::Flawed => self.fail(Task::Deliver),
        }
    }

    fn would_lose_both(&self) -> bool {
        let retiring = self
            .world
            .ledger
            .as_ref()
            .and_then(|ledger| ledger.retiring.as_ref());
        retiring.is_some_and(|retiring| retiring.origin.spec_hash.is_empty())
    }

    fn inspect(&mut self, end: End) {
        if end == End::Refused {
            return self.fail(Task::Inspect);
        }
        let pods = match end {
            End::Well => Some(Vec::new()),
            End::Flawed => Some(vec![pod("stuck", Timestamp::MIN)]),
            End::Refused | End::Unknown => None,
        };
        self.world.memory.waits.remove(&Task::Inspect);
        self.world.fresh.inspected = Some(Inspection { at: self.now, pods });
    }
}

/// Neither value of an overlap is in the ledger: nothing can be delivered, and nothing proven.
pub(super) fn has_lost_both(ledger: &Ledger) -> bool {
    let current = ledger.current.as_ref().map(|current| &current.origin);
    let retiring = ledger.retiring.as_ref().map(|retiring| &retiring.origin);
    let lost = |origin: &Origin| origin.spec_hash.is_empty();
    current.is_some_and(lost) && retiring.is_some_and(lost)
}

/// The longest that a world is left alone before it is looked at all the same.
pub(super) const PATROL: SignedDuration = HOUR;

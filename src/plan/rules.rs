//! Rules about what the resource asks for. Each reads as a sentence and says nothing about status.

use jiff::Timestamp;

use super::{
    Because, Effect, Obstacle, Order, Plan, Rejection, Work, gates, rest, schedule,
    world::{Target, Task, Wait, Wish, World},
};
use crate::{
    api::condition::Reason,
    ledger::{
        ids::Epoch,
        record::{Backoff, Cause, Current, Ledger, Owner},
    },
    moment::after,
    plan::times::{FRUITLESS_BUDGET, ISSUE_BUDGET},
};

/// `handover.dev/paused`: nothing is issued, rotated or delivered.
pub(super) fn rest_when_paused(world: &World, _now: Timestamp) -> Option<Plan> {
    world
        .wish()?
        .paused
        .then(|| Plan::wait(Because::Paused, None))
}

/// Someone took the finalizer off a resource that has credentials.
pub(super) fn claim_resource(world: &World, _now: Timestamp) -> Option<Plan> {
    let unclaimed = !world.wish()?.claimed;
    let ledger = world.ledger.as_ref()?;
    let holds = ledger.current.is_some() || ledger.pending.is_some();
    (unclaimed && holds).then(|| Plan::act(Effect::Claim, Work::Record))
}

/// A Secret of that name that is not ours, or that nobody can change, is left alone.
pub(super) fn refuse_foreign_target(world: &World, now: Timestamp) -> Option<Plan> {
    world.wish()?;
    let poll = Some(after(now, world.times.obstacle_poll()));
    match &world.target {
        Target::Foreign { holder } => Some(Plan::blocked(
            foreign(&world.owner, holder.as_deref()),
            poll,
        )),
        Target::Ours(seen) if seen.immutable => Some(Plan::blocked(immutable(), poll)),
        Target::Ours(_) | Target::Absent => None,
    }
}

/// The ledger is gone, but the target proves what it held.
pub(super) fn rebuild_lost_ledger(world: &World, _now: Timestamp) -> Option<Plan> {
    let wish = world.wish()?;
    let intact = matches!(&world.target, Target::Ours(seen) if seen.sound);
    let lost = world.ledger.is_none() && intact && wish.place.is_some();
    lost.then(|| Plan::act(Effect::Rebuild, Work::Record))
}

/// Not what was asked for, or refused by the provider for all of `verifyTimeout`.
pub(super) fn reject_unusable_pending(world: &World, now: Timestamp) -> Option<Plan> {
    world.wish()?;
    let pending = world.ledger.as_ref()?.pending.as_ref()?;
    let refused = world
        .memory
        .refused_since
        .is_some_and(|(generation, since)| {
            generation == pending.origin.generation
                && after(since, world.times.verify_timeout()) <= now
                && world.waiting(Task::Verify, now).is_some() // the last word is a probe, not a clock
        });
    let effect = Effect::Reject(pending.origin.generation, Rejection::Unusable);
    (pending.flaw.is_some() || refused).then(|| Plan::act(effect, Work::Reject))
}

/// Made for a spec that is no longer asked for.
pub(super) fn reject_outdated_pending(world: &World, _now: Timestamp) -> Option<Plan> {
    let wanted = world.wish()?.spec_hash.as_ref()?;
    let pending = world.ledger.as_ref()?.pending.as_ref()?;
    let effect = Effect::Reject(pending.origin.generation, Rejection::Outdated);
    (pending.origin.spec_hash != *wanted).then(|| Plan::act(effect, Work::Reject))
}

/// The value as it is stored, before anybody gets it.
pub(super) fn verify_pending(world: &World, now: Timestamp) -> Option<Plan> {
    world.wish()?;
    let pending = world.ledger.as_ref()?.pending.as_ref()?;
    if let Some(wait) = world.waiting(Task::Verify, now) {
        // While an old credential is in use its target is looked after all the same.
        let standing = || Plan::wait(rest::standing(world, now, Some(wait)), Some(wait.until));
        return world.is_delivered().then(standing);
    }
    Some(Plan::act(
        Effect::Verify(pending.origin.generation),
        Work::Verify,
    ))
}

/// A repair restarts the overlap; that is recorded before it.
pub(super) fn suspend_overlap(world: &World, _now: Timestamp) -> Option<Plan> {
    let distributed = world
        .ledger
        .as_ref()?
        .retiring
        .as_ref()?
        .distributed_at
        .is_some();
    let damaged = distributed && !world.is_delivered();
    let repairable = world.wish().is_some();
    (damaged && repairable).then(|| Plan::act(Effect::SuspendOverlap, Work::Record))
}

/// The target follows the ledger.
pub(super) fn deliver_promoted(world: &World, now: Timestamp) -> Option<Plan> {
    world.wish()?;
    let ledger = world.ledger.as_ref()?;
    if ledger.current.as_ref().is_none_or(Current::is_forfeit) || world.is_delivered() {
        return None;
    }
    if let Target::Ours(seen) = &world.target
        && seen.sound
        && seen.epoch > ledger.epoch
    {
        let poll = Some(after(now, world.times.longest_retry()));
        return Some(Plan::blocked(rolled_back(), poll));
    }
    if let Some(wait) = world.waiting(Task::Deliver, now) {
        return Some(Plan::blocked(wait.obstacle.clone(), Some(wait.until)));
    }
    let repaired = world
        .memory
        .delivered
        .filter(|(epoch, _)| *epoch == ledger.epoch);
    let next = repaired.map(|(_, at)| after(at, world.times.repair_interval()));
    if let Some(next) = next.filter(|next| *next > now) {
        let message =
            "the target Secret was changed by someone else; it is restored at most every 10 s";
        return Some(Plan::blocked(
            Obstacle::new(Reason::TargetDamaged, message),
            Some(next),
        ));
    }
    Some(Plan::act(Effect::Deliver, Work::Deliver))
}

/// From here on the overlap counts.
pub(super) fn start_overlap(world: &World, _now: Timestamp) -> Option<Plan> {
    let ledger = world.ledger.as_ref()?;
    let open = ledger.retiring.as_ref()?.distributed_at.is_none() && world.is_delivered();
    open.then(|| Plan::act(Effect::StartOverlap(ledger.epoch), Work::Retire))
}

/// The overlap is over: look at the live target and at the Pods.
pub(super) fn inspect_gates(world: &World, now: Timestamp) -> Option<Plan> {
    let closed = gates::open(world, now).err()?;
    let seen = world
        .memory
        .closed
        .as_ref()
        .is_some_and(|(_, until)| *until > now);
    let free = world.waiting(Task::Inspect, now).is_none() && !seen;
    let look = closed == gates::Blocked::NotInspected && free;
    look.then(|| Plan::act(Effect::Inspect, Work::Retire))
}

/// Everything else holds: the last question is whether current still works.
pub(super) fn prove_current_again(world: &World, now: Timestamp) -> Option<Plan> {
    let closed = gates::open(world, now).err()?;
    let free = world.waiting(Task::Prove, now).is_none();
    let current = world.ledger.as_ref()?.current.as_ref()?;
    let prove = closed == gates::Blocked::NotProven && free;
    prove.then(|| Plan::act(Effect::Prove(current.origin.generation), Work::Retire))
}

/// Absorbing, hence only with the proof in hand.
pub(super) fn mark_retired(world: &World, now: Timestamp) -> Option<Plan> {
    let retired = gates::open(world, now).ok()?;
    Some(Plan::act(Effect::Mark(retired), Work::Retire))
}

/// E1: a target that cannot be written is found out before anything is created for it.
pub(super) fn rehearse_target(world: &World, now: Timestamp) -> Option<Plan> {
    let wish = world.wish()?;
    let first = world
        .ledger
        .as_ref()
        .is_none_or(|ledger| ledger.current.is_none());
    let rehearsed = world.memory.rehearsed.as_deref() == Some(&*wish.rendering);
    let asked = newest_request(world, wish, now);
    if !first || rehearsed || in_hand(world) || may_issue(world, wish, asked, now).is_err() {
        return None;
    }
    if let Some(wait) = world.waiting(Task::Rehearse, now) {
        return Some(Plan::blocked(wait.obstacle.clone(), Some(wait.until)));
    }
    Some(Plan::act(Effect::Rehearse, Work::Record))
}

/// There is no credential in use.
pub(super) fn issue_when_none(world: &World, now: Timestamp) -> Option<Plan> {
    let wish = world.wish()?;
    let ledger = world.ledger.as_ref();
    if in_hand(world) || ledger.is_some_and(|ledger| ledger.current.is_some()) {
        return None;
    }
    let cause = match ledger {
        None if matches!(world.target, Target::Ours(_)) => Cause::LedgerLost,
        Some(ledger) if ledger.epoch > Epoch(0) => Cause::Expired,
        None | Some(_) => Cause::Created,
    };
    Some(issue(world, wish, cause, now))
}

/// The credential in use is to be replaced.
pub(super) fn issue_when_due(world: &World, now: Timestamp) -> Option<Plan> {
    let wish = world.wish()?;
    let due = schedule::next(world, now).filter(|due| due.at <= now)?;
    if in_hand(world) {
        return None;
    }
    let plan = issue(world, wish, due.cause, now);
    match plan {
        // A replacement that has to wait leaves what is in use as it is.
        Plan {
            effect: None,
            because: Because::Blocked(obstacle),
            wake,
        } if world.is_delivered() => {
            let wait = Wait {
                until: wake.unwrap_or(now),
                n: 0,
                obstacle,
            };
            Some(Plan::wait(rest::standing(world, now, Some(&wait)), wake))
        }
        plan => Some(plan),
    }
}

/// An attempt is under way, or its predecessor is not revoked yet.
fn in_hand(world: &World) -> bool {
    world.ledger.as_ref().is_some_and(|ledger| {
        ledger.intent.is_some() || ledger.pending.is_some() || ledger.retiring.is_some()
    })
}

fn issue(world: &World, wish: &Wish, cause: Cause, now: Timestamp) -> Plan {
    let (Some(place), Some(spec_hash)) = (&wish.place, &wish.spec_hash) else {
        let unknown = Obstacle::new(
            Reason::ConnectionNotReady,
            "the connection cannot be used yet",
        );
        return Plan::blocked(world.obstacle.clone().unwrap_or(unknown), None);
    };
    // Whatever it is made for, it answers the newest request as well, and may go as early as that one.
    let request = newest_request(world, wish, now);
    if let Err((obstacle, wake)) = may_issue(world, wish, request, now) {
        return Plan::blocked(obstacle, wake);
    }
    let attempt = world
        .ledger
        .as_ref()
        .map(|ledger| ledger.attempt)
        .unwrap_or_default();
    let order = Order {
        generation: attempt.next(),
        cause,
        request,
        place: place.clone(),
        spec_hash: spec_hash.clone(),
        expires_at: wish.expires_after.map(|life| after(now, life)),
    };
    Plan::act(Effect::Issue(order), Work::Issue(cause))
}

/// The rotate annotation, unless it is from too far ahead.
fn newest_request(world: &World, wish: &Wish, now: Timestamp) -> Option<Timestamp> {
    let latest = after(now, world.times.request_ahead());
    wish.rotation.requested_at.filter(|at| *at <= latest)
}

/// Obstacles, unresolved creates, the wait after a failure, and the budget: in this order.
fn may_issue(
    world: &World,
    wish: &Wish,
    request: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), (Obstacle, Option<Timestamp>)> {
    if let Some(obstacle) = &world.obstacle {
        return Err((
            obstacle.clone(),
            Some(
                obstacle
                    .until
                    .unwrap_or_else(|| after(now, world.times.obstacle_poll())),
            ),
        ));
    }
    if world.memory.stopping {
        return Err((
            Obstacle::new(Reason::Pending, "the operator is stopping"),
            None,
        ));
    }
    let Some(ledger) = &world.ledger else {
        return Ok(());
    };
    if ledger.abandoned.len() > wish.max_unresolved {
        return Err((
            Obstacle::unresolved(ledger.abandoned.len(), wish.max_unresolved),
            None,
        ));
    }
    if let Some(backoff) = waiting(ledger, wish, request, now) {
        return Err((
            Obstacle::failed(backoff.failure, backoff.until),
            Some(backoff.until),
        ));
    }
    within_budget(world, ledger, now)
}

/// The wait is over with its time, when its cause may be gone, and once for each request.
fn waiting<'a>(
    ledger: &'a Ledger,
    wish: &Wish,
    request: Option<Timestamp>,
    now: Timestamp,
) -> Option<&'a Backoff> {
    let backoff = ledger
        .backoff
        .as_ref()
        .filter(|backoff| backoff.until > now)?;
    let asked_anew = request.is_some() && request > backoff.request;
    (backoff.inputs == wish.inputs && !asked_anew).then_some(backoff)
}

fn within_budget(
    world: &World,
    ledger: &Ledger,
    now: Timestamp,
) -> Result<(), (Obstacle, Option<Timestamp>)> {
    let Some(since) = ledger.budget.since else {
        return Ok(());
    };
    let end = after(since, world.times.budget_window());
    let fruitless = ledger.budget.fruitless >= FRUITLESS_BUDGET;
    if end > now && (fruitless || ledger.budget.count >= ISSUE_BUDGET) {
        return Err((Obstacle::budget(fruitless, end), Some(end)));
    }
    Ok(())
}

fn foreign(owner: &Owner, holder: Option<&str>) -> Obstacle {
    let same = format!("{} {}", owner.kind.as_str(), owner.name);
    let message = match holder {
        Some(holder) if holder == same => format!(
            "a Secret of the target's name was left by an earlier {same}; delete it, or choose another spec.secret.name"
        ),
        Some(holder) => format!(
            "a Secret of the target's name exists and belongs to {holder}; choose another spec.secret.name, or delete that \
             Secret once {holder} does not make it anew"
        ),
        None => "a Secret of the target's name exists; choose another spec.secret.name, or delete that Secret".to_owned(),
    };
    Obstacle::new(Reason::TargetForeign, message)
}

fn immutable() -> Obstacle {
    let message = "the target Secret is immutable, so no new credential can be delivered into it; delete it (it is made \
                   anew at once) and restart the Pods that use it, whose kubelets keep the old one cached";
    Obstacle::new(Reason::TargetRejected, message)
}

fn rolled_back() -> Obstacle {
    let message = "the target Secret holds a newer credential than the ledger knows: the ledger was set back. \
                   Restore the newer ledger, or delete the target Secret to distribute the older credential";
    Obstacle::new(Reason::StateRollback, message)
}

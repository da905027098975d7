//! Nothing to do now: what to say, and when to look again.

use jiff::Timestamp;

use super::{
    Because, Plan, Work, duties, gates, schedule,
    world::{Task, Wait, World},
};
use crate::moment::after;

/// The plan of a world in which no rule has anything to do.
pub(super) fn rest(world: &World, now: Timestamp) -> Plan {
    if let Some(intent) = world
        .ledger
        .as_ref()
        .and_then(|ledger| ledger.intent.as_ref())
    {
        let because = if world.is_delivered() {
            standing(world, now, None)
        } else {
            Because::Working(Work::Issue(intent.cause))
        };
        return Plan::wait(because, None); // until it is abandoned, which is a duty
    }
    if world.ledger.as_ref().is_some_and(|l| l.pending.is_some()) && !world.is_delivered() {
        let wait = world.memory.waits.get(&Task::Verify);
        return Plan::wait(Because::Working(Work::Verify), wait.map(|wait| wait.until));
    }
    let because = if world.wish().is_some() {
        standing(world, now, None)
    } else {
        duties::leave(world, now).because // kept, while its predecessor finishes the overlap
    };
    Plan::wait(because, wake(world, now))
}

/// How a credential in use stands, apart from what its replacement waits for.
pub(super) fn standing(world: &World, now: Timestamp, held_up: Option<&Wait>) -> Because {
    let retiring = world
        .ledger
        .as_ref()
        .is_some_and(|ledger| ledger.retiring.is_some());
    let standing = match gates::open(world, now) {
        Err(gates::Blocked::Overlap(end)) => Because::Overlap(end),
        Err(gates::Blocked::NotInspected | gates::Blocked::NotProven) if retiring => {
            let tasks = [Task::Inspect, Task::Prove];
            let failed = tasks.iter().find_map(|task| world.waiting(*task, now));
            let closed = world
                .memory
                .closed
                .as_ref()
                .filter(|(_, until)| *until > now);
            match (failed, closed) {
                (Some(wait), _) => Because::Blocked(wait.obstacle.clone()),
                (None, Some((closed, _))) => Because::GatesClosed(closed.clone()),
                (None, None) => Because::Working(Work::Retire),
            }
        }
        Err(gates::Blocked::Idle) | Ok(_) => Because::Settled,
        Err(closed) => Because::GatesClosed(closed),
    };
    match (standing, held_up) {
        (Because::Settled, Some(wait)) => Because::Blocked(wait.obstacle.clone()),
        (standing, _) => standing,
    }
}

/// The next moment at which something may have to be done.
fn wake(world: &World, now: Timestamp) -> Option<Timestamp> {
    let ledger = world.ledger.as_ref();
    let due = schedule::next(world, now).map(|due| due.at);
    let overlap = ledger
        .and_then(|l| l.retiring.as_ref())
        .and_then(|r| gates::overlap_end(world, r));
    let look = overlap
        .filter(|end| *end <= now)
        .map(|_| gate_look(world, now));
    let waits = world.memory.waits.values().map(|wait| wait.until);
    let fixed = [due, overlap, look].into_iter().flatten();
    fixed.chain(waits).filter(|at| *at > now).min()
}

/// Closed gates are looked at again, less often the longer they stay closed. A pass in between does not
/// put that off.
fn gate_look(world: &World, now: Timestamp) -> Timestamp {
    let planned = world.memory.closed.as_ref().map(|(_, until)| *until);
    if let Some(planned) = planned.filter(|until| *until > now) {
        return planned;
    }
    let since = world
        .ledger
        .as_ref()
        .and_then(|l| l.retiring.as_ref())
        .and_then(|r| r.distributed_at);
    let closed_for = since
        .map(|since| now.duration_since(since) / 10)
        .unwrap_or_default();
    after(
        now,
        closed_for.clamp(world.times.retry(), world.times.longest_retry()),
    )
}

//! Rules about what exists already and must come to an end, whatever the resource asks for.

use jiff::Timestamp;

use super::{
    Because, Effect, Plan, Work, gates,
    world::{Resource, Target, Task, World},
};
use crate::{
    ledger::{proof::Condemned, record::Ledger},
    moment::after,
};

/// The resource goes: the record says so before anything else happens.
pub(super) fn bury_when_deleted(world: &World, _now: Timestamp) -> Option<Plan> {
    let going = matches!(world.resource, Resource::Deleting(_));
    let buried = world.ledger.as_ref()?.tombstone.is_some();
    (going && !buried).then(|| Plan::act(Effect::Bury, Work::Record))
}

/// A holder that is gone cannot say whether it sent the create; nobody sends it again.
pub(super) fn abandon_orphaned_intent(world: &World, now: Timestamp) -> Option<Plan> {
    let intent = world.ledger.as_ref()?.intent.as_ref()?;
    let ours = intent.holder == world.memory.holder;
    if ours || intent.sendable_until <= now {
        let work = Work::Abandon(intent.generation);
        return Some(Plan::act(Effect::Abandon(intent.generation), work));
    }
    None
}

/// A namespace that is being deleted does not wait for any provider: the duty is in the ledger.
pub(super) fn release_with_namespace(world: &World, _now: Timestamp) -> Option<Plan> {
    let Resource::Deleting(deletion) = &world.resource else {
        return None;
    };
    let recorded = world
        .ledger
        .as_ref()
        .is_none_or(|ledger| ledger.tombstone.is_some());
    let release = deletion.claimed && deletion.terminating && recorded;
    release.then(|| Plan::act(Effect::Release, Work::Record))
}

/// The end of a life is kept even where the provider cannot keep it.
pub(super) fn condemn_expired(world: &World, now: Timestamp) -> Option<Plan> {
    let ledger = world.ledger.as_ref()?;
    if ledger
        .tombstone
        .is_some_and(|tombstone| tombstone.retain.is_some())
    {
        return None; // released to its user, end and all
    }
    ledger.condemn_expired(now)?;
    Some(Plan::act(Effect::CondemnExpired, Work::Record))
}

/// One of those that nothing may save, unless the last try was a moment ago.
pub(super) fn revoke_condemned(world: &World, now: Timestamp) -> Option<Plan> {
    let ledger = world.ledger.as_ref()?;
    let doomed = ledger.deleting.first()?;
    if world.waiting(Task::Revoke, now).is_some() {
        return None;
    }
    let failures = world
        .memory
        .waits
        .get(&Task::Revoke)
        .map_or(0, |wait| wait.n);
    let turn = usize::try_from(failures).unwrap_or(0) % ledger.deleting.len();
    let doomed = ledger.deleting.get(turn).unwrap_or(doomed); // one that is refused blocks no other
    let condemned = Condemned::by(ledger, &doomed.origin.id)?;
    Some(Plan::act(
        Effect::Revoke(condemned),
        Work::Revoke(doomed.origin.id.clone()),
    ))
}

/// A person says what became of creates with an unknown outcome.
pub(super) fn settle_resolved(world: &World, now: Timestamp) -> Option<Plan> {
    let ledger = world.ledger.as_ref()?;
    ledger.resolve(&world.resolved, now)?;
    Some(Plan::act(
        Effect::Resolve(world.resolved.clone()),
        Work::Record,
    ))
}

/// The target outlives its credential's deletion only if it is retained, and goes after it.
pub(super) fn remove_target_when_buried(world: &World, now: Timestamp) -> Option<Plan> {
    let ledger = buried(world)?;
    let retained = ledger.tombstone?.retain.is_some();
    let with_namespace = matches!(&world.resource, Resource::Deleting(d) if d.terminating);
    let ours = matches!(world.target, Target::Ours(_));
    let waiting = world.waiting(Task::RemoveTarget, now).is_some();
    if retained || with_namespace || !ours || !ledger.deleting.is_empty() || waiting {
        return None;
    }
    Some(Plan::act(Effect::RemoveTarget, Work::Record))
}

/// The finalizer leaves when the known ids are gone, or after `deletionTimeout`. The duty stays in the
/// ledger.
pub(super) fn release_resource(world: &World, now: Timestamp) -> Option<Plan> {
    let Resource::Deleting(deletion) = &world.resource else {
        return None;
    };
    if !deletion.claimed {
        return None;
    }
    let release = match world.ledger.as_ref() {
        None => true, // nothing was ever issued
        Some(ledger) => {
            let tombstone = ledger.tombstone?;
            let late = after(tombstone.at, world.times.deletion_timeout) <= now;
            let target_done =
                tombstone.retain.is_some() || !matches!(world.target, Target::Ours(_));
            let done = ledger.deleting.is_empty() && ledger.intent.is_none() && target_done;
            done || late
        }
    };
    release.then(|| Plan::act(Effect::Release, Work::Record))
}

/// A ledger whose resource is gone and that has no duty left. A retained one stays, as the record that
/// its credential is no stray; so does one with creates of unknown outcome.
pub(super) fn close_ledger(world: &World, _now: Timestamp) -> Option<Plan> {
    let ledger = buried(world)?;
    let gone = matches!(world.resource, Resource::Gone);
    let retained = ledger.tombstone?.retain.is_some();
    let idle = ledger.deleting.is_empty() && ledger.abandoned.is_empty() && ledger.intent.is_none();
    let target_done = !matches!(world.target, Target::Ours(_));
    (gone && !retained && idle && target_done).then(|| Plan::act(Effect::Close, Work::Record))
}

/// What goes asks for nothing more; a retained credential's predecessor still finishes its overlap.
pub(super) fn rest_when_leaving(world: &World, now: Timestamp) -> Option<Plan> {
    if matches!(world.resource, Resource::Wanted(_)) && buried(world).is_none() {
        return None;
    }
    let retiring = world
        .ledger
        .as_ref()
        .and_then(|ledger| ledger.retiring.as_ref());
    if buried(world).is_some() && retiring.is_some() && gates::patience(world).is_some() {
        return None; // the rules about gates have their say
    }
    Some(leave(world, now))
}

/// What is left to wait for.
pub(super) fn leave(world: &World, now: Timestamp) -> Plan {
    let tasks = [Task::Revoke, Task::RemoveTarget];
    let wait = tasks.iter().find_map(|task| world.waiting(*task, now));
    let timeout = buried(world)
        .and_then(|ledger| ledger.tombstone)
        .map(|tombstone| after(tombstone.at, world.times.deletion_timeout));
    let claimed = matches!(&world.resource, Resource::Deleting(deletion) if deletion.claimed);
    let wake = timeout.filter(|at| claimed && *at > now);
    Plan::wait(
        Because::Leaving(wait.map(|wait| wait.obstacle.clone())),
        wake,
    )
}

/// When the next duty falls due that has to wait now: an intent of another holder, the end of a life, a
/// revocation or a removal that failed.
pub(super) fn next(world: &World, now: Timestamp) -> Option<Timestamp> {
    let tasks = [Task::Revoke, Task::RemoveTarget];
    let failed = tasks.iter().filter_map(|task| world.waiting(*task, now));
    let ledger = world.ledger.as_ref();
    let intent = ledger.and_then(|ledger| ledger.intent.as_ref());
    let ends = ledger
        .filter(|ledger| ledger.tombstone.is_none_or(|t| t.retain.is_none()))
        .and_then(Ledger::earliest_end);
    let fixed = [intent.map(|intent| intent.sendable_until), ends];
    let waits = failed.map(|wait| wait.until);
    fixed
        .into_iter()
        .flatten()
        .chain(waits)
        .filter(|at| *at > now)
        .min()
}

fn buried(world: &World) -> Option<&Ledger> {
    world
        .ledger
        .as_ref()
        .filter(|ledger| ledger.tombstone.is_some())
}

//! The target: rehearsed before anything is created for it, written after every promotion, repaired when
//! somebody changed it.

use super::{Context, Error, gather, pass::Pass};
use crate::{
    api::{condition::Reason, target::ValueName},
    cluster::ClusterError,
    ledger::{
        ids::{Epoch, Generation},
        record::{Cause, Ledger, Origin},
        store::Swap,
    },
    moment::after,
    plan::{
        Obstacle,
        world::{Target, Task},
    },
    target::{
        render::Shown,
        store::{Asked, Fence, Rehearsal},
    },
    telemetry::events::Happening,
};

/// E1. Finds out whether the target could be written.
pub(super) async fn rehearse(pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    let Some(presentation) = pass.presentation.clone() else {
        return Ok(());
    };
    if matches!(pass.world.target, Target::Ours(_)) {
        pass.world.memory.rehearsed = Some(presentation.digest()); // it is there already
        return Ok(());
    }
    let owner = pass.owner().clone();
    match ctx.target_store.rehearse(&owner, &presentation).await {
        Ok(()) => {
            pass.succeed(Task::Rehearse);
            pass.world.memory.rehearsed = Some(presentation.digest());
            Ok(())
        }
        Err(Rehearsal {
            error: ClusterError::AlreadyExists,
            ..
        }) => pass.read_target(ctx).await,
        Err(rehearsal) => {
            let obstacle = rejected(rehearsal, pass, ctx).await?;
            pass.fail(Task::Rehearse, obstacle, ctx.clock.now());
            Ok(())
        }
    }
}

/// What a refused write of the target means. A 403 may be a missing grant or a policy: one question tells.
async fn rejected(
    Rehearsal { error, text }: Rehearsal,
    pass: &Pass,
    ctx: &Context,
) -> Result<Obstacle, Error> {
    let owner = pass.owner();
    let namespace = &owner.namespace;
    if error == ClusterError::Forbidden {
        let granted = ctx.targets.is_granted(namespace).await;
        let granted = granted.map_err(|source| Error::ReadTarget {
            owner: owner.clone(),
            source,
        })?;
        if !granted {
            return Ok(gather::not_granted(namespace));
        }
    }
    let message = match error {
        ClusterError::Terminating => format!("namespace {namespace} is being deleted"),
        ClusterError::NotFound => format!("namespace {namespace} does not exist any more"),
        ClusterError::Unknown => "the API server did not answer".to_owned(),
        ClusterError::Invalid if text.is_empty() => {
            "the API server refuses the target Secret as invalid; if spec.secret.type changed: the type of a Secret \
             cannot change, so write the old one again"
                .to_owned()
        }
        _ if text.is_empty() => {
            format!("the API server does not accept the target Secret: {error}")
        }
        _ => format!("the API server does not accept the target Secret: {text}"),
    };
    Ok(Obstacle::new(Reason::TargetRejected, message))
}

/// E9. Target seen, ledger read after it, conditional write.
pub(super) async fn deliver(pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    let Some(presentation) = pass.presentation.clone() else {
        return Ok(());
    };
    let Some(generation) = pass.current_generation() else {
        return Ok(());
    };
    let seen_at = pass.seen_at;
    if pass.stored(generation, Some(seen_at), ctx).await?.is_none() {
        return without_value(generation, pass, ctx).await;
    }
    if pass.current_generation() != Some(generation) || pass.world.is_delivered() {
        return Ok(()); // the ledger moved on: plan again
    }
    let repair = pass
        .world
        .memory
        .delivered
        .is_some_and(|(epoch, _)| Some(epoch) == pass.epoch());
    match write(pass, &presentation, ctx).await {
        Ok(true) => {
            let epoch = pass.epoch().unwrap_or_default();
            pass.succeed(Task::Deliver);
            pass.world.memory.delivered = Some((epoch, ctx.clock.now()));
            let (happening, note) = pass.delivery(repair);
            pass.tell(happening, note);
            Ok(())
        }
        Ok(false) => Ok(()),
        Err(ClusterError::Conflict | ClusterError::AlreadyExists | ClusterError::NotFound) => {
            pass.read_target(ctx).await
        }
        Err(ClusterError::Unknown) => {
            // Written or not: both sides are looked at live, and the plan is made again.
            pass.read_target(ctx).await?;
            pass.read_ledger(ctx).await?;
            if !pass.world.is_delivered() {
                let message = "the API server did not answer";
                let obstacle = Obstacle::new(Reason::Delivering, message);
                pass.fail(Task::Deliver, obstacle, ctx.clock.now());
            }
            Ok(())
        }
        Err(error) => {
            let rehearsal = Rehearsal {
                error,
                text: String::new(),
            };
            let obstacle = rejected(rehearsal, pass, ctx).await?;
            pass.fail(Task::Deliver, obstacle, ctx.clock.now());
            pass.read_target(ctx).await
        }
    }
}

/// One conditional write. `Ok(false)`: the ledger moved on meanwhile.
async fn write(
    pass: &mut Pass,
    presentation: &crate::target::render::Presentation,
    ctx: &Context,
) -> Result<bool, ClusterError> {
    let owner = pass.owner().clone();
    let Some(snapshot) = &pass.snapshot else {
        return Ok(false);
    };
    let ledger = &snapshot.ledger;
    let Some(current) = &ledger.current else {
        return Ok(false);
    };
    let Some(value) = snapshot.value(current.origin.generation) else {
        return Ok(false);
    };
    let shown = Shown {
        id: &current.origin.id,
        attempt: current.origin.generation,
        epoch: ledger.epoch,
        expires_at: current.origin.expires_at,
        value: value.get(),
    };
    let (id, epoch) = (current.origin.id.clone(), ledger.epoch);
    if let Some(seen) = &pass.sighting {
        let stored = ctx
            .target_store
            .update(&owner, presentation, &shown, seen)
            .await?;
        pass.see_target(Some(stored), ctx);
        return Ok(true);
    }
    let Some(asked) = pass.asked else {
        return Ok(false);
    };
    let fence = Fence::new(asked, ctx.times.fence());
    let created = ctx
        .target_store
        .create(&owner, presentation, &shown, (fence, ctx.clock.now()))
        .await?;
    pass.see_target(Some(created), ctx);
    still_true(pass, &id, epoch, ctx).await
}

/// A create has no version to check: the ledger is read once more, and has the last word.
async fn still_true(
    pass: &mut Pass,
    id: &crate::ledger::ids::CredentialId,
    epoch: Epoch,
    ctx: &Context,
) -> Result<bool, ClusterError> {
    let known = pass
        .snapshot
        .as_ref()
        .map(crate::ledger::store::Snapshot::without_values);
    pass.read_ledger(ctx)
        .await
        .map_err(|_| ClusterError::Unknown)?;
    let live = pass.snapshot.as_ref().map(|snapshot| &snapshot.ledger);
    let going = live.is_none_or(|l| {
        l.tombstone
            .is_some_and(|tombstone| tombstone.retain.is_none())
    });
    if going {
        let name = known.map(|known| known.ledger.target).unwrap_or_default();
        if let Some(sighting) = pass.sighting.clone() {
            ctx.target_store
                .remove(&pass.owner().namespace, &name, &sighting)
                .await?;
            pass.see_target(None, ctx);
        }
        return Ok(false);
    }
    let current = live.and_then(|ledger| ledger.current.as_ref());
    Ok(live.is_some_and(|l| l.epoch == epoch) && current.is_some_and(|c| c.origin.id == *id))
}

/// The ledger says current, but holds no value: it was edited, or rebuilt without it. If what is current
/// is another one by now, only the view was old.
pub(super) async fn without_value(
    generation: Generation,
    pass: &mut Pass,
    ctx: &Context,
) -> Result<(), Error> {
    if pass.current_generation() != Some(generation) {
        return Ok(());
    }
    let ledger = pass.snapshot.as_ref().map(|snapshot| &snapshot.ledger);
    let next = ledger.and_then(|ledger| ledger.forfeit(ctx.clock.now()));
    pass.swap(next, None, ctx).await.map(drop)
}

/// A ledger is gone, and the target proves what it held.
pub(super) async fn rebuild(pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    let (owner, name) = (pass.owner().clone(), pass.target_name());
    let Some(presentation) = pass.presentation.clone() else {
        return Ok(());
    };
    let key = presentation
        .keys
        .iter()
        .find(|(_, value)| **value == ValueName::Token);
    let key = key.map(|(key, _)| key.as_str());
    let asked = Asked::now(&ctx.clock);
    let looked = ctx
        .target_store
        .look_inside(&owner.namespace, &name, key)
        .await;
    let looked = looked.map_err(|source| Error::ReadTarget {
        owner: owner.clone(),
        source,
    })?;
    let Some((sighting, value)) = looked else {
        pass.see_target(None, ctx);
        return Ok(());
    };
    let created = sighting.created();
    pass.see_target(Some(sighting), ctx);
    let Target::Ours(seen) = pass.world.target.clone() else {
        return Ok(());
    };
    let Some(wish) = pass.world.wish().filter(|_| seen.sound) else {
        return Ok(());
    };
    let (Some(place), Some(spec_hash)) = (wish.place.clone(), wish.spec_hash.clone()) else {
        return Ok(());
    };
    let now = ctx.clock.now();
    let at = created.unwrap_or(now);
    let end = wish.expires_after.map(|life| after(at, life));
    // The Secret may be far older than what it shows: an end that would be past is not known at all, and
    // the credential is replaced, with overlap, instead of being revoked in use.
    let expires_at = end.filter(|end| *end > now);
    let value = value.filter(|_| end == expires_at);
    let origin = Origin {
        generation: seen.attempt,
        nonce: None,
        id: seen.id,
        place,
        at,
        expires_at,
        cause: Cause::LedgerLost,
        spec_hash: value.as_ref().map(|_| spec_hash).unwrap_or_default(),
    };
    let held = value.is_some();
    let ledger = Ledger::rebuilt(owner.clone(), name, origin, seen.epoch, held, now);
    let stored = value.as_ref().map(|value| (seen.attempt, value));
    let swap = ctx.ledger_store.create(&ledger, stored).await;
    match swap.map_err(|source| Error::WriteLedger { owner, source })? {
        Swap::Won(snapshot) => pass.see_ledger(Some(snapshot), asked, ctx),
        Swap::Lost(live) => pass.see_ledger(live, asked, ctx),
    }
    pass.tell(
        Happening::Verified,
        "the ledger was lost and made anew from the target Secret",
    );
    Ok(())
}

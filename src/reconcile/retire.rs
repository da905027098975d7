//! The end of a credential: its gates, the mark that nothing takes back, and the revocation.

use super::{Context, Error, deliver, pass::Pass, pods, verify::unanswered};
use crate::{
    api::condition::Reason,
    cluster::ClusterError,
    ledger::{
        ids::{Epoch, Generation},
        proof::Condemned,
        record::Place,
    },
    plan::{
        Obstacle, Retired,
        world::{Inspection, Task},
    },
    provider::{Probe as _, Probed, Revoke as _, budget::Lane},
    telemetry::{
        events::Happening,
        metrics::{Kind, RevocationOutcome},
    },
};

/// From here on the overlap counts.
pub(super) async fn start_overlap(
    epoch: Epoch,
    pass: &mut Pass,
    ctx: &Context,
) -> Result<(), Error> {
    let ledger = pass.snapshot.as_ref().map(|snapshot| &snapshot.ledger);
    let next = ledger.and_then(|ledger| ledger.distributed(epoch, ctx.clock.now()));
    pass.world.memory.closed = None;
    pass.swap(next, None, ctx).await.map(drop)
}

/// The target is about to be repaired: what was counted so far does not count.
pub(super) async fn suspend_overlap(pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    let ledger = pass.snapshot.as_ref().map(|snapshot| &snapshot.ledger);
    let next = ledger.and_then(crate::ledger::record::Ledger::suspend_overlap);
    pass.world.memory.closed = None;
    pass.swap(next, None, ctx).await.map(drop)
}

/// E10. The live target, and the Pods that use it.
pub(super) async fn inspect(pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    let at = ctx.clock.now();
    pass.read_target(ctx).await?;
    let (namespace, name) = (pass.owner().namespace.clone(), pass.target_name());
    let asked = crate::plan::gates::patience(&pass.world).is_some_and(|patience| patience.pods);
    let pods = if asked {
        match pods::using(&ctx.client.0, &namespace, &name).await {
            Ok(pods) => Some(pods),
            Err(ClusterError::Forbidden) => None,
            Err(_) => {
                let message = "the API server did not list the Pods";
                pass.fail(
                    Task::Inspect,
                    Obstacle::new(Reason::RotationBlocked, message),
                    at,
                );
                return Ok(());
            }
        }
    } else {
        None
    };
    pass.succeed(Task::Inspect);
    pass.world.fresh.inspected = Some(Inspection { at, pods });
    Ok(())
}

/// E10. The current credential still works, after the overlap: without that the old one stays.
pub(super) async fn prove(
    generation: Generation,
    pass: &mut Pass,
    ctx: &Context,
) -> Result<(), Error> {
    let Some(place) = pass.place_of(generation) else {
        return Ok(());
    };
    let provider = match ctx.provider_at(&place, &pass.owner().namespace) {
        Ok(provider) => provider.in_lane(Lane::Rotate),
        Err(obstacle) => {
            pass.fail(Task::Prove, obstacle, ctx.clock.now());
            return Ok(());
        }
    };
    let Some(value) = pass.stored(generation, None, ctx).await? else {
        let message = "the ledger holds no value of the credential in use, so it cannot be proven; the one before it \
                       is not revoked";
        let obstacle = Obstacle::new(Reason::RotationBlocked, message);
        pass.fail(Task::Prove, obstacle, ctx.clock.now()); // for the case that nothing comes of the next line
        return deliver::without_value(generation, pass, ctx).await;
    };
    let probed = provider.probe(value).await;
    let now = ctx.clock.now();
    match probed {
        Ok(Probed::Accepted) => {
            pass.succeed(Task::Prove);
            pass.world.fresh.proven = Some(now);
        }
        Ok(Probed::Refused) => {
            let message = "the provider refuses the credential in use; the one before it is not revoked. If it still \
                           works, ask for a new one by handover.dev/rotate-requested-at once it is gone, or restore the \
                           credential at the provider";
            pass.fail(
                Task::Prove,
                Obstacle::new(Reason::RotationBlocked, message),
                now,
            );
        }
        Err(error) => {
            pass.fail(Task::Prove, unanswered(error), now);
            ctx.suspect(error, &place, &pass.owner().namespace);
        }
    }
    Ok(())
}

/// E11. Absorbing.
pub(super) async fn mark(retired: &Retired, pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    let ledger = pass.snapshot.as_ref().map(|snapshot| &snapshot.ledger);
    let next = ledger.and_then(|ledger| ledger.mark(retired.id(), ctx.clock.now()));
    pass.world.memory.closed = None;
    pass.swap(next, None, ctx).await.map(drop)
}

/// The end of a life.
pub(super) async fn condemn_expired(pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    let ledger = pass.snapshot.as_ref().map(|snapshot| &snapshot.ledger);
    let next = ledger.and_then(|ledger| ledger.condemn_expired(ctx.clock.now()));
    pass.swap(next, None, ctx).await.map(drop)
}

/// E12 and E13.
pub(super) async fn revoke(
    condemned: &Condemned,
    pass: &mut Pass,
    ctx: &Context,
) -> Result<(), Error> {
    let ledger = pass.snapshot.as_ref().map(|snapshot| &snapshot.ledger);
    let doomed = ledger.and_then(|l| l.deleting.iter().find(|d| d.origin.id == *condemned.id()));
    let Some((place, cause)) = doomed.map(|d| (d.origin.place.clone(), d.origin.cause)) else {
        return Ok(());
    };
    let namespace = pass.owner().namespace.clone();
    let failure = match ctx.provider_at(&place, &namespace) {
        Err(obstacle) => Some(obstacle),
        Ok(provider) => {
            let gone = provider.revoke(condemned).await;
            ctx.metrics
                .revoked(Kind::MachineToken, cause, RevocationOutcome::from(&gone));
            gone.err().map(|error| {
                ctx.suspect(error, &place, &namespace);
                unanswered(error)
            })
        }
    };
    if let Some(obstacle) = failure {
        postpone(condemned, &place, &obstacle, pass, ctx);
        return Ok(());
    }
    pass.succeed(Task::Revoke);
    let ledger = pass.snapshot.as_ref().map(|snapshot| &snapshot.ledger);
    let next = ledger.and_then(|ledger| ledger.clear(condemned.id(), ctx.clock.now()));
    if pass.swap(next, None, ctx).await? {
        pass.tell(Happening::Revoked, format!("revoked {}", condemned.id()));
    }
    Ok(())
}

/// The duty stays; said once, and tried again after a growing wait.
fn postpone(
    condemned: &Condemned,
    place: &Place,
    obstacle: &Obstacle,
    pass: &mut Pass,
    ctx: &Context,
) {
    let (id, connection) = (condemned.id(), &place.connection);
    let message = format!(
        "{id} at {connection} is not revoked yet: {}",
        obstacle.message
    );
    if !pass.world.memory.waits.contains_key(&Task::Revoke) {
        pass.tell(Happening::RevocationPending, message.clone());
    }
    pass.fail(
        Task::Revoke,
        Obstacle::new(obstacle.reason, message),
        ctx.clock.now(),
    );
}

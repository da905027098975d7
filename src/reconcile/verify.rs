//! A stored value is proven before anybody gets it, and given up if it never is.

use jiff::Timestamp;

use super::{Context, Error, issue::backoff, pass::Pass};
use crate::{
    api::condition::Reason,
    ledger::{
        ids::Generation,
        record::{Failure, Proof},
    },
    moment::after,
    plan::{Obstacle, Rejection, world::Task},
    provider::{Probe as _, Probed, ProviderError},
    telemetry::events::Happening,
};

/// E7 and E8, with the value as the ledger holds it.
pub(super) async fn verify(
    generation: Generation,
    pass: &mut Pass,
    ctx: &Context,
) -> Result<(), Error> {
    let Some(place) = pass.place_of(generation) else {
        return Ok(());
    };
    let provider = match ctx.provider_at(&place, &pass.owner().namespace) {
        Ok(provider) => provider,
        Err(obstacle) => {
            pass.fail(Task::Verify, obstacle, ctx.clock.now());
            return Ok(());
        }
    };
    let Some(value) = pass.stored(generation, None, ctx).await? else {
        return lost_value(generation, pass, ctx).await;
    };
    let probed = provider.probe(value).await;
    let now = ctx.clock.now();
    match probed {
        Ok(Probed::Accepted) => promote(generation, pass, ctx).await,
        Ok(Probed::Refused) => {
            let since = pass
                .world
                .memory
                .refused_since
                .filter(|(g, _)| *g == generation);
            pass.world.memory.refused_since = since.or(Some((generation, now)));
            let message = "the provider does not accept the new credential yet";
            pass.fail(Task::Verify, Obstacle::new(Reason::Verifying, message), now);
            ask_in_time(pass, now, ctx);
            Ok(())
        }
        Err(error) => {
            pass.world.memory.refused_since = None; // no answer is no refusal
            pass.fail(Task::Verify, unanswered(error), now);
            ctx.suspect(error, &place, &pass.owner().namespace);
            Ok(())
        }
    }
}

/// The wait between two probes ends with `verifyTimeout` at the latest: then the last one decides.
fn ask_in_time(pass: &mut Pass, now: Timestamp, ctx: &Context) {
    let memory = &mut pass.world.memory;
    let end = memory
        .refused_since
        .map(|(_, since)| after(since, ctx.times.verify_timeout()));
    if let (Some(end), Some(wait)) = (
        end.filter(|end| *end > now),
        memory.waits.get_mut(&Task::Verify),
    ) {
        wait.until = wait.until.min(end);
    }
}

async fn promote(generation: Generation, pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    pass.succeed(Task::Verify);
    pass.world.memory.refused_since = None;
    let ledger = pass.snapshot.as_ref().map(|snapshot| &snapshot.ledger);
    let next = ledger.and_then(|l| l.promote(generation, Proof::Probed, ctx.clock.now()));
    if pass.swap(next, None, ctx).await?
        && let Some(note) = pass.promotion()
    {
        pass.tell(Happening::Verified, note);
    }
    Ok(())
}

/// A pending record without its value (someone edited the ledger): it is of no use.
async fn lost_value(generation: Generation, pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    let pending = pass
        .snapshot
        .as_ref()
        .and_then(|snapshot| snapshot.ledger.pending.as_ref());
    match pending {
        Some(pending) if pending.origin.generation == generation => {
            reject(generation, Rejection::Unusable, pass, ctx).await
        }
        _ => Ok(()), // the ledger moved on
    }
}

/// A pending credential that must not be used.
pub(super) async fn reject(
    generation: Generation,
    why: Rejection,
    pass: &mut Pass,
    ctx: &Context,
) -> Result<(), Error> {
    let Some(ledger) = pass.snapshot.as_ref().map(|snapshot| &snapshot.ledger) else {
        return Ok(());
    };
    let backoff = match why {
        Rejection::Unusable => backoff(ledger, pass.world.wish(), Failure::NotVerified, ctx),
        Rejection::Outdated => None,
    };
    let next = ledger.reject(generation, ctx.clock.now(), backoff);
    if pass.swap(next, None, ctx).await? {
        pass.succeed(Task::Verify);
        pass.world.memory.refused_since = None;
        if why == Rejection::Unusable {
            pass.tell(Happening::VerifyFailed, format!("attempt {generation} did not authenticate, or is not what was asked for; it is revoked and was never delivered"));
        }
    }
    Ok(())
}

/// What a call without a usable answer amounts to, for people.
pub(super) fn unanswered(error: ProviderError) -> Obstacle {
    let reason = match error {
        ProviderError::NotSent | ProviderError::Unavailable => Reason::ProviderUnavailable,
        ProviderError::Throttled => Reason::RateLimited,
        ProviderError::Unauthenticated => Reason::ConnectionNotReady,
        ProviderError::Forbidden | ProviderError::Rejected(_) => Reason::ProviderRejected,
    };
    Obstacle::new(reason, error.to_string())
}

//! Arm, POST once, keep what came back; verify it; or give it up.

use std::time::Duration;

use tokio::time::sleep;

use super::{Context, Error, deletion, pass::Pass};
use crate::{
    instance,
    ledger::{
        ids::{CredentialId, Generation},
        marker::{Marker, OwnerDigits},
        proof::{Armed, Condemned, CreateOnce},
        record::{Backoff, Failure, Intent, Ledger},
        store::Arm,
    },
    moment::after,
    plan::{Order, world::Wish},
    provider::{
        Issue as _, Issued, Outcome, Refusal, Revoke as _, Unknown, budget::Lane, errova::Errova,
    },
    target::store::Asked,
    telemetry::{
        events::Happening,
        metrics::{IssueOutcome, Kind},
    },
};

/// Between two tries to store what this process alone knows: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The only function that creates a credential.
pub(super) async fn issue(order: Order, pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    let Some(request) = pass.request.clone() else {
        return Ok(()); // no resource asks for it: nothing is armed
    };
    let provider = match ctx.provider_at(&order.place, &pass.owner().namespace) {
        Ok(provider) => provider,
        Err(obstacle) => {
            pass.world.obstacle = Some(obstacle);
            return Ok(());
        }
    };
    let turn = ctx
        .connections
        .turn(&order.place, &pass.owner().namespace)
        .await;
    let slot = ctx.slots.acquire().await;
    if ctx.stopping.is_cancelled() {
        pass.world.memory.stopping = true;
        return Ok(());
    }
    let cause = order.cause;
    let Some((armed, create, first)) = arm(order, pass, ctx).await? else {
        return Ok(());
    };
    // Without a `current`: the reply of the finalizer PATCH is the live read of the resource.
    if first {
        match deletion::claim(pass, ctx).await {
            Ok(true) => {}
            Ok(false) => return withdraw(&armed, pass, ctx).await, // gone, replaced or deleting: nothing is sent
            Err(error) => {
                // Nothing was sent either, and the record says so: it is no create of unknown outcome.
                disarm(&armed, Refusal::NotSent, pass, ctx).await?;
                return Err(error);
            }
        }
    }
    let lane = if first { Lane::Issue } else { Lane::Rotate };
    let outcome = provider.in_lane(lane).issue(create, &request).await;
    ctx.metrics
        .issued(Kind::MachineToken, cause, IssueOutcome::from(&outcome));
    drop((turn, slot)); // what follows has priority over everybody's turn
    match outcome {
        Outcome::Issued(issued) if is_of_another(&issued, pass, ctx) => {
            give_up(&armed, confused(issued), pass, ctx).await
        }
        Outcome::Issued(issued) => keep(armed, issued, &provider, pass, ctx).await,
        Outcome::Refused(refusal) => disarm(&armed, refusal, pass, ctx).await,
        Outcome::Unknown(unknown) => give_up(&armed, unknown, pass, ctx).await,
    }
}

/// Whether an answer names or shows a credential that is recorded already. A cache in between, or a
/// provider that mixes things up: neither may get the one in use delivered twice, or deleted.
fn is_of_another(issued: &Issued, pass: &Pass, ctx: &Context) -> bool {
    let place = pass.armed_place();
    let shown = pass
        .snapshot
        .as_ref()
        .is_some_and(|snapshot| snapshot.shows(&issued.value));
    shown || place.is_some_and(|place| ctx.ledgers.records(&place, &issued.id))
}

/// Such an answer says no more than one that cannot be read. An id that is recorded is not picked out
/// of it.
fn confused(issued: Issued) -> Unknown {
    Unknown {
        id: Some(issued.id),
        unreadable: true,
    }
}

/// E2. None if someone was faster, or the ledger does not allow it (any more).
async fn arm(
    order: Order,
    pass: &mut Pass,
    ctx: &Context,
) -> Result<Option<(Armed, CreateOnce, bool)>, Error> {
    let owner = pass.owner().clone();
    let failed = |source| Error::Prepare {
        owner: owner.clone(),
        source,
    };
    let nonce = instance::nonce().map_err(failed)?;
    let digits = OwnerDigits::of_uid(&owner.uid);
    let digits = digits.map_err(|_| failed(instance::InstanceError::Damaged))?;
    let timeout = ctx.connections.timeout(&order.place, &owner.namespace);
    let asked = Asked::now(&ctx.clock);
    let now = asked.wall;
    let grace = jiff::SignedDuration::try_from(timeout * 2).unwrap_or_default();
    let intent = Intent {
        generation: order.generation,
        nonce: nonce.clone(),
        spec_hash: order.spec_hash,
        holder: ctx.holder.clone(),
        at: now,
        sendable_until: after(now, grace),
        place: order.place,
        cause: order.cause,
        request: order.request,
        expires_at: order.expires_at,
    };
    let before = pass.snapshot.as_ref();
    let blank = || Ledger::new(owner.clone(), pass.target_name());
    let ledger = before.map_or_else(blank, |snapshot| snapshot.ledger.clone());
    let Some(next) = ledger.arm(intent.clone(), ctx.times.budget_window()) else {
        pass.read_ledger(ctx).await?;
        return Ok(None);
    };
    let marker = Marker {
        instance: ctx.instance.id.clone(),
        owner: digits,
        generation: order.generation,
        nonce,
    };
    // Sent before the grace is over even if the exchange takes all of its time.
    let create = (marker, asked.monotonic + timeout);
    let arm = ctx.ledger_store.arm(before, next, &intent, create).await;
    match arm.map_err(|source| Error::WriteLedger { owner, source })? {
        Arm::Won(armed, create, snapshot) => {
            let first = snapshot.ledger.current.is_none();
            pass.see_ledger(Some(snapshot), asked, ctx);
            Ok(Some((armed, create, first)))
        }
        Arm::Lost(live) => {
            pass.see_ledger(live, asked, ctx);
            Ok(None)
        }
    }
}

/// E5, before anything else and without giving up: while the value exists only in memory nothing has
/// priority over storing it. Ends with the value stored, or with the credential condemned.
async fn keep(
    armed: Armed,
    issued: Issued,
    provider: &Errova,
    pass: &mut Pass,
    ctx: &Context,
) -> Result<(), Error> {
    let Issued { id, value, flaw } = issued;
    let generation = armed.generation();
    let mut pause = FIRST_PAUSE;
    loop {
        let now = ctx.clock.now();
        let held = pass.snapshot.as_ref().map(|snapshot| &snapshot.ledger);
        // Ours, be it behind a lost reply; another replica may even have promoted it meanwhile.
        if held.is_some_and(|ledger| ledger.recorded().any(|origin| origin.id == id)) {
            pass.tell(
                Happening::Issued,
                format!("issued {id}, attempt {generation}"),
            );
            return Ok(());
        }
        let Some(next) = held.and_then(|ledger| ledger.fill(generation, id.clone(), flaw, now))
        else {
            return compensate(
                Condemned::unkept(armed, id),
                generation,
                provider,
                pass,
                ctx,
            )
            .await;
        };
        match pass.swap(Some(next), Some((generation, &value)), ctx).await {
            Ok(_) => {}
            Err(_) if ctx.last_call.is_cancelled() => {
                // Kubernetes stays away and the process must end: a credential nobody holds is worse.
                let _ = provider.revoke(&Condemned::unkept(armed, id)).await;
                return Ok(());
            }
            Err(_) => rest(&mut pause).await,
        }
    }
}

/// E6. The intent is no longer ours: the credential that was issued for it is deleted.
async fn compensate(
    condemned: Condemned,
    generation: Generation,
    provider: &Errova,
    pass: &mut Pass,
    ctx: &Context,
) -> Result<(), Error> {
    let mut pause = FIRST_PAUSE;
    loop {
        let ledger = pass.snapshot.as_ref().map(|snapshot| &snapshot.ledger);
        let next =
            ledger.and_then(|l| l.compensate(generation, condemned.id().clone(), ctx.clock.now()));
        let recordable = next.is_some();
        if recordable && matches!(pass.swap(next, None, ctx).await, Ok(true)) {
            return Ok(()); // `revoke_condemned` does the rest
        }
        let Err(error) = provider.revoke(&condemned).await else {
            return Ok(());
        };
        if !recordable || ctx.last_call.is_cancelled() {
            let id = condemned.id();
            tracing::error!(owner = %pass.owner(), credential.id = %id, %error, "a credential could not be kept nor deleted");
            return Ok(());
        }
        rest(&mut pause).await; // the id is known here alone: one of the two will take it
    }
}

/// Waits, longer each time, while something is known to this process alone.
async fn rest(pause: &mut Duration) {
    sleep(*pause).await;
    *pause = (*pause * 2).min(LONGEST_PAUSE);
}

/// E4. Nothing was created.
async fn disarm(
    armed: &Armed,
    refusal: Refusal,
    pass: &mut Pass,
    ctx: &Context,
) -> Result<(), Error> {
    let failure = match refusal {
        Refusal::NotSent => Failure::NotSent,
        Refusal::Unauthenticated => Failure::Unauthenticated,
        Refusal::Forbidden => Failure::Forbidden,
        Refusal::Throttled => Failure::Throttled,
        Refusal::Rejected(status) => Failure::Rejected(status),
    };
    if matches!(failure, Failure::NotSent | Failure::Unauthenticated)
        && let Some(place) = pass.armed_place()
    {
        ctx.recheck(&place, &pass.owner().namespace);
    }
    finish(
        armed,
        pass,
        ctx,
        |ledger, backoff| ledger.disarm(armed.generation(), backoff?),
        failure,
    )
    .await
}

/// E4'. The provider may have created it; nobody will ever send it again.
async fn give_up(
    armed: &Armed,
    unknown: Unknown,
    pass: &mut Pass,
    ctx: &Context,
) -> Result<(), Error> {
    let failure = if unknown.unreadable {
        Failure::Unreadable
    } else {
        Failure::Ambiguous
    };
    let place = pass.armed_place();
    if let (true, Some(place)) = (unknown.unreadable, &place) {
        ctx.connections.trip(place, &pass.owner().namespace);
        ctx.recheck(place, &pass.owner().namespace);
        pass.tell(
            Happening::BreakerOpen,
            "an answer of the provider could not be read; creating stopped on the whole connection",
        );
    }
    let generation = armed.generation();
    let now = ctx.clock.now();
    // An id that stands in a ledger is not deleted by the word of a damaged answer.
    let known = |id: &CredentialId| {
        place
            .as_ref()
            .is_none_or(|place| ctx.ledgers.records(place, id))
    };
    let id = unknown.id.filter(|id| !known(id));
    let next = |ledger: &Ledger, backoff: Option<Backoff>| {
        let abandoned = ledger.abandon(generation, now, backoff)?;
        // An id that could be picked out of the damaged answer is known, and known to be ours.
        match &id {
            Some(id) => abandoned
                .compensate(generation, id.clone(), now)
                .or(Some(abandoned)),
            None => Some(abandoned),
        }
    };
    if let Some(place) = &place {
        // Whether the provider is there at all is found out before the next create is lost to it.
        ctx.recheck(place, &pass.owner().namespace);
    }
    finish(armed, pass, ctx, next, failure).await?;
    if id.is_none() {
        pass.tell(
            Happening::AmbiguousCreate,
            format!("the create of attempt {generation} got no clear answer; it is not sent again"),
        );
    }
    Ok(())
}

/// Brings an armed intent to its end in the ledger, again and again until it is there.
async fn finish(
    armed: &Armed,
    pass: &mut Pass,
    ctx: &Context,
    next: impl Fn(&Ledger, Option<Backoff>) -> Option<Ledger>,
    failure: Failure,
) -> Result<(), Error> {
    let generation = armed.generation();
    let mut pause = FIRST_PAUSE;
    loop {
        let Some(ledger) = pass.snapshot.as_ref().map(|snapshot| &snapshot.ledger) else {
            return Ok(());
        };
        if ledger
            .intent
            .as_ref()
            .is_none_or(|intent| intent.generation != generation)
        {
            return Ok(()); // someone else did it
        }
        let backoff = backoff(ledger, pass.world.wish(), failure, ctx);
        let Some(next) = next(ledger, backoff) else {
            return Ok(());
        };
        match pass.swap(Some(next), None, ctx).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // A record that cannot be read does not heal by itself; an API server that is away does.
            Err(error) if ctx.last_call.is_cancelled() || !error.is_of_cluster() => {
                return Err(error);
            }
            Err(_) => rest(&mut pause).await,
        }
    }
}

pub(super) fn backoff(
    ledger: &Ledger,
    wish: Option<&Wish>,
    failure: Failure,
    ctx: &Context,
) -> Option<Backoff> {
    let wish = wish?;
    let asked = ledger.intent.as_ref().and_then(|intent| intent.request);
    let asked = asked.or(ledger.pending.as_ref().and_then(|pending| pending.request));
    let waits = (ctx.times.first_backoff(), ctx.times.longest_backoff());
    let before = ledger.backoff.as_ref();
    Some(Backoff::after(
        before,
        failure,
        (&wish.inputs, asked),
        ctx.clock.now(),
        waits,
    ))
}

/// The resource went while its first create was armed: nothing was sent, and nothing will be.
async fn withdraw(armed: &Armed, pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    let now = ctx.clock.now();
    let generation = armed.generation();
    let next = |ledger: &Ledger, _: Option<Backoff>| ledger.withdraw(generation, now);
    finish(armed, pass, ctx, next, Failure::NotSent).await
}

/// An intent whose holder is gone.
pub(super) async fn abandon(
    generation: Generation,
    pass: &mut Pass,
    ctx: &Context,
) -> Result<(), Error> {
    let ledger = pass.snapshot.as_ref().map(|snapshot| &snapshot.ledger);
    let next = ledger.and_then(|ledger| ledger.abandon(generation, ctx.clock.now(), None));
    if pass.swap(next, None, ctx).await? {
        let note = format!(
            "attempt {generation} was armed by a process that is gone; whether it was sent is unknown, and it is not sent again"
        );
        pass.tell(Happening::AmbiguousCreate, note);
    }
    Ok(())
}

/// A person's word about creates with an unknown outcome.
pub(super) async fn resolve(
    attempts: &[Generation],
    pass: &mut Pass,
    ctx: &Context,
) -> Result<(), Error> {
    let ledger = pass.snapshot.as_ref().map(|snapshot| &snapshot.ledger);
    let next = ledger.and_then(|ledger| ledger.resolve(attempts, ctx.clock.now()));
    pass.swap(next, None, ctx).await.map(drop)
}

//! Keeps one credential issued, delivered and rotated: plan and act until nothing is left to do now.
//!
//! # Expected flow
//! 1. The target's write is rehearsed, the ledger armed, the credential created once, its value filled
//!    into the ledger.
//! 2. The stored value is verified and promoted; the target follows.
//! 3. At the due time the same again; the old one retires, and is revoked when the gates are open.
//!
//! # Guarantees
//! What the target holds authenticates (S1b). Nothing is created twice for one intent (S5).
//!
//! # Assumptions
//! The provider keeps labels and ids.
//!
//! # Caveats
//! Environment variables and `subPath` mounts never see a new value without a restart.

use super::{Context, Error, deletion, deliver, issue, pass::Pass, retire, verify};
use crate::{
    plan::{Because, Effect, Plan, plan, world::Fresh},
    telemetry::metrics::{EffectName, EffectOutcome, Kind},
};

/// More effects than this in one pass do not happen in any sound plan.
const MAX_EFFECTS: usize = 40;

/// Plans and acts until nothing is left to do now.
pub async fn converge(pass: &mut Pass, ctx: &Context) -> Result<Plan, Error> {
    for _ in 0..MAX_EFFECTS {
        let mut plan = plan(&pass.world, ctx.clock.now());
        let Some(effect) = plan.effect.take() else {
            remember_gates(pass, &plan);
            return Ok(plan);
        };
        act(effect, pass, ctx).await?;
    }
    Err(Error::Restless {
        owner: pass.owner().clone(),
    })
}

/// One effect. Its reply changes what `pass` shows; a lost compare-and-swap shows what is there instead.
async fn act(effect: Effect, pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    tracing::debug!(owner = %pass.owner(), effect = effect.name(), "acting");
    let name = EffectName::from(&effect);
    pass.superseded = false;
    // What waits for a provider is bounded by its connection's budget, and must not hold a slot meanwhile:
    // one provider that hangs would stop the work on all others.
    let slot = match &effect {
        Effect::Issue(_) | Effect::Verify(_) | Effect::Prove(_) | Effect::Revoke(_) => None,
        _ => Some(ctx.slots.acquire().await),
    };
    let outcome = perform(effect, pass, ctx).await;
    drop(slot);
    let ended = match &outcome {
        Ok(()) if pass.superseded => EffectOutcome::Superseded,
        Ok(()) => EffectOutcome::Done,
        Err(_) => EffectOutcome::Failed,
    };
    ctx.metrics.effect(Kind::MachineToken, name, ended);
    outcome
}

async fn perform(effect: Effect, pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    match effect {
        Effect::Claim => deletion::claim(pass, ctx).await.map(drop),
        Effect::Bury => deletion::bury(pass, ctx).await,
        Effect::Release => deletion::release(pass, ctx).await,
        Effect::RemoveTarget => deletion::remove_target(pass, ctx).await,
        Effect::Close => deletion::close(pass, ctx).await,
        Effect::Abandon(generation) => issue::abandon(generation, pass, ctx).await,
        Effect::Resolve(attempts) => issue::resolve(&attempts, pass, ctx).await,
        Effect::Issue(order) => issue::issue(order, pass, ctx).await,
        Effect::Verify(generation) => verify::verify(generation, pass, ctx).await,
        Effect::Reject(generation, why) => verify::reject(generation, why, pass, ctx).await,
        Effect::Rebuild => deliver::rebuild(pass, ctx).await,
        Effect::Rehearse => deliver::rehearse(pass, ctx).await,
        Effect::Deliver => deliver::deliver(pass, ctx).await,
        Effect::CondemnExpired => retire::condemn_expired(pass, ctx).await,
        Effect::StartOverlap(epoch) => retire::start_overlap(epoch, pass, ctx).await,
        Effect::SuspendOverlap => retire::suspend_overlap(pass, ctx).await,
        Effect::Inspect => retire::inspect(pass, ctx).await,
        Effect::Prove(generation) => retire::prove(generation, pass, ctx).await,
        Effect::Mark(retired) => retire::mark(&retired, pass, ctx).await,
        Effect::Revoke(condemned) => retire::revoke(&condemned, pass, ctx).await,
    }
}

/// What a look at the gates showed is remembered for a while, so that our own writes, when they come
/// back as events, do not cost another look.
fn remember_gates(pass: &mut Pass, plan: &Plan) {
    let looked = matches!(
        pass.world.fresh,
        Fresh {
            inspected: Some(_),
            ..
        }
    );
    if let (Because::GatesClosed(closed), Some(until), true) = (&plan.because, plan.wake, looked) {
        pass.world.memory.closed = Some((closed.clone(), until));
    }
}

//! The machine token's controller: what is particular to it is its gathering; the rest is `credential`.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::{Resource as _, ResourceExt as _};
use kube_runtime::controller::Action;
use tokio::time::Instant;

use super::{Context, Error, credential, gather, pass::Pass, report, status};
use crate::{
    api::{condition::Reason, machine_token::MachineToken},
    plan::{
        Plan,
        schedule::{self, spread},
        world::{Resource, Target},
    },
    telemetry::metrics::{Kind, PassOutcome, ResourceId, ResourceSeries},
};

/// One pass of one token.
pub async fn reconcile(token: Arc<MachineToken>, ctx: Arc<Context>) -> Result<Action, Error> {
    // A panic in one pass must not end the controller of all others.
    let pass = AssertUnwindSafe(Box::pin(run(token.clone(), &ctx))).catch_unwind();
    let outcome = pass.await.unwrap_or_else(|_| {
        Err(Error::Panicked {
            owner: gather::owner(&token).to_string(),
        })
    });
    match &outcome {
        Ok(_) => ctx.failures.clear(&token.uid().unwrap_or_default()),
        Err(error) => {
            tracing::warn!(error = error as &dyn std::error::Error, "a pass failed");
            report::unfinished(&token, Reason::Pending, &error.told(), &ctx).await;
        }
    }
    outcome
}

async fn run(token: Arc<MachineToken>, ctx: &Context) -> Result<Action, Error> {
    ctx.synced.wait().await;
    let mut pass = gather::gather(&token, ctx).await?;
    let begun = Instant::now();
    let plan = tokio::select! {
        plan = Box::pin(credential::converge(&mut pass, ctx)) => plan,
        never = report::slowness(&token, ctx) => match never {},
    };
    if let Ok(plan) = &plan {
        status::judge(&mut pass, plan, ctx);
    }
    settle(&mut pass, ctx);
    if matches!(pass.world.resource, Resource::Gone) && pass.snapshot.is_some() {
        ctx.leftovers.notify_one(); // not in `settle`: the leftovers would wake themselves, for ever
    }
    let outcome = plan
        .as_ref()
        .map_or(PassOutcome::Failed, |plan| (&plan.because).into());
    ctx.metrics
        .reconciled(Kind::MachineToken, outcome, begun.elapsed());
    if let Err(error) = &plan
        && is_untrue(&pass)
    {
        report::damage(&token, &error.told(), ctx).await;
    }
    let plan = plan?;
    report::write_if_changed(&pass, &plan, ctx).await?;
    let gone = matches!(pass.world.resource, Resource::Gone);
    let poll = (pass.polled && !gone).then(|| spread(ctx.times.target_poll(), &pass.owner().uid));
    Ok(next(&plan, poll, ctx))
}

/// Keeps what the pass learned and tells what happened in it, also after an error.
pub(super) fn settle(pass: &mut Pass, ctx: &Context) {
    let uid = &pass.owner().uid;
    let gone = matches!(pass.world.resource, Resource::Gone);
    if gone && pass.snapshot.is_none() {
        ctx.memories.forget(uid);
        ctx.token_status.forget(uid);
        ctx.metrics.forget(&resource_id(pass));
    } else {
        ctx.memories.keep(uid, pass.world.memory.clone());
        if let Some(ledger) = &pass.world.ledger {
            let next = schedule::next(&pass.world, ctx.clock.now()).map(|due| due.at);
            let next_rotation = next.filter(|at| *at > Timestamp::MIN);
            let conditions = pass.shown.clone();
            let series = ResourceSeries {
                next_rotation,
                conditions,
                ..ResourceSeries::of(ledger)
            };
            ctx.metrics.resource(resource_id(pass), series);
        }
    }
    for (happening, note) in pass.happened.drain(..) {
        let (owner, reason) = (&pass.world.owner, happening.reason());
        if happening.is_warning() {
            tracing::warn!(%owner, happening = reason, "{note}");
        } else {
            tracing::info!(%owner, happening = reason, "{note}");
        }
        if let Some(token) = &pass.token {
            ctx.recorder.record(happening, token.object_ref(&()), note);
        }
    }
}

fn resource_id(pass: &Pass) -> ResourceId {
    let owner = pass.owner();
    ResourceId {
        kind: Kind::MachineToken,
        namespace: owner.namespace.clone(),
        name: owner.name.clone(),
    }
}

/// Whether `Ready=True`, if that is what status says, is no longer so: the target is damaged, or it goes.
fn is_untrue(pass: &Pass) -> bool {
    let sound = matches!(&pass.world.target, Target::Ours(seen) if seen.sound);
    !sound || pass.world.wish().is_none()
}

/// When the plan says, and where nothing tells of changes after `poll` at the latest.
fn next(plan: &Plan, poll: Option<SignedDuration>, ctx: &Context) -> Action {
    let wake = plan.wake.map(|wake| wake.duration_since(ctx.clock.now()));
    match wake.into_iter().chain(poll).min() {
        Some(wait) => {
            let wait = Duration::try_from(wait).unwrap_or_default();
            Action::requeue(wait.max(Duration::from_millis(10)))
        }
        None => Action::await_change(),
    }
}

/// After a failed pass.
#[expect(clippy::needless_pass_by_value, reason = "the controller's signature")]
pub fn on_error(token: Arc<MachineToken>, error: &Error, ctx: Arc<Context>) -> Action {
    let failures = ctx.failures.count(&token.uid().unwrap_or_default());
    Action::requeue(error.retry(failures))
}

//! Ledgers whose resource is gone and whose duty is not done: revocations that the provider would not
//! take in time, and targets to remove. A few at a time; nothing here is urgent to anybody. And how many
//! revocations are pending, which a connection that is gone cannot tell any more.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use kube::Api;

use super::{Context, credential, gather, machine_token};
use crate::{
    api::machine_token::MachineToken,
    cluster::{ClusterError, answer},
    ledger::{record::Owner, store::Snapshot},
    moment::after,
};

/// How often the list is gone through without any cause.
const PATROL: Duration = Duration::from_secs(30);

/// How many are worked on at once: one provider that hangs must not hold up the others for long.
const AT_ONCE: usize = 8;

/// Works until the process stops.
pub async fn run(ctx: Arc<Context>) {
    let mut due: HashMap<String, Timestamp> = HashMap::new();
    let mut pending = BTreeMap::new();
    loop {
        show_pending(&mut pending, &ctx);
        let buried: Vec<_> = ctx
            .ledgers
            .buried()
            .into_iter()
            .filter(|l| has_duty(l))
            .collect();
        due.retain(|uid, _| buried.iter().any(|ledger| ledger.ledger.owner.uid == *uid));
        let now = ctx.clock.now();
        let mut ready = buried;
        ready.retain(|ledger| {
            let at = due.get(&ledger.ledger.owner.uid);
            at.is_none_or(|at| *at <= now)
        });
        let works = stream::iter(ready).map(|ledger| worked(ledger, ctx.clone()));
        let done: Vec<_> = works.buffer_unordered(AT_ONCE).collect().await;
        due.extend(done.into_iter().flatten());
        let soonest = due
            .values()
            .min()
            .map(|at| at.duration_since(ctx.clock.now()));
        let wait = soonest.map_or(PATROL, |wait| Duration::try_from(wait).unwrap_or_default());
        tokio::select! {
            () = ctx.stopping.cancelled() => return,
            () = tokio::time::sleep(wait.clamp(Duration::from_millis(100), PATROL)) => {}
            () = ctx.leftovers.notified() => due.clear(),
        }
    }
}

/// Every pending revocation, and 0 where there was one before.
fn show_pending(shown: &mut BTreeMap<String, u64>, ctx: &Context) {
    let pending = ctx.ledgers.pending_revocations();
    let done = shown.keys().filter(|name| !pending.contains_key(*name));
    for (connection, count) in done.map(|name| (name, &0)).chain(&pending) {
        ctx.metrics.pending_revocations(connection, *count);
    }
    *shown = pending;
}

/// Whether something is left to do: a retained credential and creates that only a person can settle
/// are recorded, and that is all.
fn has_duty(seen: &Snapshot) -> bool {
    let ledger = &seen.ledger;
    let retained = ledger
        .tombstone
        .is_some_and(|tombstone| tombstone.retain.is_some());
    let working =
        !ledger.deleting.is_empty() || ledger.intent.is_some() || ledger.retiring.is_some();
    let resolved = ledger
        .abandoned
        .iter()
        .any(|a| seen.resolved.contains(&a.generation));
    working || resolved || (!retained && ledger.abandoned.is_empty())
}

/// Gone means that the API server says so, now: never a cache, and never what a selector hides.
async fn is_gone(owner: &Owner, ctx: &Context) -> Result<bool, ClusterError> {
    let tokens: Api<MachineToken> = Api::namespaced(ctx.client.0.clone(), &owner.namespace);
    let live = answer(tokens.get_metadata_opt(&owner.name)).await?;
    Ok(live.is_none_or(|live| live.metadata.uid.as_ref() != Some(&owner.uid)))
}

/// One pass, unless the process is to stop: the duties are recorded, and a slow provider must not hold up
/// the end.
async fn worked(ledger: Arc<Snapshot>, ctx: Arc<Context>) -> Option<(String, Timestamp)> {
    if ctx.stopping.is_cancelled() {
        return None;
    }
    let next = Box::pin(work(&ledger, &ctx)).await;
    Some((ledger.ledger.owner.uid.clone(), next))
}

/// One pass; answers when the next one is due.
async fn work(ledger: &Snapshot, ctx: &Context) -> Timestamp {
    let now = ctx.clock.now();
    let soon = after(now, ctx.times.retry());
    match is_gone(&ledger.ledger.owner, ctx).await {
        Ok(true) => {}
        Ok(false) | Err(_) => return soon, // its own pass does the work
    }
    let mut pass = match gather::gather_leftover(ledger, ctx).await {
        Ok(pass) => pass,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a ledger without resource could not be worked on"
            );
            return soon;
        }
    };
    let plan = credential::converge(&mut pass, ctx).await;
    machine_token::settle(&mut pass, ctx);
    match plan {
        Ok(plan) => plan.wake.unwrap_or_else(|| after(now, ctx.times.sweep())),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a ledger without resource could not be worked on"
            );
            soon
        }
    }
}

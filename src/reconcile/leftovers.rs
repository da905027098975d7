//! Ledgers whose resource is gone and whose duty is not done: revocations that the provider would not
//! take in time, and targets to remove. One at a time; nothing here is urgent to anybody. And how many
//! revocations are pending, which a connection that is gone cannot tell any more.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

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
        for ledger in buried {
            if ctx.stopping.is_cancelled() {
                return; // the duties are recorded; a slow provider must not hold up the end
            }
            let uid = &ledger.ledger.owner.uid;
            if due.get(uid).is_none_or(|at| *at <= ctx.clock.now()) {
                let next = Box::pin(work(&ledger, &ctx)).await;
                due.insert(uid.clone(), next);
            }
        }
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

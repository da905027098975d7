//! Ledgers whose resource is gone and whose duty is not done: revocations that the provider would not
//! take in time, and targets to remove. One at a time; nothing here is urgent to anybody.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{Context, credential, deletion, gather, machine_token};
use crate::{ledger::store::Snapshot, moment::after};

/// How often the list is gone through without any cause.
const PATROL: Duration = Duration::from_secs(30);

/// Works until the process stops.
pub async fn run(ctx: Arc<Context>) {
    let mut due: HashMap<String, Timestamp> = HashMap::new();
    loop {
        for ledger in ctx.ledgers.buried() {
            let owner = &ledger.ledger.owner;
            let early = due.get(&owner.uid).is_some_and(|at| *at > ctx.clock.now());
            let there = deletion::is_there(&owner.uid, &owner.namespace, &owner.name, &ctx);
            if !(early || there || ctx.stopping.is_cancelled()) {
                let next = Box::pin(work(&ledger, &ctx)).await;
                due.insert(owner.uid.clone(), next);
            }
        }
        let known: Vec<String> = ctx
            .ledgers
            .buried()
            .iter()
            .map(|ledger| ledger.ledger.owner.uid.clone())
            .collect();
        due.retain(|uid, _| known.contains(uid));
        let soonest = due.values().min().copied();
        let wait = soonest.map(|at| at.duration_since(ctx.clock.now()));
        let wait = wait
            .and_then(|wait| Duration::try_from(wait).ok())
            .unwrap_or_default();
        let wait = if soonest.is_some() {
            wait.clamp(Duration::from_millis(100), PATROL)
        } else {
            PATROL
        };
        tokio::select! {
            () = ctx.stopping.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            () = ctx.leftovers.notified() => {}
        }
    }
}

/// One pass; answers when the next one is due.
async fn work(ledger: &Snapshot, ctx: &Context) -> Timestamp {
    let now = ctx.clock.now();
    let soon = after(now, ctx.times.retry());
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

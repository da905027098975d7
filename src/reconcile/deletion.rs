//! The resource's finalizer, its tombstone, and what is cleared away after it.

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{Context, Error, pass::Pass};
use crate::{
    api::{annotations, condition::Reason, machine_token::MachineToken},
    cluster::{ClusterError, answer},
    plan::{
        Obstacle,
        world::{Resource, Task},
    },
    target::store::Asked,
};

/// How often a finalizer write that lost against others is tried again within one pass.
const TRIES: usize = 4;

/// Puts our finalizer on the resource. Its reply is a live read: whether the resource is there, the one
/// that was seen, and not being deleted.
pub(super) async fn claim(pass: &mut Pass, ctx: &Context) -> Result<bool, Error> {
    let held = change_finalizer(pass, ctx, true).await?;
    let alive = held
        .as_ref()
        .is_some_and(|token| token.metadata.deletion_timestamp.is_none());
    match &mut pass.world.resource {
        Resource::Wanted(wish) if alive => wish.claimed = true,
        resource => *resource = Resource::Gone, // for this pass: what it is now, its own event tells
    }
    Ok(alive)
}

/// Takes our finalizer off. Where no ledger is known this is asked live: a ledger that only this cache
/// misses would lose its resource without a tombstone.
pub(super) async fn release(pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    if pass.snapshot.is_none() {
        pass.read_ledger(ctx).await?;
        if pass.snapshot.is_some() {
            return Ok(()); // it is buried first
        }
    }
    let left = change_finalizer(pass, ctx, false).await?;
    // Others' finalizers may hold it; for us it is gone.
    pass.world.resource = Resource::Gone;
    pass.token = left.filter(|_| false);
    Ok(())
}

/// One conflict-checked PATCH that carries nothing else. None: the resource is gone, or another one.
async fn change_finalizer(
    pass: &mut Pass,
    ctx: &Context,
    on: bool,
) -> Result<Option<std::sync::Arc<MachineToken>>, Error> {
    let Some(mut token) = pass.token.clone() else {
        return Ok(None);
    };
    let owner = pass.owner().clone();
    let failed = |source| Error::Finalizer {
        owner: owner.clone(),
        source,
    };
    let tokens: Api<MachineToken> = Api::namespaced(ctx.client.0.clone(), &owner.namespace);
    for _ in 0..TRIES {
        let patch = Patch::Merge(finalizers(&token, on));
        match answer(tokens.patch(&owner.name, &PatchParams::default(), &patch)).await {
            Ok(stored) if stored.uid().as_ref() == Some(&owner.uid) => {
                let stored = std::sync::Arc::new(stored);
                pass.token = Some(stored.clone());
                return Ok(Some(stored));
            }
            Ok(_) | Err(ClusterError::NotFound) => return Ok(None),
            Err(ClusterError::Conflict | ClusterError::Invalid | ClusterError::Unknown) => {
                let live = answer(tokens.get_opt(&owner.name)).await.map_err(failed)?;
                match live.filter(|live| live.uid().as_ref() == Some(&owner.uid)) {
                    Some(live) if on && live.metadata.deletion_timestamp.is_some() => {
                        return Ok(Some(std::sync::Arc::new(live)));
                    }
                    Some(live) => token = std::sync::Arc::new(live),
                    None => return Ok(None),
                }
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Err(failed(ClusterError::Conflict))
}

fn finalizers(token: &MachineToken, on: bool) -> serde_json::Value {
    let others = token
        .finalizers()
        .iter()
        .filter(|f| *f != annotations::FINALIZER)
        .cloned();
    let ours = on.then(|| annotations::FINALIZER.to_owned());
    let all: Vec<String> = others.chain(ours).collect();
    json!({
        "metadata": {
            "uid": token.uid(),
            "resourceVersion": token.resource_version(),
            "finalizers": all,
        }
    })
}

/// The resource goes: nothing is armed any more. Only if the ledger is that of the uid seen deleting.
pub(super) async fn bury(pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    let retain = match &pass.world.resource {
        Resource::Deleting(deletion) => deletion.retain,
        Resource::Wanted(_) | Resource::Gone => None,
    };
    let ledger = pass.snapshot.as_ref().map(|snapshot| &snapshot.ledger);
    let next = ledger.and_then(|ledger| ledger.bury(retain, ctx.clock.now()));
    pass.swap(next, None, ctx).await.map(drop)
}

/// The target, after its credential.
pub(super) async fn remove_target(pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    let Some(sighting) = pass.sighting.clone() else {
        return pass.read_target(ctx).await;
    };
    let (namespace, name) = (pass.owner().namespace.clone(), pass.target_name());
    match ctx.target_store.remove(&namespace, &name, &sighting).await {
        Ok(()) => {
            pass.succeed(Task::RemoveTarget);
            pass.see_target(None, ctx);
            Ok(())
        }
        Err(ClusterError::Conflict) => pass.read_target(ctx).await,
        Err(error) => {
            let message = format!("the target Secret {name} could not be deleted: {error}");
            let obstacle = Obstacle::new(Reason::Deleting, message);
            pass.fail(Task::RemoveTarget, obstacle, ctx.clock.now());
            Ok(())
        }
    }
}

/// The ledger, when it has no duty left.
pub(super) async fn close(pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    let Some(snapshot) = &pass.snapshot else {
        return Ok(());
    };
    let owner = pass.owner().clone();
    let removed = ctx.ledger_store.remove(snapshot).await;
    removed.map_err(|source| Error::WriteLedger {
        owner: owner.clone(),
        source,
    })?;
    pass.see_ledger(None, Asked::now(&ctx.clock), ctx);
    ctx.memories.forget(&owner.uid);
    Ok(())
}

//! What is, for one machine token: the resource's wish with defaults applied, its connection's word,
//! ledger and target as last seen. Costs no request where ledgers and targets are watched.

use std::sync::Arc;

use jiff::SignedDuration;
use kube::{ResourceExt as _, core::PartialObjectMeta};
use kube_runtime::reflector::ObjectRef;
use tokio::time::Instant;

use super::{Context, Error, pass::Pass, targets::Coverage, wish};
use crate::{
    api::{
        annotations,
        condition::Reason,
        machine_token::{DeletionPolicy, MachineToken},
        rotation::Gate,
        target::ValueName,
    },
    ledger::{
        record::{Kind, Owner, Patience},
        store::{Snapshot, attempts},
    },
    plan::{
        Obstacle, World,
        world::{Deletion, Fresh, Resource, Target},
    },
    provider::Request,
    target::render::Presentation,
};

/// The pass of a token that is there.
pub async fn gather(token: &Arc<MachineToken>, ctx: &Context) -> Result<Pass, Error> {
    let owner = owner(token);
    let snapshot = ctx.ledgers.get(&owner.uid);
    let presentation = presentation(token);
    let (resource, obstacle) = if token.metadata.deletion_timestamp.is_some() {
        (Resource::Deleting(deletion(token, ctx)), None)
    } else {
        let (wish, obstacle) = wish::of(token, &presentation, ctx);
        (Resource::Wanted(Box::new(wish)), obstacle)
    };
    let request = Request {
        display_name: token.display_name(),
        scopes: token.spec.scopes.clone(),
    };
    let mut pass = begin(owner, resource, obstacle, snapshot.as_deref(), ctx);
    pass.world.resolved.extend(
        annotation(token, annotations::RESOLVED_ATTEMPTS)
            .iter()
            .flat_map(|text| attempts(text)),
    );
    pass.token = Some(token.clone());
    pass.presentation = Some(presentation);
    pass.request = Some(request);
    see_target(&mut pass, ctx).await?;
    refuse_rename(&mut pass);
    Ok(pass)
}

/// The pass of a ledger whose resource is gone.
pub async fn gather_leftover(ledger: &Snapshot, ctx: &Context) -> Result<Pass, Error> {
    let owner = ledger.ledger.owner.clone();
    let mut pass = begin(owner, Resource::Gone, None, Some(ledger), ctx);
    see_target(&mut pass, ctx).await?;
    Ok(pass)
}

fn begin(
    owner: Owner,
    resource: Resource,
    obstacle: Option<Obstacle>,
    snapshot: Option<&Snapshot>,
    ctx: &Context,
) -> Pass {
    let mut memory = ctx.memories.recall(&owner.uid, &ctx.holder);
    memory.stopping = ctx.stopping.is_cancelled();
    let world = World {
        owner,
        resource,
        ledger: snapshot.map(|snapshot| snapshot.ledger.clone()),
        target: Target::Absent,
        resolved: snapshot
            .map(|snapshot| snapshot.resolved.clone())
            .unwrap_or_default(),
        obstacle,
        memory,
        fresh: Fresh::default(),
        times: ctx.times,
    };
    Pass {
        token: None,
        world,
        snapshot: snapshot.map(Snapshot::without_values),
        asked: None,
        sighting: None,
        seen_at: Instant::now(),
        polled: false,
        presentation: None,
        request: None,
        superseded: false,
        shown: Vec::new(),
        happened: Vec::new(),
    }
}

/// The target from the watch, or by a read where it is not watched.
async fn see_target(pass: &mut Pass, ctx: &Context) -> Result<(), Error> {
    let owner = pass.owner().clone();
    let name = pass.target_name();
    let served = ctx
        .served
        .as_ref()
        .is_none_or(|served| served.contains(&owner.namespace));
    let coverage = if served {
        let covered = ctx.targets.cover(&owner.namespace).await;
        covered.map_err(|source| Error::ReadTarget {
            owner: owner.clone(),
            source,
        })?
    } else {
        Coverage::Refused
    };
    pass.polled = coverage == Coverage::Read;
    match coverage {
        Coverage::Refused => pass.world.obstacle = Some(not_granted(&owner.namespace)),
        Coverage::Read if !name.is_empty() => pass.read_target(ctx).await?,
        Coverage::Read => {}
        Coverage::Watched => {
            pass.sighting = ctx.targets.get(&owner.namespace, &name);
            if let Some(sighting) = &pass.sighting {
                pass.world.target = sighting.target(&owner);
            }
        }
    }
    Ok(())
}

/// What the platform team has to do.
pub fn not_granted(namespace: &str) -> Obstacle {
    let message = format!(
        "the operator has no rights in namespace {namespace}; the platform team grants them by rbac.namespaces of the \
         chart, or by a RoleBinding there to the ClusterRole handover-tenant"
    );
    Obstacle::new(Reason::NamespaceNotGranted, message)
}

/// A target keeps the name that it was issued for.
fn refuse_rename(pass: &mut Pass) {
    let ledger = pass
        .snapshot
        .as_ref()
        .map(|snapshot| snapshot.ledger.target.clone());
    let (Some(old), Some(presentation)) = (ledger, &mut pass.presentation) else {
        return;
    };
    if presentation.name != old {
        let message = format!(
            "spec.secret.name ({}) cannot change: the credential is in the Secret {old}; write {old} again, or make a \
             new resource",
            presentation.name
        );
        presentation.name = old;
        pass.world.obstacle = Some(Obstacle::new(Reason::SpecInvalid, message));
        if let Resource::Wanted(wish) = &mut pass.world.resource {
            wish.rendering = presentation.digest();
        }
    }
}

/// The resource as ledgers name it.
pub fn owner(token: &MachineToken) -> Owner {
    Owner {
        kind: Kind::MachineToken,
        namespace: token.namespace().unwrap_or_default(),
        name: token.name_any(),
        uid: token.uid().unwrap_or_default(),
    }
}

fn deletion(token: &MachineToken, ctx: &Context) -> Deletion {
    let namespace = namespace(token, ctx);
    let terminating = namespace.is_some_and(|ns| ns.metadata.deletion_timestamp.is_some());
    let retain = token.spec.deletion_policy() == DeletionPolicy::Retain;
    Deletion {
        retain: retain.then(|| patience(token, ctx)),
        claimed: is_claimed(token),
        terminating,
    }
}

/// Whether our finalizer is on the resource.
pub fn is_claimed(token: &MachineToken) -> bool {
    token
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == annotations::FINALIZER)
}

pub(super) fn namespace(
    token: &MachineToken,
    ctx: &Context,
) -> Option<Arc<PartialObjectMeta<k8s_openapi::api::core::v1::Namespace>>> {
    ctx.stores
        .namespaces
        .get(&ObjectRef::new(&token.namespace()?))
}

pub(super) fn annotation(token: &MachineToken, name: &str) -> Option<String> {
    token.annotations().get(name).cloned()
}

/// How the target should look.
fn presentation(token: &MachineToken) -> Presentation {
    let secret = token.spec.secret.clone().unwrap_or_default();
    let all = || {
        ValueName::ALL
            .into_iter()
            .map(|name| (name.as_str().to_owned(), name))
            .collect()
    };
    Presentation {
        name: token.secret_name().to_owned(),
        kind: token.spec.secret_type().to_owned(),
        keys: secret.keys.unwrap_or_else(all),
        labels: secret.labels.unwrap_or_default(),
        annotations: secret.annotations.unwrap_or_default(),
    }
}

pub(super) fn scaled(duration: std::time::Duration, ctx: &Context) -> SignedDuration {
    ctx.times
        .of(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX))
}

pub(super) fn patience(token: &MachineToken, ctx: &Context) -> Patience {
    Patience {
        overlap: scaled(token.spec.overlap(), ctx),
        pods: token.spec.wait_for().contains(&Gate::Pods),
    }
}

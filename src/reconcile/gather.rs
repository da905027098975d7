//! What is, for one machine token: the resource's wish with defaults applied, its connection's word,
//! ledger and target as last seen. Costs no request where ledgers and targets are watched.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use kube::{ResourceExt as _, core::PartialObjectMeta};
use kube_runtime::reflector::ObjectRef;
use tokio::time::Instant;

use super::{
    Context, Error,
    connections::{Checked, ConnectionKey, Described},
    pass::Pass,
    targets::Coverage,
};
use crate::{
    api::{
        access::{Grant, IssuingKind, Namespace, admit},
        annotations,
        condition::Reason,
        machine_token::{ConnectionKind, DeletionPolicy, MachineToken},
        moment::Moment,
        rotation::{BeforeExpiry, Gate},
        target::ValueName,
    },
    ledger::{
        record::{Kind, Owner, Patience},
        store::{Snapshot, attempts},
    },
    plan::{
        Obstacle, World,
        world::{Deletion, Fresh, Resource, Rhythm, Rotation, Target, Wish},
    },
    provider::Request,
    target::{mac::short_digest, render::Presentation},
};

/// The pass of a token that is there.
pub async fn gather(token: &Arc<MachineToken>, ctx: &Context) -> Result<Pass, Error> {
    let owner = owner(token);
    let snapshot = ctx.ledgers.get(&owner.uid);
    let presentation = presentation(token);
    let (resource, obstacle) = if token.metadata.deletion_timestamp.is_some() {
        (Resource::Deleting(deletion(token, ctx)), None)
    } else {
        let (wish, obstacle) = wish(token, &presentation, ctx);
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
        presentation: None,
        request: None,
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

fn namespace(
    token: &MachineToken,
    ctx: &Context,
) -> Option<Arc<PartialObjectMeta<k8s_openapi::api::core::v1::Namespace>>> {
    ctx.stores
        .namespaces
        .get(&ObjectRef::new(&token.namespace()?))
}

fn annotation(token: &MachineToken, name: &str) -> Option<String> {
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

fn scaled(duration: std::time::Duration, ctx: &Context) -> SignedDuration {
    ctx.times
        .of(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX))
}

fn patience(token: &MachineToken, ctx: &Context) -> Patience {
    Patience {
        overlap: scaled(token.spec.overlap(), ctx),
        pods: token.spec.wait_for().contains(&Gate::Pods),
    }
}

/// What the resource asks for, and why it may not have it.
fn wish(
    token: &MachineToken,
    presentation: &Presentation,
    ctx: &Context,
) -> (Wish, Option<Obstacle>) {
    let (connected, obstacle) = match connect(token, ctx) {
        Ok(connected) => (Some(connected), None),
        Err(Refused {
            connected,
            obstacle,
        }) => (connected, Some(obstacle)),
    };
    let rotation = rotation(token, connected.as_ref(), ctx);
    let (rotation, invalid) = match rotation {
        Ok(rotation) => (rotation, None),
        Err((rotation, obstacle)) => (rotation, Some(obstacle)),
    };
    let place = connected
        .as_ref()
        .map(|connected| connected.checked.place.clone());
    let life = token.spec.expires_after.as_ref();
    let ceiling = connected
        .as_ref()
        .and_then(|connected| connected.grant.max_lifetime.as_ref());
    let version = connected
        .as_ref()
        .map_or("", |connected| connected.checked.version.as_str());
    let generation = token.metadata.generation.unwrap_or_default();
    let wish = Wish {
        spec_hash: place
            .as_ref()
            .map(|place| identity(token, &place.endpoint, &place.organization)),
        place,
        rendering: presentation.digest(),
        rotation,
        expires_after: life.or(ceiling).map(|span| scaled(span.duration(), ctx)),
        paused: annotation(token, annotations::PAUSED).as_deref() == Some("true"),
        max_unresolved: connected
            .as_ref()
            .map_or(1, |connected| connected.max_unresolved),
        inputs: format!("{generation}/{version}"),
        claimed: is_claimed(token),
    };
    (wish, invalid.or(obstacle))
}

/// A digest of the fields that make it another credential.
fn identity(token: &MachineToken, endpoint: &str, organization: &str) -> String {
    let mut scopes: Vec<&str> = token.spec.scopes.iter().map(String::as_str).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let head = [Kind::MachineToken.as_str(), endpoint, organization];
    short_digest(head.into_iter().chain(scopes).map(str::as_bytes))
}

fn rotation(
    token: &MachineToken,
    connected: Option<&Connected>,
    ctx: &Context,
) -> Result<Rotation, (Rotation, Obstacle)> {
    let requested = annotation(token, annotations::ROTATE_REQUESTED_AT);
    let own = token.spec.issued_after().map(|Moment(at)| at);
    let shared = connected.and_then(|connected| connected.issued_after);
    let calendar = token
        .spec
        .rotation
        .as_ref()
        .map_or(Ok(None), |rotation| rotation.calendar());
    let (rhythm, invalid) = match (token.spec.every(), calendar) {
        (Some(every), _) => (Rhythm::Every(scaled(every.duration(), ctx)), None),
        (None, Ok(Some(calendar))) => (Rhythm::Cron(Box::new(calendar.cron), calendar.zone), None),
        (None, Ok(None)) => (Rhythm::OnRequest, None),
        (None, Err(invalid)) => (Rhythm::OnRequest, Some(invalid.message)),
    };
    let rotation = Rotation {
        rhythm,
        patience: patience(token, ctx),
        issued_after: own.into_iter().chain(shared).collect(),
        requested_at: requested.and_then(|text| text.parse::<Timestamp>().ok()),
        renew: token.spec.before_expiry() == BeforeExpiry::Renew,
    };
    match invalid {
        None => Ok(rotation),
        Some(message) => Err((rotation, Obstacle::new(Reason::SpecInvalid, message))),
    }
}

/// A connection that serves this token.
#[derive(Debug)]
struct Connected {
    checked: Checked,
    grant: Grant,
    max_unresolved: usize,
    issued_after: Option<Timestamp>,
}

/// Why the token may not issue; with its connection, if that much is known.
#[derive(Debug)]
struct Refused {
    connected: Option<Connected>,
    obstacle: Obstacle,
}

impl From<Obstacle> for Refused {
    fn from(obstacle: Obstacle) -> Self {
        Self {
            connected: None,
            obstacle,
        }
    }
}

/// The connection's word: whether it is there, admits what is asked for, and works.
fn connect(token: &MachineToken, ctx: &Context) -> Result<Connected, Refused> {
    token
        .validate()
        .map_err(|invalid| Obstacle::new(Reason::SpecInvalid, invalid.to_string()))?;
    let described = referenced(token, ctx)?;
    let grant = granted(token, &described, ctx)?;
    let name = described.key().to_string();
    let Some(checked) = ctx.connections.get(&described.key()) else {
        let message = format!("{name} has not been checked yet");
        return Err(Obstacle::new(Reason::ConnectionNotReady, message).into());
    };
    let obstacle = checked.obstacle.as_ref().map(|obstacle| {
        let reason = if obstacle.reason == Reason::BreakerOpen {
            Reason::BreakerOpen
        } else {
            Reason::ConnectionNotReady
        };
        let message = format!(
            "{name} is not ready ({}); see its conditions",
            obstacle.reason.as_str()
        );
        Obstacle::new(reason, message)
    });
    let connected = Connected {
        checked,
        grant,
        max_unresolved: described.settings.max_unresolved(),
        issued_after: described.settings.issued_after.map(|Moment(at)| at),
    };
    match obstacle {
        None => Ok(connected),
        Some(obstacle) => Err(Refused {
            connected: Some(connected),
            obstacle,
        }),
    }
}

fn referenced(token: &MachineToken, ctx: &Context) -> Result<Described, Obstacle> {
    let reference = &token.spec.connection_ref;
    let namespace = token.namespace().unwrap_or_default();
    let found = match reference.kind() {
        ConnectionKind::ClusterConnection => {
            let key = ObjectRef::new(&reference.name);
            ctx.stores
                .cluster_connections
                .get(&key)
                .map(|found| Described::from(&*found))
        }
        ConnectionKind::Connection => {
            let key = ObjectRef::new(&reference.name).within(&namespace);
            ctx.stores
                .connections
                .get(&key)
                .map(|found| Described::from(&*found))
        }
    };
    found.ok_or_else(|| {
        let key = ConnectionKey::new(reference.kind(), &namespace, &reference.name);
        let message = format!(
            "spec.connectionRef: {key} does not exist; create it, or correct kind and name"
        );
        Obstacle::new(Reason::ReferenceMissing, message)
    })
}

fn granted(token: &MachineToken, described: &Described, ctx: &Context) -> Result<Grant, Obstacle> {
    let none = BTreeMap::new();
    let namespace = namespace(token, ctx);
    let labels = namespace
        .as_ref()
        .and_then(|ns| ns.metadata.labels.as_ref())
        .unwrap_or(&none);
    let name = token.namespace().unwrap_or_default();
    admit(
        &described.access,
        described.kind == ConnectionKind::ClusterConnection,
        &Namespace {
            name: &name,
            labels,
        },
        IssuingKind::MachineToken,
        &token.spec.scopes,
        token.spec.expires_after.as_ref(),
    )
    .map_err(|denied| Obstacle::new(Reason::NotAllowed, denied.to_string()))
}

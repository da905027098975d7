//! What a machine token asks for, defaults applied, and its connection's word on it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube_runtime::reflector::ObjectRef;

use super::{
    Context,
    connections::{Checked, ConnectionKey, Described},
    gather::{annotation, is_claimed, namespace, patience, scaled},
};
use crate::{
    api::{
        access::{Grant, IssuingKind, Namespace, admit},
        annotations,
        condition::Reason,
        machine_token::{ConnectionKind, MachineToken},
        moment::Moment,
        rotation::{self, BeforeExpiry},
    },
    ledger::record::{Kind, Place},
    plan::{
        Obstacle,
        world::{Rhythm, Rotation, Wish},
    },
    target::{mac::short_digest, render::Presentation},
};

/// What the resource asks for, and why it may not have it.
pub(super) fn of(
    token: &MachineToken,
    presentation: &Presentation,
    ctx: &Context,
) -> (Wish, Option<Obstacle>) {
    let (connected, refused) = connect(token, ctx);
    let (rotation, invalid) = rotation(token, connected.as_ref(), ctx);
    let place = connected.as_ref().map(|connected| connected.place.clone());
    let life = token.spec.expires_after.as_ref();
    let ceiling = connected
        .as_ref()
        .and_then(|connected| connected.grant.max_lifetime.as_ref());
    let version = connected
        .as_ref()
        .map_or("", |connected| connected.version.as_str());
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
    (wish, invalid.or(refused))
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
) -> (Rotation, Option<Obstacle>) {
    let requested = annotation(token, annotations::ROTATE_REQUESTED_AT);
    let own = token.spec.issued_after().map(|Moment(at)| at);
    let shared = connected.and_then(|connected| connected.issued_after);
    let (rhythm, invalid) = rhythm(token, ctx);
    let rotation = Rotation {
        rhythm,
        patience: patience(token, ctx),
        issued_after: own.into_iter().chain(shared).collect(),
        requested_at: requested.and_then(|text| text.parse::<Timestamp>().ok()),
        renew: token.spec.before_expiry() == BeforeExpiry::Renew,
    };
    (rotation, invalid)
}

fn rhythm(token: &MachineToken, ctx: &Context) -> (Rhythm, Option<Obstacle>) {
    if let Some(every) = token.spec.every() {
        return (Rhythm::Every(scaled(every.duration(), ctx)), None);
    }
    let calendar = token
        .spec
        .rotation
        .as_ref()
        .map(rotation::Rotation::calendar);
    match calendar {
        None | Some(Ok(None)) => (Rhythm::OnRequest, None),
        Some(Ok(Some(calendar))) => (Rhythm::Cron(Box::new(calendar.cron), calendar.zone), None),
        Some(Err(invalid)) => {
            let obstacle = Obstacle::new(Reason::SpecInvalid, invalid.to_string());
            (Rhythm::OnRequest, Some(obstacle))
        }
    }
}

/// A connection that admits this token.
#[derive(Debug)]
struct Connected {
    place: Place,
    version: String,
    grant: Grant,
    max_unresolved: usize,
    issued_after: Option<Timestamp>,
}

/// The connection's word: whether it is there, admits what is asked for, and works. A connection that
/// admits but does not work is known all the same.
fn connect(token: &MachineToken, ctx: &Context) -> (Option<Connected>, Option<Obstacle>) {
    let admitted = token
        .validate()
        .map_err(|invalid| Obstacle::new(Reason::SpecInvalid, invalid.to_string()))
        .and_then(|()| referenced(token, ctx))
        .and_then(|described| Ok((granted(token, &described, ctx)?, described)));
    let (grant, described) = match admitted {
        Ok(admitted) => admitted,
        Err(obstacle) => return (None, Some(obstacle)),
    };
    let key = described.key();
    let checked = ctx.connections.get(&key);
    let obstacle = unusable(&key, checked.as_ref(), ctx);
    let connected = Connected {
        place: described.place(),
        version: checked.map(|checked| checked.version).unwrap_or_default(),
        grant,
        max_unresolved: described.settings.max_unresolved(),
        issued_after: described.settings.issued_after.map(|Moment(at)| at),
    };
    (Some(connected), obstacle)
}

/// Why nothing can be issued by a connection that admits it.
fn unusable(key: &ConnectionKey, checked: Option<&Checked>, ctx: &Context) -> Option<Obstacle> {
    let Some(checked) = checked else {
        let message = format!("{key} has not been checked yet");
        return Some(Obstacle::new(Reason::ConnectionNotReady, message));
    };
    if let Some(obstacle) = &checked.obstacle {
        let reason = match obstacle.reason {
            Reason::BreakerOpen => Reason::BreakerOpen,
            _ => Reason::ConnectionNotReady,
        };
        let why = obstacle.reason.as_str();
        let message = format!("{key} is not ready ({why}); see its conditions");
        return Some(Obstacle::new(reason, message));
    }
    let until = ctx.connections.paused_until(key)?;
    let message = format!(
        "{key}: the provider asked for a pause until {}",
        Moment(until)
    );
    Some(Obstacle::new(Reason::RateLimited, message).until(until))
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

//! Checks connections: their spec, their admin credential, and one authenticated call.
//!
//! # Guarantees
//! A connection is asked once per check interval while it works, and with growing pauses while it does
//! not; a provider that is down turns its connection not ready once and no settled resource.

use std::{fmt::Debug, sync::Arc, time::Duration};

use jiff::SignedDuration;
use k8s_openapi::{NamespaceResourceScope, api::core::v1::Secret};
use kube::{Api, Resource, ResourceExt as _};
use kube_runtime::{controller::Action, reflector::ObjectRef};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Context, Error, connection_status,
    connections::{Checked, Described},
    verify::unanswered,
};
use crate::{
    api::{
        condition::Reason,
        connection::{ClusterConnection, Connection, ConnectionStatus},
    },
    cluster::{ClusterError, answer},
    plan::{Obstacle, schedule::spread},
    provider::{Authenticate as _, ProviderError, admin::AdminToken, errova::Errova},
    telemetry::events::Happening,
};

/// Both kinds of connection.
pub trait AnyConnection:
    Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// Their common part.
    fn describe(&self) -> Described;
    /// Its rules, once more.
    fn invalid(&self) -> Option<Obstacle>;
    /// Its status.
    fn shown(&self) -> Option<&ConnectionStatus>;
    /// Where its objects are.
    fn api(&self, ctx: &Context) -> Api<Self>;
}

impl AnyConnection for ClusterConnection {
    fn describe(&self) -> Described {
        Described::from(self)
    }

    fn invalid(&self) -> Option<Obstacle> {
        let invalid = self.spec.validate().err()?;
        Some(Obstacle::new(Reason::SpecInvalid, invalid.to_string()))
    }

    fn shown(&self) -> Option<&ConnectionStatus> {
        self.status.as_ref()
    }

    fn api(&self, ctx: &Context) -> Api<Self> {
        Api::all(ctx.client.0.clone())
    }
}

impl AnyConnection for Connection {
    fn describe(&self) -> Described {
        Described::from(self)
    }

    fn invalid(&self) -> Option<Obstacle> {
        let invalid = self.spec.validate().err()?;
        Some(Obstacle::new(Reason::SpecInvalid, invalid.to_string()))
    }

    fn shown(&self) -> Option<&ConnectionStatus> {
        self.status.as_ref()
    }

    fn api(&self, ctx: &Context) -> Api<Self> {
        namespaced(ctx, &self.namespace().unwrap_or_default())
    }
}

fn namespaced<K>(ctx: &Context, namespace: &str) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    Api::namespaced(ctx.client.0.clone(), namespace)
}

/// One check of one connection.
pub async fn reconcile<K: AnyConnection>(
    connection: Arc<K>,
    ctx: Arc<Context>,
) -> Result<Action, Error> {
    let described = connection.describe();
    let key = described.key();
    if connection.meta().deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let before = ctx.connections.get(&key);
    let checked = check(&*connection, &described, &ctx).await?;
    ctx.connections.record(key.clone(), checked.clone());
    let checked = ctx.connections.get(&key).unwrap_or(checked); // with the breaker's word
    let ready = checked.obstacle.is_none();
    let changed = before.as_ref().is_none_or(|before| {
        before.version != checked.version || before.obstacle.is_none() != ready
    });
    let wait = pause(&checked, &described.uid, &ctx);
    if let (Some(before), true) = (&before, changed) {
        tell(&*connection, before, &checked, &ctx);
    }
    ctx.metrics.connection_ready(&described.full_name(), ready);
    if changed {
        wake_tokens(&described, &ctx);
    }
    connection_status::write_if_changed(&*connection, &described, &checked, &ctx).await?;
    Ok(Action::requeue(
        Duration::try_from(wait).unwrap_or(Duration::from_secs(60)),
    ))
}

/// Until the next check. A provider that does not answer is asked less and less often; everything else is
/// for people to put right, who should not have to wait.
fn pause(checked: &Checked, uid: &str, ctx: &Context) -> SignedDuration {
    let times = &ctx.times;
    match checked.obstacle.as_ref().map(|obstacle| obstacle.reason) {
        None => {
            ctx.failures.clear(uid);
            spread(times.sweep(), uid)
        }
        Some(Reason::ProviderUnavailable) => {
            let failures = ctx.failures.count(uid);
            let grown = times.retry().saturating_mul(1 << failures.min(16));
            grown.min(times.longest_retry())
        }
        Some(_) => times.retry(),
    }
}

fn tell<K: AnyConnection>(connection: &K, before: &Checked, now: &Checked, ctx: &Context) {
    match (&before.obstacle, &now.obstacle) {
        (None, Some(obstacle)) => {
            ctx.recorder.record(
                Happening::ConnectionLost,
                connection.object_ref(&()),
                obstacle.message.clone(),
            );
        }
        (Some(_), None) => {
            let note = "the provider accepts the admin credential";
            ctx.recorder.record(
                Happening::ConnectionRestored,
                connection.object_ref(&()),
                note,
            );
        }
        _ => {}
    }
}

/// Spec, Secret, token, and one call.
async fn check<K: AnyConnection>(
    connection: &K,
    described: &Described,
    ctx: &Context,
) -> Result<Checked, Error> {
    let mut checked = Checked {
        place: described.place(),
        provider: None,
        obstacle: connection.invalid(),
        version: described.generation.to_string(),
        timeout: described.settings.timeout(),
    };
    if checked.obstacle.is_some() {
        return Ok(checked);
    }
    let (admin, version) = match admin(described, ctx).await? {
        Ok(found) => found,
        Err(obstacle) => {
            checked.obstacle = Some(obstacle);
            return Ok(checked);
        }
    };
    checked.version = format!("{}/{version}", described.generation);
    let before = ctx.connections.get(&described.key());
    let same = before
        .as_ref()
        .filter(|before| before.version == checked.version);
    let known = same.and_then(|before| before.provider.clone());
    match known.map_or_else(|| ctx.connections.build(described, admin), Ok) {
        Ok(provider) => {
            let worked = before.is_some_and(|before| before.obstacle.is_none());
            let refused = authenticate(&provider).await;
            // A pause says nothing about the credential.
            checked.obstacle = refused.filter(|o| !(worked && o.reason == Reason::RateLimited));
            checked.provider = Some(provider);
        }
        Err(obstacle) => checked.obstacle = Some(obstacle),
    }
    Ok(checked)
}

/// The admin credential and the version of the Secret that holds it.
async fn admin(
    described: &Described,
    ctx: &Context,
) -> Result<Result<(AdminToken, String), Obstacle>, Error> {
    let reference = match described.auth() {
        Ok(reference) => reference,
        Err(obstacle) => return Ok(Err(obstacle)),
    };
    let namespace = described.namespace.as_deref().unwrap_or(&ctx.namespace);
    let (name, key) = (&reference.name, &reference.key);
    let missing = |what: &str| {
        let message = format!("spec.provider.errova.auth.bearer.secretRef: {what}");
        Obstacle::new(Reason::ReferenceMissing, message)
    };
    let secret = match answer(namespaced::<Secret>(ctx, namespace).get_opt(name)).await {
        Ok(Some(secret)) => secret,
        Ok(None) => {
            return Ok(Err(missing(&format!(
                "Secret {namespace}/{name} does not exist; create it with the key {key}"
            ))));
        }
        Err(ClusterError::Forbidden) => {
            return unreadable(described, namespace, ctx).await.map(Err);
        }
        Err(source) => {
            return Err(Error::ReadAuth {
                connection: described.key().to_string(),
                source,
            });
        }
    };
    let version = secret.resource_version().unwrap_or_default();
    let Some(bytes) = secret.data.as_ref().and_then(|data| data.get(key)) else {
        return Ok(Err(missing(&format!(
            "Secret {namespace}/{name} has no key {key}; add it"
        ))));
    };
    let loaded = AdminToken::load(&bytes.0).map_err(|error| {
        let reason = if error.can_never_manage() {
            Reason::CapabilityMissing
        } else {
            Reason::SpecInvalid
        };
        Obstacle::new(
            reason,
            format!("Secret {namespace}/{name}, key {key}: {error}"),
        )
    });
    Ok(loaded.map(|token| (token, version)))
}

/// A 403 on the Secret: the namespace is not granted, or only this right is missing.
async fn unreadable(
    described: &Described,
    namespace: &str,
    ctx: &Context,
) -> Result<Obstacle, Error> {
    let failed = |source| Error::ReadAuth {
        connection: described.key().to_string(),
        source,
    };
    if ctx.targets.is_granted(namespace).await.map_err(failed)? {
        let message = format!(
            "the operator may not read Secrets in namespace {namespace}; its role there lacks `get` of secrets"
        );
        return Ok(Obstacle::new(Reason::NamespaceNotGranted, message));
    }
    Ok(super::gather::not_granted(namespace))
}

async fn authenticate(provider: &Errova) -> Option<Obstacle> {
    let error = provider.authenticate().await.err()?;
    Some(match error {
        ProviderError::Unauthenticated => {
            let message = "the provider does not accept the admin credential (401); put a valid machine token with the scope \
                           org.admin into the Secret";
            Obstacle::new(Reason::ProviderRejected, message)
        }
        error => unanswered(error),
    })
}

/// Every token that refers to this connection looks again.
pub fn wake_tokens(described: &Described, ctx: &Context) {
    for token in ctx.stores.tokens.state() {
        let reference = &token.spec.connection_ref;
        let here = described.namespace.is_none() || described.namespace == token.namespace();
        if reference.kind() == described.kind && reference.name == described.name && here {
            let _ = ctx.nudges.tokens.send(ObjectRef::from_obj(&*token));
        }
    }
    ctx.leftovers.notify_one();
}

/// After a failed check.
#[expect(clippy::needless_pass_by_value, reason = "the controller's signature")]
pub fn on_error<K: AnyConnection>(connection: Arc<K>, error: &Error, ctx: Arc<Context>) -> Action {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "a connection could not be checked"
    );
    Action::requeue(error.retry(ctx.failures.count(&connection.uid().unwrap_or_default())))
}

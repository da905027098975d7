//! Conditional writes of target Secrets: the only writer of them.
//!
//! # Guarantees
//! The order is always: see the target, read the ledger, write. An update and a deletion name the uid
//! and the version that were seen. A create has no version to check, so it is fenced by time: it is
//! sent only if less than T has passed since the ledger was asked, and the API server is told to give
//! up when T is over.
//!
//! # Caveats
//! A process that is suspended for minutes between the check and the socket, and whose target a user
//! deletes meanwhile, can still create it with an old value; the live read after every create finds
//! that and repairs it.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    core::Request,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    mac::MacKey,
    render::{Presentation, Shown},
    sighting::Sighting,
};
use crate::{
    clock::Clock,
    cluster::{ClusterError, answer},
    ledger::{
        ids::{CredentialId, Epoch, Generation},
        record::Owner,
    },
    secret_value::SecretValue,
};

/// Writes target Secrets.
#[derive(Clone)]
pub struct TargetStore {
    client: Client,
    mac: std::sync::Arc<MacKey>,
}

impl std::fmt::Debug for TargetStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TargetStore")
    }
}

/// A moment by both clocks: the monotonic one stands still while a machine is suspended, the wall clock
/// can be set back.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// By the monotonic clock.
    pub monotonic: Instant,
    /// By the wall clock.
    pub wall: Timestamp,
}

impl Asked {
    /// This moment.
    pub fn now(clock: &Clock) -> Self {
        Self {
            monotonic: Instant::now(),
            wall: clock.now(),
        }
    }
}

/// Until when a prepared create may be sent.
#[derive(Clone, Copy, Debug)]
pub struct Fence {
    asked: Asked,
    length: SignedDuration,
}

/// Why a rehearsal says that the target cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    /// What kind of refusal.
    pub error: ClusterError,
    /// The API server's words; a rehearsal holds no secret that they could quote.
    pub text: String,
}

impl Fence {
    /// Counts from the moment at which the ledger was asked.
    pub fn new(asked: Asked, length: SignedDuration) -> Self {
        Self { asked, length }
    }

    /// What is left of it by the clock that went further, in whole milliseconds; none if it is over.
    fn left(&self, now: Timestamp) -> Option<u64> {
        let monotonic = SignedDuration::try_from(self.asked.monotonic.elapsed()).ok()?;
        let passed = monotonic.max(now.duration_since(self.asked.wall));
        let left = self.length.checked_sub(passed)?.as_millis();
        u64::try_from(left).ok().filter(|left| *left >= 1)
    }
}

impl TargetStore {
    /// Writes with this client, and signs with this key.
    pub fn new(client: Client, mac: std::sync::Arc<MacKey>) -> Self {
        Self { client, mac }
    }

    /// The key that tells our own targets.
    pub fn mac(&self) -> &MacKey {
        &self.mac
    }

    /// A live look.
    pub async fn look(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Sighting>, ClusterError> {
        let secret = answer(self.secrets(namespace).get_opt(name)).await?;
        Ok(secret.and_then(|secret| Sighting::of(&secret, &self.mac)))
    }

    /// A live look that also takes the value of one key along.
    pub async fn look_inside(
        &self,
        namespace: &str,
        name: &str,
        key: Option<&str>,
    ) -> Result<Option<(Sighting, Option<SecretValue>)>, ClusterError> {
        let Some(secret) = answer(self.secrets(namespace).get_opt(name)).await? else {
            return Ok(None);
        };
        let bytes = key
            .and_then(|key| secret.data.as_ref()?.get(key))
            .map(|bytes| bytes.0.clone());
        let value = bytes
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(SecretValue::new);
        Ok(Sighting::of(&secret, &self.mac).map(|sighting| (sighting, value)))
    }

    /// E1. Whether the target could be created, by a dry-run without any secret in it.
    pub async fn rehearse(
        &self,
        owner: &Owner,
        presentation: &Presentation,
    ) -> Result<(), Rehearsal> {
        let unknown = |_| Rehearsal {
            error: ClusterError::Unknown,
            text: String::new(),
        };
        let value = SecretValue::new("rehearsal".to_owned());
        let id = CredentialId::parse("rehearsal").map_err(unknown)?;
        let shown = Shown {
            id: &id,
            attempt: Generation(0),
            epoch: Epoch(0),
            expires_at: None,
            value: &value,
        };
        let secret = presentation.render(owner, &shown, &self.mac);
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let secrets = self.secrets(&owner.namespace);
        let sent = secrets.create(&params, &secret);
        match tokio::time::timeout(crate::cluster::PATIENCE, sent).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(kube::Error::Api(status))) => Err(Rehearsal {
                error: ClusterError::from(&*status),
                text: status
                    .message
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(300)
                    .collect(),
            }),
            Ok(Err(_)) | Err(_) => Err(Rehearsal {
                error: ClusterError::Unknown,
                text: String::new(),
            }),
        }
    }

    /// E9 where there is no target: creates it with its data, inside the fence.
    pub async fn create(
        &self,
        owner: &Owner,
        presentation: &Presentation,
        shown: &Shown<'_>,
        (fence, now): (Fence, Timestamp),
    ) -> Result<Sighting, ClusterError> {
        let secret = presentation.render(owner, shown, &self.mac);
        let body = serde_json::to_vec(&secret).map_err(|_| ClusterError::Unknown)?;
        let url = format!("/api/v1/namespaces/{}/secrets", owner.namespace);
        let request = Request::new(url).create(&PostParams::default(), body);
        let mut request = request.map_err(|_| ClusterError::Unknown)?;
        let left = fence.left(now).ok_or(ClusterError::Conflict)?;
        *request.uri_mut() = format!("{}&timeout={left}ms", request.uri())
            .replace("?&", "?")
            .parse()
            .map_err(|_| ClusterError::Unknown)?;
        let deadline = std::time::Duration::from_millis(left);
        let sent = tokio::time::timeout(deadline, self.client.request::<Secret>(request));
        let stored = sent.await.map_err(|_elapsed| ClusterError::Unknown)??;
        Sighting::of(&stored, &self.mac).ok_or(ClusterError::Unknown)
    }

    /// E9 where our target was seen: replaces what differs, if it is still the one that was seen.
    pub async fn update(
        &self,
        owner: &Owner,
        presentation: &Presentation,
        shown: &Shown<'_>,
        seen: &Sighting,
    ) -> Result<Sighting, ClusterError> {
        let secret = presentation.render(owner, shown, &self.mac);
        let patch = Patch::Merge(patch(&secret, seen));
        let params = PatchParams::default();
        let secrets = self.secrets(&owner.namespace);
        let stored = answer(secrets.patch(&presentation.name, &params, &patch)).await?;
        Sighting::of(&stored, &self.mac).ok_or(ClusterError::Unknown)
    }

    /// Deletes the target, if it is still the one that was seen.
    pub async fn remove(
        &self,
        namespace: &str,
        name: &str,
        seen: &Sighting,
    ) -> Result<(), ClusterError> {
        let preconditions = Preconditions {
            uid: Some(seen.uid.clone()),
            resource_version: Some(seen.version.clone()),
        };
        let params = DeleteParams {
            preconditions: Some(preconditions),
            ..Default::default()
        };
        match answer(self.secrets(namespace).delete(name, &params)).await {
            Ok(_) | Err(ClusterError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// All of `data` and `type`, our labels and annotations; those of others stay.
fn patch(secret: &Secret, seen: &Sighting) -> Value {
    let mut data = serde_json::Map::new();
    for surplus in &seen.keys {
        data.insert(surplus.clone(), Value::Null);
    }
    for (key, value) in secret.data.iter().flatten() {
        data.insert(key.clone(), json!(value));
    }
    json!({
        "metadata": {
            "uid": seen.uid,
            "resourceVersion": seen.version,
            "labels": secret.metadata.labels,
            "annotations": secret.metadata.annotations,
        },
        "type": secret.type_,
        "data": data,
    })
}

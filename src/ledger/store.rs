//! Compare-and-swap of ledger Secrets: the only writer of them.
//!
//! # Guarantees
//! A write names the uid and the version that it was planned on, and a version cannot be empty (the API
//! server would write blindly). Its reply is the read-back: what a [`Snapshot`] shows was stored.
//! After any refusal the ledger is read live; the status code alone decides nothing.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    ids::Generation,
    marker::Marker,
    proof::{Armed, CreateOnce, Stored},
    record::{Intent, Ledger, Owner, Unreadable},
};
use crate::{
    api::annotations,
    cluster::{ClusterError, answer},
    secret_value::SecretValue,
};

/// A ledger as the API server showed it.
#[derive(Debug)]
pub struct Snapshot {
    /// The record.
    pub ledger: Ledger,
    /// Attempts that a person settled, by an annotation on the ledger itself.
    pub resolved: Vec<Generation>,
    uid: String,
    version: Version,
    values: BTreeMap<Generation, Stored<SecretValue>>,
}

/// A resourceVersion that is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version(String);

/// Why a ledger could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The API server did not do it.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The stored record cannot be used.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The API server showed an object without uid or version.
    #[error("the ledger has no uid or resourceVersion")]
    Nameless,
}

/// How a compare-and-swap ended.
#[derive(Debug)]
pub enum Swap {
    /// Ours is stored.
    Won(Snapshot),
    /// Something else is: here it is, or nothing at all.
    Lost(Option<Snapshot>),
}

/// How arming ended.
#[derive(Debug)]
pub enum Arm {
    /// The intent is stored, and its one create may be sent.
    Won(Armed, CreateOnce, Snapshot),
    /// Someone was faster.
    Lost(Option<Snapshot>),
}

/// Reads and writes ledgers in one namespace.
#[derive(Clone, Debug)]
pub struct LedgerStore {
    secrets: Api<Secret>,
}

/// The name of a resource's ledger.
pub fn name_of(owner: &Owner) -> String {
    format!("ledger-{}-{}", owner.kind.slug(), owner.uid)
}

impl LedgerStore {
    /// The ledgers in the operator's own namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            secrets: Api::namespaced(client, namespace),
        }
    }

    /// A live read.
    pub async fn read(&self, owner: &Owner) -> Result<Option<Snapshot>, LedgerError> {
        let secret = answer(self.secrets.get_opt(&name_of(owner))).await?;
        secret.map(Snapshot::try_from).transpose()
    }

    /// E2. Stores `next`, whose intent is `intent`; on success the right to send its create, which
    /// expires at `not_after`.
    pub async fn arm(
        &self,
        before: Option<&Snapshot>,
        next: Ledger,
        intent: &Intent,
        create: (Marker, Instant),
    ) -> Result<Arm, LedgerError> {
        let swap = match before {
            Some(before) => self.swap(before, next, None).await?,
            None => self.create(&next, None).await?,
        };
        let armed = |snapshot: &Snapshot| {
            snapshot
                .ledger
                .intent
                .as_ref()
                .is_some_and(|stored| stored == intent)
        };
        Ok(match swap {
            Swap::Won(snapshot) => Arm::won(intent.generation, create, snapshot),
            // Our own write, whose reply was lost: the nonce says so.
            Swap::Lost(Some(snapshot)) if armed(&snapshot) => {
                Arm::won(intent.generation, create, snapshot)
            }
            Swap::Lost(snapshot) => Arm::Lost(snapshot),
        })
    }

    /// Stores the first record of a resource. With `value`, that of its pending credential.
    pub async fn create(
        &self,
        ledger: &Ledger,
        value: Option<(Generation, &SecretValue)>,
    ) -> Result<Swap, LedgerError> {
        let secret = first(ledger, value);
        match answer(self.secrets.create(&PostParams::default(), &secret)).await {
            Ok(stored) => Ok(Swap::Won(Snapshot::try_from(stored)?)),
            Err(error @ (ClusterError::AlreadyExists | ClusterError::Unknown)) => {
                match self.read(&ledger.owner).await? {
                    // Nobody was faster: the write itself was refused or lost, and is so again at once.
                    None if error == ClusterError::Unknown => Err(error.into()),
                    live => Ok(Swap::Lost(live)),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// One transition: `before` becomes `next`, or nothing happens. Values of attempts that `next` no
    /// longer holds leave in the same write.
    pub async fn swap(
        &self,
        before: &Snapshot,
        next: Ledger,
        value: Option<(Generation, &SecretValue)>,
    ) -> Result<Swap, LedgerError> {
        let patch = Patch::Merge(before.patch_to(&next, value));
        let (name, params) = (name_of(&next.owner), PatchParams::default());
        match answer(self.secrets.patch(&name, &params, &patch)).await {
            Ok(stored) => Ok(Swap::Won(Snapshot::try_from(stored)?)),
            Err(
                error @ (ClusterError::Conflict
                | ClusterError::Invalid
                | ClusterError::NotFound
                | ClusterError::Unknown),
            ) => match self.read(&next.owner).await? {
                Some(live) if live.uid == before.uid && live.ledger == next => Ok(Swap::Won(live)),
                // Nobody was faster: the write itself was refused or lost, and is so again at once.
                Some(live) if live.is_same_object(before) && live.version == before.version => {
                    Err(error.into())
                }
                live => Ok(Swap::Lost(live)),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a ledger whose duty is done, if it is still the one that was seen.
    pub async fn remove(&self, seen: &Snapshot) -> Result<(), LedgerError> {
        let preconditions = Preconditions {
            uid: Some(seen.uid.clone()),
            resource_version: Some(seen.version.0.clone()),
        };
        let params = DeleteParams {
            preconditions: Some(preconditions),
            ..Default::default()
        };
        let name = name_of(&seen.ledger.owner);
        match answer(self.secrets.delete(&name, &params)).await {
            Ok(_) | Err(ClusterError::NotFound | ClusterError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Arm {
    fn won(generation: Generation, (marker, not_after): (Marker, Instant), now: Snapshot) -> Self {
        Self::Won(
            Armed::new(generation),
            CreateOnce::new(marker, not_after),
            now,
        )
    }
}

impl Snapshot {
    /// The ledger as a watch of metadata showed it: the record without the values.
    pub fn from_metadata(metadata: &ObjectMeta) -> Result<Self, LedgerError> {
        let annotation = |name: &str| metadata.annotations.as_ref()?.get(name);
        let record = annotation(annotations::LEDGER).ok_or(Unreadable::Damaged)?;
        let resolved = annotation(annotations::RESOLVED_ATTEMPTS);
        Ok(Self {
            ledger: Ledger::decode(record)?,
            resolved: resolved.map(|text| attempts(text)).unwrap_or_default(),
            uid: metadata.uid.clone().ok_or(LedgerError::Nameless)?,
            version: Version::of(metadata)?,
            values: BTreeMap::new(),
        })
    }

    /// Whether this was read whole: then the values of its record are here.
    pub fn value(&self, generation: Generation) -> Option<&Stored<SecretValue>> {
        self.values.get(&generation)
    }

    /// Whether one of the stored values is this one.
    pub fn shows(&self, value: &SecretValue) -> bool {
        let mut stored = self.values.values();
        stored.any(|stored| stored.get().expose() == value.expose())
    }

    /// The same without the values, to be kept.
    #[must_use]
    pub fn without_values(&self) -> Self {
        Self {
            ledger: self.ledger.clone(),
            resolved: self.resolved.clone(),
            uid: self.uid.clone(),
            version: self.version.clone(),
            values: BTreeMap::new(),
        }
    }

    /// Whether both are sightings of one object, not of one that was deleted and made again.
    pub fn is_same_object(&self, other: &Self) -> bool {
        self.uid == other.uid
    }

    /// The version, for comparing which of two sightings is newer.
    pub fn version(&self) -> &str {
        &self.version.0
    }

    fn patch_to(&self, next: &Ledger, value: Option<(Generation, &SecretValue)>) -> Value {
        let mut data = serde_json::Map::new();
        for gone in self.ledger.holds().difference(&next.holds()) {
            data.insert(key(*gone), Value::Null);
        }
        if let Some((generation, value)) = value {
            data.insert(
                key(generation),
                json!(ByteString(value.expose().as_bytes().to_vec())),
            );
        }
        json!({
            "metadata": {
                "uid": self.uid,
                "resourceVersion": self.version.0,
                "annotations": { annotations::LEDGER: next.encode() },
            },
            "data": data,
        })
    }
}

impl TryFrom<Secret> for Snapshot {
    type Error = LedgerError;

    fn try_from(secret: Secret) -> Result<Self, LedgerError> {
        let mut snapshot = Self::from_metadata(&secret.metadata)?;
        let data = secret.data.unwrap_or_default();
        let held = snapshot
            .ledger
            .holds()
            .into_iter()
            .filter_map(|generation| {
                let bytes = data.get(&key(generation))?.0.clone();
                let value = SecretValue::new(String::from_utf8(bytes).ok()?);
                Some((generation, Stored::new(value)))
            });
        snapshot.values = held.collect();
        Ok(snapshot)
    }
}

impl Version {
    fn of(metadata: &ObjectMeta) -> Result<Self, LedgerError> {
        let version = metadata
            .resource_version
            .clone()
            .filter(|version| !version.is_empty());
        version.map(Self).ok_or(LedgerError::Nameless)
    }
}

/// Attempt numbers out of `"3,4"`; anything else in there is ignored.
pub fn attempts(text: &str) -> Vec<Generation> {
    text.split(',')
        .filter_map(|part| part.trim().parse().ok().map(Generation))
        .collect()
}

fn key(generation: Generation) -> String {
    format!("v.{generation}")
}

fn first(ledger: &Ledger, value: Option<(Generation, &SecretValue)>) -> Secret {
    let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let labels = [
        text(annotations::MANAGED_BY, annotations::MANAGER),
        text(annotations::COMPONENT, annotations::COMPONENT_LEDGER),
    ];
    let bytes = |value: &SecretValue| ByteString(value.expose().as_bytes().to_vec());
    let data = value.map(|(generation, value)| [(key(generation), bytes(value))].into());
    let mut secret = Secret {
        data,
        ..Secret::default()
    };
    secret.metadata.name = Some(name_of(&ledger.owner));
    secret.labels_mut().extend(labels);
    secret
        .annotations_mut()
        .insert(annotations::LEDGER.to_owned(), ledger.encode());
    secret
}

#[cfg(test)]
mod tests;

//! A Secret as it was seen: whose it is, what it claims to show, and whether anybody changed it. The
//! values do not stay in memory.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use super::mac::{Covered, MacKey};
use crate::{
    api::annotations,
    ledger::{
        ids::{CredentialId, Epoch, Generation},
        record::Owner,
    },
    plan::world::{Seen, Target},
};

/// A Secret at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Its uid.
    pub(super) uid: String,
    /// Its resourceVersion.
    pub(super) version: String,
    /// Names of its keys, so that an update can remove those that should not be there.
    pub(super) keys: Vec<String>,
    /// Uid of the resource that it names as its owner.
    owner_uid: Option<String>,
    /// Who holds it, for people.
    holder: Option<String>,
    created: Option<Timestamp>,
    /// It carries the label that targets are watched by.
    watched: bool,
    seen: Option<Seen>,
}

impl Sighting {
    /// What can be kept of `secret`. None for an object without uid or version.
    pub fn of(secret: &Secret, mac: &MacKey) -> Option<Self> {
        let version = secret
            .resource_version()
            .filter(|version| !version.is_empty())?;
        let owner_uid = annotation(secret, annotations::OWNER_UID).map(ToOwned::to_owned);
        let keys = secret
            .data
            .iter()
            .flat_map(|data| data.keys().cloned())
            .collect();
        let seen = owner_uid.as_deref().and_then(|uid| seen(secret, uid, mac));
        let holder = holder(secret);
        Some(Self {
            uid: secret.uid()?,
            version,
            keys,
            owner_uid,
            holder,
            watched: secret
                .labels()
                .get(annotations::COMPONENT)
                .map(String::as_str)
                == Some(annotations::COMPONENT_TARGET),
            created: secret.creation_timestamp().map(|time| time.0),
            seen,
        })
    }

    /// The same in the planner's words, for one owner.
    pub fn target(&self, owner: &Owner) -> Target {
        match &self.seen {
            Some(seen) if self.owner_uid.as_ref() == Some(&owner.uid) => {
                let mut seen = seen.clone();
                if !self.watched {
                    // It does not look as it should: without the label no watch follows it, and every
                    // pass would take it for missing and begin the overlap anew.
                    seen.rendering.clear();
                }
                Target::Ours(seen)
            }
            _ => Target::Foreign {
                holder: self.holder.clone(),
            },
        }
    }

    /// The resourceVersion, for comparing which of two sightings is newer.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether a watch by label follows it.
    pub fn is_watched(&self) -> bool {
        self.watched
    }

    /// When the Secret was made; what it shows is at most that old.
    pub fn created(&self) -> Option<Timestamp> {
        self.created
    }
}

fn annotation<'a>(secret: &'a Secret, name: &str) -> Option<&'a str> {
    secret.annotations().get(name).map(String::as_str)
}

/// What it claims to show. Damaged claims count as unsound, not as foreign: the owner stands.
fn seen(secret: &Secret, owner_uid: &str, mac: &MacKey) -> Option<Seen> {
    let number = |name| {
        annotation(secret, name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    };
    let rendering = annotation(secret, annotations::RENDERING).unwrap_or_default();
    let id = annotation(secret, annotations::CREDENTIAL_ID).unwrap_or("unknown");
    let id = CredentialId::parse(id)
        .or_else(|_| CredentialId::parse("unknown"))
        .ok()?;
    let (epoch, attempt) = (
        Epoch(number(annotations::EPOCH)),
        Generation(number(annotations::ATTEMPT)),
    );
    let none = std::collections::BTreeMap::new();
    let data = secret.data.as_ref().unwrap_or(&none);
    let covered = Covered {
        owner_uid,
        epoch,
        attempt,
        id: &id,
        rendering,
        data,
    };
    let sound = annotation(secret, annotations::MAC).is_some_and(|tag| mac.verifies(&covered, tag));
    let immutable = secret.immutable == Some(true);
    Some(Seen {
        epoch,
        attempt,
        rendering: rendering.to_owned(),
        sound,
        immutable,
        id,
    })
}

fn holder(secret: &Secret) -> Option<String> {
    let name = annotation(secret, annotations::OWNER_NAME);
    let kind = annotation(secret, annotations::OWNER_KIND);
    let ours = kind.zip(name).map(|(kind, name)| format!("{kind} {name}"));
    let reference = || {
        let owner = secret.owner_references().first()?;
        Some(format!("{} {}", owner.kind, owner.name))
    };
    let manager = || secret.labels().get(annotations::MANAGED_BY).cloned();
    ours.or_else(reference).or_else(manager)
}

#[cfg(test)]
mod tests;

//! The record of one credential resource: intent, ids and history; never a value.
//!
//! It is kept as JSON in one annotation of the ledger Secret. The values of the entries that may be
//! needed again (pending, current, retiring) are data of the same Secret, so that an id and its value
//! become durable in one write.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    ids::{CredentialId, Epoch, Generation},
    marker::Nonce,
};
pub use crate::api::status::{Cause, Proof};
use crate::provider::Flaw;

/// The version of the record's format that this program writes.
const FORMAT: u8 = 1;

/// How many ended credentials `history` names.
const HISTORY: usize = 10;

/// Everything that is known about the credentials of one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    format: u8,
    /// The resource that asked.
    pub owner: Owner,
    /// Name of the target Secret, so that it can be removed without the resource.
    pub target: String,
    /// The number of the newest attempt. Monotone.
    pub attempt: Generation,
    /// The number of promotions. Monotone.
    pub epoch: Epoch,
    /// A create that was armed and whose answer is not recorded yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// Issued and stored, not verified yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// What the target holds, or is about to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Current>,
    /// The one before, still valid until its gates hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retiring: Option<Retiring>,
    /// To be deleted at the provider. Absorbing: nothing leaves it but by proof of absence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deleting: Vec<Doomed>,
    /// Creates whose fate is unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abandoned: Vec<Abandoned>,
    /// Attempts that ended without leaving an entry, for 24 h.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spent: Vec<Spent>,
    /// Creates of the running window.
    #[serde(default)]
    pub budget: Budget,
    /// How long to wait before the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// The newest rotate request that was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_rotate_at: Option<Timestamp>,
    /// Promotions after the first.
    #[serde(default)]
    pub rotations: u64,
    /// The last ten credentials that are proven gone, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Past>,
    /// The resource is deleted: nothing is armed any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tombstone: Option<Tombstone>,
}

/// The resource that a ledger belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}

/// The kinds that issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// `machinetokens.handover.dev`
    MachineToken,
}

impl Kind {
    /// As it is written in manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MachineToken => "MachineToken",
        }
    }

    /// As it stands in the names of ledgers.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::MachineToken => "machinetoken",
        }
    }
}

/// Where a credential was issued; revocation goes there and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// `ClusterConnection/acme`, for people.
    pub connection: String,
    /// Uid of that connection.
    pub uid: String,
    /// The url that was used.
    pub endpoint: String,
    /// The organization at the provider.
    pub organization: String,
}

/// A create that is armed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// The number of the attempt.
    #[serde(rename = "g")]
    pub generation: Generation,
    /// Its nonce.
    pub nonce: Nonce,
    /// Digest of the identity fields of the spec that it serves.
    pub spec_hash: String,
    /// The process that may send it.
    pub holder: String,
    /// When it was armed, by the clock of the API server.
    pub at: Timestamp,
    /// Past this its create is surely not sent any more.
    pub sendable_until: Timestamp,
    /// Where it goes.
    pub place: Place,
    /// Why it is made.
    pub cause: Cause,
    /// The rotate request that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Timestamp>,
    /// When the credential ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Where a credential comes from: what every entry keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The number of the attempt that made it.
    #[serde(rename = "g")]
    pub generation: Generation,
    /// The nonce of that attempt; absent in a ledger that was rebuilt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
    /// The provider's id.
    pub id: CredentialId,
    /// Where it was issued.
    pub place: Place,
    /// When its create was armed.
    pub at: Timestamp,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Why it was made.
    pub cause: Cause,
    /// Digest of the identity fields that it was made for.
    pub spec_hash: String,
}

/// Stored, not verified yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Where it comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// Since when it is stored.
    pub since: Timestamp,
    /// The rotate request that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Timestamp>,
    /// How it differs from what was asked: then it is rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaw: Option<Flaw>,
}

/// In use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Current {
    /// Where it comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// When it was promoted.
    pub promoted_at: Timestamp,
    /// Whether the provider accepted the stored value before that.
    pub proof: Proof,
    /// What it replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_id: Option<CredentialId>,
}

impl Current {
    /// Its value is not in the ledger: it cannot be delivered again and is to be replaced.
    pub fn is_forfeit(&self) -> bool {
        self.origin.spec_hash.is_empty()
    }
}

/// Replaced, still valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retiring {
    /// Where it comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// Since when it is replaced.
    pub since: Timestamp,
    /// When its successor was last written to the target. The overlap counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distributed_at: Option<Timestamp>,
}

/// On its way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Doomed {
    /// Where it comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// Since when nothing may save it.
    pub since: Timestamp,
}

/// A create whose fate is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Abandoned {
    /// The number of the attempt.
    #[serde(rename = "g")]
    pub generation: Generation,
    /// Its nonce: with the number, what to look for at the provider.
    pub nonce: Nonce,
    /// When it was given up.
    pub at: Timestamp,
    /// Where it went.
    pub place: Place,
    /// Digest of the identity fields that it was made for.
    pub spec_hash: String,
    /// Why it was made.
    pub cause: Cause,
}

/// An attempt that left no entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The number of the attempt.
    #[serde(rename = "g")]
    pub generation: Generation,
    /// Its nonce.
    pub nonce: Nonce,
    /// When it ended.
    pub at: Timestamp,
}

/// Creates within one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// When the window began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Creates in all.
    pub count: u32,
    /// Creates that did not end in a promotion.
    pub fruitless: u32,
}

/// Waiting after a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// Failures in a row.
    pub n: u32,
    /// No attempt before this.
    pub until: Timestamp,
    /// What failed.
    pub failure: Failure,
    /// Digest of spec, connection and auth at that time: when it differs, the wait is over.
    pub inputs: String,
    /// The rotate request that the failed attempt answered: a later one is tried at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Timestamp>,
}

/// What an attempt failed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// The provider could not be reached.
    NotSent,
    /// The admin credential was not accepted.
    Unauthenticated,
    /// The admin credential may not create this.
    Forbidden,
    /// Too many requests.
    Throttled,
    /// The request itself was refused.
    Rejected(u16),
    /// No clear answer.
    Ambiguous,
    /// A 2xx that could not be read.
    Unreadable,
    /// The stored value was refused, or is not what was asked for.
    NotVerified,
}

/// A credential that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Past {
    /// Its id.
    pub id: CredentialId,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Why it was made.
    pub cause: Cause,
    /// When it was proven gone.
    pub revoked_at: Timestamp,
}

/// The resource is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Since when.
    pub at: Timestamp,
    /// `deletionPolicy: Retain`: credential and target stay, and one that retires is waited for so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain: Option<Patience>,
}

/// What a retiring credential waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Patience {
    /// How long both stay valid at least.
    pub overlap: SignedDuration,
    /// Until every Pod has the new value.
    pub pods: bool,
}

/// A record that cannot be read. Deliberately without detail: the annotation is not ours to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not the JSON of a ledger.
    #[error("the ledger's record is damaged")]
    Damaged,
    /// Written by a newer program.
    #[error("the ledger's record has format {0}; this version of Handover reads format 1")]
    Format(u8),
}

impl Ledger {
    /// The ledger of a resource that has none.
    pub fn new(owner: Owner, target: String) -> Self {
        Self {
            format: FORMAT,
            owner,
            target,
            attempt: Generation(0),
            epoch: Epoch(0),
            intent: None,
            pending: None,
            current: None,
            retiring: None,
            deleting: Vec::new(),
            abandoned: Vec::new(),
            spent: Vec::new(),
            budget: Budget::default(),
            backoff: None,
            last_rotate_at: None,
            rotations: 0,
            history: Vec::new(),
            tombstone: None,
        }
    }

    /// The record as it is stored.
    #[expect(
        clippy::missing_panics_doc,
        reason = "plain data with text keys always serializes"
    )]
    pub fn encode(&self) -> String {
        #[expect(
            clippy::expect_used,
            reason = "plain data with string keys always serializes"
        )]
        serde_json::to_string(self).expect("a ledger is plain data")
    }

    /// Reads a stored record.
    pub fn decode(text: &str) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Version {
            format: u8,
        }
        let Version { format } = serde_json::from_str(text).map_err(|_| Unreadable::Damaged)?;
        if format != FORMAT {
            return Err(Unreadable::Format(format));
        }
        serde_json::from_str(text).map_err(|_| Unreadable::Damaged)
    }

    /// The attempts whose values are kept.
    pub fn holds(&self) -> BTreeSet<Generation> {
        self.held().map(|origin| origin.generation).collect()
    }

    /// Every credential that is recorded and not proven gone.
    pub fn recorded(&self) -> impl Iterator<Item = &Origin> {
        self.held().chain(self.deleting.iter().map(|d| &d.origin))
    }

    /// What may still be used.
    fn held(&self) -> impl Iterator<Item = &Origin> {
        let pending = self.pending.iter().map(|p| &p.origin);
        let current = self.current.iter().map(|c| &c.origin);
        let retiring = self.retiring.iter().map(|r| &r.origin);
        pending.chain(current).chain(retiring)
    }

    /// When the next life ends of what may still be used.
    pub fn earliest_end(&self) -> Option<Timestamp> {
        self.held().filter_map(|origin| origin.expires_at).min()
    }

    pub(super) fn remember(&mut self, gone: &Origin, at: Timestamp) {
        self.history.push(Past {
            id: gone.id.clone(),
            issued_at: gone.at,
            cause: gone.cause,
            revoked_at: at,
        });
        let surplus = self.history.len().saturating_sub(HISTORY);
        self.history.drain(..surplus);
    }
}

#[cfg(test)]
mod tests;

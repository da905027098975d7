//! The credentials of one provider, living and dead, and what is true of them.
//!
//! Nothing is ever removed: a revoked credential keeps its times, so that a stale listing and the
//! truth can both be told from the same list. Expiries are by the servers' clock, all other times true.

use std::{collections::HashMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{clock::Moment, operation::Provider, values::Digest};
use crate::secret_value::SecretValue;

/// What a credential is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CredentialKind {
    /// Calls the management API.
    MachineToken,
    /// Sends events of one project.
    DsnKey,
}

/// Whether somebody revoked it. An expired credential is still `Active`: see
/// [`Truth::authenticates`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CredentialState {
    /// Not revoked.
    Active,
    /// Revoked, though its value may be accepted for a while yet.
    Revoked,
}

/// What is true of one credential now, whatever the API says.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Truth {
    /// Whose credential it is.
    pub provider: Provider,
    /// What it is for.
    pub kind: CredentialKind,
    /// The id that the API knows it by.
    pub id: String,
    /// The organization, or `organization/project`.
    pub owner: String,
    /// The stored label, which may be shorter than the one sent.
    pub label: String,
    /// The granted scopes.
    pub scopes: Vec<String>,
    /// Revoked or not.
    pub state: CredentialState,
    /// Since when it exists.
    pub created: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it expires, by the servers' clock.
    pub expires_at: Option<Timestamp>,
    /// The digest of its newest value.
    pub value: Option<Digest>,
    /// Whether any of its values is accepted now.
    pub authenticates: bool,
}

/// One value of a credential and the time in which it is accepted.
pub(super) struct Value {
    pub(super) secret: SecretValue,
    digest: Digest,
    /// The part that the wire shows, where there is one.
    pub(super) public_key: Option<String>,
    from: Timestamp,
    until: Option<Timestamp>,
}

impl Value {
    /// A value that is accepted from a time on.
    pub(super) fn new(secret: SecretValue, public_key: Option<String>, from: Timestamp) -> Self {
        Self {
            digest: Digest::of(secret.expose()),
            secret,
            public_key,
            from,
            until: None,
        }
    }

    fn accepted(&self, now: Timestamp) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }

    fn end(&mut self, at: Timestamp) {
        self.until = Some(self.until.map_or(at, |until| until.min(at)));
    }
}

/// A credential as the server keeps it.
pub(super) struct Credential {
    pub(super) id: String,
    pub(super) kind: CredentialKind,
    pub(super) owner: String,
    pub(super) label: String,
    pub(super) scopes: Vec<String>,
    pub(super) created: Timestamp,
    pub(super) revoked: Option<Timestamp>,
    pub(super) expires_at: Option<Timestamp>,
    /// How long it is accepted after it expired.
    pub(super) expiry_lag: Duration,
    /// The newest is last.
    pub(super) values: Vec<Value>,
}

impl Credential {
    /// A credential that nobody has touched since it was created.
    pub(super) fn new(
        kind: CredentialKind,
        id: String,
        owner: String,
        label: String,
        created: Timestamp,
        value: Value,
    ) -> Self {
        Self {
            id,
            kind,
            owner,
            label,
            scopes: Vec::new(),
            created,
            revoked: None,
            expires_at: None,
            expiry_lag: Duration::ZERO,
            values: vec![value],
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.revoked.is_none()
    }

    pub(super) fn is_expired(&self, now: Moment) -> bool {
        self.expires_at
            .is_some_and(|at| after(at, self.expiry_lag) <= now.server)
    }

    /// The values that are accepted now.
    pub(super) fn accepted(&self, now: Moment) -> impl Iterator<Item = &Value> {
        self.values
            .iter()
            .filter(move |value| !self.is_expired(now) && value.accepted(now.truth))
    }

    fn existed(&self, at: Timestamp) -> bool {
        self.created <= at && self.revoked.is_none_or(|revoked| at < revoked)
    }
}

/// `time` and a delay after it.
pub(super) fn after(time: Timestamp, delay: Duration) -> Timestamp {
    SignedDuration::try_from(delay)
        .ok()
        .and_then(|delay| time.checked_add(delay).ok())
        .unwrap_or(Timestamp::MAX)
}

/// All credentials of one provider.
#[derive(Default)]
pub(super) struct Credentials {
    list: Vec<Credential>,
    by_id: HashMap<String, usize>,
    by_value: HashMap<Digest, usize>,
    by_public_key: HashMap<String, usize>,
}

impl Credentials {
    /// Takes in a new credential.
    pub(super) fn add(&mut self, credential: Credential) {
        let position = self.list.len();
        self.by_id.insert(credential.id.clone(), position);
        for value in &credential.values {
            self.index(position, value);
        }
        self.list.push(credential);
    }

    fn index(&mut self, position: usize, value: &Value) {
        self.by_value.insert(value.digest.clone(), position);
        if let Some(public_key) = &value.public_key {
            self.by_public_key.insert(public_key.clone(), position);
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<&Credential> {
        self.by_id.get(id).map(|position| &self.list[*position])
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Credential> {
        self.by_id.get(id).map(|position| &mut self.list[*position])
    }

    /// Whose value this is, if it is accepted now.
    pub(super) fn holder(&self, value: &str, now: Moment) -> Option<&Credential> {
        let credential = &self.list[*self.by_value.get(&Digest::of(value))?];
        credential
            .accepted(now)
            .any(|held| held.secret.expose() == value)
            .then_some(credential)
    }

    /// Whose public key this is, accepted or not.
    pub(super) fn owner_of_public_key(&self, public_key: &str) -> Option<&Credential> {
        let position = self.by_public_key.get(public_key)?;
        Some(&self.list[*position])
    }

    /// Gives a credential another value, and perhaps another id with it; the values so far end at
    /// `old_until`.
    pub(super) fn replace_value(
        &mut self,
        id: &str,
        new_id: Option<String>,
        value: Value,
        old_until: Timestamp,
    ) {
        let Some(position) = self.by_id.get(id).copied() else {
            return;
        };
        self.index(position, &value);
        let credential = &mut self.list[position];
        for old in &mut credential.values {
            old.end(old_until);
        }
        credential.values.push(value);
        if let Some(new_id) = new_id {
            self.by_id.remove(id);
            self.by_id.insert(new_id.clone(), position);
            credential.id = new_id;
        }
    }

    /// Revokes a credential; its values are accepted until `accepted_until`.
    pub(super) fn revoke(&mut self, id: &str, now: Timestamp, accepted_until: Timestamp) {
        if let Some(credential) = self.get_mut(id) {
            credential.revoked = Some(now);
            for value in &mut credential.values {
                value.end(accepted_until);
            }
        }
    }

    /// What existed at `at`, in the order of creation.
    pub(super) fn listed<'a>(
        &'a self,
        kind: CredentialKind,
        owner: &'a str,
        at: Timestamp,
    ) -> impl Iterator<Item = &'a Credential> {
        self.list
            .iter()
            .filter(move |one| one.kind == kind && one.owner == owner && one.existed(at))
    }

    /// The newest credential of the same kind that is older than this one.
    pub(super) fn before(&self, id: &str) -> Option<&Credential> {
        let position = *self.by_id.get(id)?;
        let kind = self.list[position].kind;
        self.list[..position]
            .iter()
            .rev()
            .find(|one| one.kind == kind)
    }

    /// What is true now.
    pub(super) fn truth(&self, provider: Provider, now: Moment) -> Vec<Truth> {
        let tell = |credential: &Credential| Truth {
            provider,
            kind: credential.kind,
            id: credential.id.clone(),
            owner: credential.owner.clone(),
            label: credential.label.clone(),
            scopes: credential.scopes.clone(),
            state: if credential.is_active() {
                CredentialState::Active
            } else {
                CredentialState::Revoked
            },
            created: credential.created,
            revoked_at: credential.revoked,
            expires_at: credential.expires_at,
            value: credential.values.last().map(|value| value.digest.clone()),
            authenticates: credential.accepted(now).next().is_some(),
        };
        self.list.iter().map(tell).collect()
    }
}

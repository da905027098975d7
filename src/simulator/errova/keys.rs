//! DSN keys: create, change the expiry (which is how one is revoked), rotate in place, delete.

use std::time::Duration;

use axum::body::Bytes;
use http::{Request, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

use super::{
    Errova, Permitted,
    answer::{self, Denied, Shown, written},
    knobs::{CreateExpiry, ExpiredKey, ExpiryKnobs, Intake, NullExpiry, Resolution},
    projects::present,
};
use crate::{
    secret_value::SecretValue,
    simulator::{
        credentials::{Credential, CredentialKind, Value, after},
        dialect::Circumstances,
        reply::{Reply, Subject},
        values::Digest,
    },
};

/// A key whose requests are signed with a secret.
const SERVER_SIGNED: &str = "server_signed";
/// A key that is nothing but its public part.
const BROWSER_PUBLIC: &str = "browser_public";

impl Errova {
    pub(super) fn create_key(
        &mut self,
        permitted: Permitted<'_>,
        circumstances: &mut Circumstances<'_>,
    ) -> Result<Reply, Denied> {
        let owner = self.owner(self.project(&permitted)?);
        let body = permitted.body()?;
        let key_type = (body.get("keyType").and_then(Json::as_str))
            .filter(|sent| [SERVER_SIGNED, BROWSER_PUBLIC].contains(sent))
            .ok_or(Denied::BAD_REQUEST)?;
        let kind = CredentialKind::DsnKey;
        let label = self.stored_label(&body, kind, &owner, circumstances)?;
        let expires_at = self.expiry_in_create(&body, circumstances.now.server)?;
        let public_key = circumstances.generator.value("pk_").expose().to_owned();
        let key = Credential {
            expires_at,
            ..Credential::new(
                kind,
                circumstances.generator.id("key_"),
                owner,
                label,
                circumstances.now.truth,
                self.new_key_value(public_key, key_type, circumstances),
            )
        };
        let status = answer::status(self.knobs.status.create, StatusCode::CREATED);
        let reply = answer::done(&self.knobs, status, shown(&key, permitted.request));
        self.credentials.add(key);
        Ok(reply)
    }

    fn expiry_in_create(
        &self,
        body: &Map<String, Json>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Denied> {
        match (self.knobs.key.create_expires_at, body.get("expiresAt")) {
            (_, None) | (CreateExpiry::Ignore, Some(_)) => Ok(None),
            (CreateExpiry::Honour, Some(sent)) => expiry(sent, &self.knobs.key.expires_at, now),
            (CreateExpiry::Reject, Some(_)) => Err(Denied::BAD_REQUEST),
        }
    }

    fn new_key_value(
        &self,
        public_key: String,
        key_type: &str,
        circumstances: &mut Circumstances<'_>,
    ) -> Value {
        let secret = if key_type == SERVER_SIGNED {
            circumstances.generator.value("sk_")
        } else {
            SecretValue::new(public_key.clone())
        };
        let from = self.accepted_from(circumstances);
        Value::new(secret, Some(public_key), from)
    }

    fn living_key(&self, permitted: &Permitted<'_>) -> Result<&Credential, Denied> {
        let owner = self.owner(self.project(permitted)?);
        (permitted.route.id)
            .and_then(|id| self.credentials.get(id))
            .filter(|key| key.kind == CredentialKind::DsnKey && key.owner == owner)
            .filter(|key| key.is_active())
            .ok_or(Denied::NOT_FOUND)
    }

    pub(super) fn update_key(
        &mut self,
        permitted: Permitted<'_>,
        circumstances: &mut Circumstances<'_>,
    ) -> Result<Reply, Denied> {
        let now = circumstances.now.server;
        let key = self.living_key(&permitted)?;
        let id = key.id.clone();
        let knobs = &self.knobs.key.expires_at;
        let has_expired = key.expires_at.is_some_and(|at| at <= now);
        if has_expired && knobs.expired == ExpiredKey::Frozen {
            return Err(Denied::BAD_REQUEST);
        }
        let body = permitted.body()?;
        let sent = body.get("expiresAt").ok_or(Denied::BAD_REQUEST)?;
        let expires_at = expiry(sent, knobs, now)?;
        let lag = self.revoke_lag(circumstances);
        let key = self.credentials.get_mut(&id).ok_or(Denied::NOT_FOUND)?;
        key.expires_at = expires_at;
        key.expiry_lag = lag;
        Ok(answer::done(&self.knobs, StatusCode::OK, changed(key)))
    }

    pub(super) fn rotate_key(
        &mut self,
        permitted: Permitted<'_>,
        circumstances: &mut Circumstances<'_>,
    ) -> Result<Reply, Denied> {
        let knobs = self.knobs.key.rotate.clone();
        let key = self.living_key(&permitted)?;
        if !knobs.present {
            return Err(Denied::NOT_FOUND);
        }
        let key_type = key_type(key);
        let public_key = (key.values.last())
            .and_then(|value| value.public_key.clone())
            .ok_or(Denied::NOT_FOUND)?;
        // A key without a secret has only its public part to change.
        if key_type == BROWSER_PUBLIC && !knobs.new_public_key {
            return Err(Denied::BAD_REQUEST);
        }
        let id = key.id.clone();
        let public_key = if knobs.new_public_key {
            circumstances.generator.value("pk_").expose().to_owned()
        } else {
            public_key
        };
        let value = self.new_key_value(public_key, key_type, circumstances);
        let ends = after(
            circumstances.now.truth,
            Duration::from_secs(knobs.grace_seconds),
        );
        let new_id = knobs.new_id.then(|| circumstances.generator.id("key_"));
        let now_named = new_id.clone().unwrap_or_else(|| id.clone());
        self.credentials.replace_value(&id, new_id, value, ends);
        let key = self.credentials.get(&now_named).ok_or(Denied::NOT_FOUND)?;
        let shown = shown(key, permitted.request);
        Ok(answer::done(&self.knobs, StatusCode::OK, shown))
    }

    pub(super) fn delete_key(
        &mut self,
        permitted: Permitted<'_>,
        circumstances: &mut Circumstances<'_>,
    ) -> Result<Reply, Denied> {
        present(self.knobs.key.delete)?;
        let key = self.living_key(&permitted)?;
        let (id, subject) = (key.id.clone(), subject(key));
        let accepted_until = after(circumstances.now.truth, self.revoke_lag(circumstances));
        self.credentials
            .revoke(&id, circumstances.now.truth, accepted_until);
        Ok(answer::deleted(&self.knobs, subject))
    }
}

/// The expiry that is stored for the one that was sent.
fn expiry(sent: &Json, knobs: &ExpiryKnobs, now: Timestamp) -> Result<Option<Timestamp>, Denied> {
    if sent.is_null() {
        return match knobs.null {
            NullExpiry::Clear => Ok(None),
            NullExpiry::Reject => Err(Denied::BAD_REQUEST),
        };
    }
    let sent: Timestamp = (sent.as_str())
        .and_then(|text| text.parse().ok())
        .ok_or(Denied::BAD_REQUEST)?;
    let earliest = after(now, Duration::from_secs(knobs.min_lead_seconds));
    let is_past = sent <= now;
    let is_too_soon = !is_past && sent < earliest;
    if is_too_soon || (is_past && knobs.past == Intake::Reject) {
        return Err(Denied::BAD_REQUEST);
    }
    let unit = match knobs.resolution {
        Resolution::Second => 1,
        Resolution::Minute => 60,
    };
    let whole = sent.as_second().div_euclid(unit) * unit;
    Ok(Some(Timestamp::from_second(whole).unwrap_or(sent)))
}

/// Only a signing key has a secret beside its public part.
pub(super) fn key_type(key: &Credential) -> &'static str {
    let is_public = |value: &Value| value.public_key.as_deref() == Some(value.secret.expose());
    if key.values.last().is_some_and(is_public) {
        BROWSER_PUBLIC
    } else {
        SERVER_SIGNED
    }
}

fn subject(key: &Credential) -> Subject {
    Subject {
        id: Some(key.id.clone()),
        label: Some(key.label.clone()),
        value: None,
    }
}

fn changed(key: &Credential) -> Shown {
    let mut members = Map::new();
    members.insert("id".to_owned(), json!(key.id));
    members.insert("expiresAt".to_owned(), json!(key.expires_at.map(written)));
    Shown {
        thing: "key",
        members,
        value: None,
        subject: subject(key),
    }
}

fn shown(key: &Credential, request: &Request<Bytes>) -> Shown {
    let newest = key.values.last();
    let public_key = newest.and_then(|value| value.public_key.as_deref());
    let secret = newest.map(|value| value.secret.expose());
    let is_signed = key_type(key) == SERVER_SIGNED;
    let host = (request.headers().get(header::HOST))
        .and_then(|host| host.to_str().ok())
        .or_else(|| request.uri().authority().map(http::uri::Authority::as_str))
        .unwrap_or("localhost");
    let dsn =
        public_key.map(|public_key| format!("http://{host}/errova/ingest/{public_key}/events"));
    let mut shown = changed(key);
    shown.members.insert("label".to_owned(), json!(key.label));
    shown
        .members
        .insert("keyType".to_owned(), json!(key_type(key)));
    shown
        .members
        .insert("publicKey".to_owned(), json!(public_key));
    shown.members.insert("dsn".to_owned(), json!(dsn));
    if is_signed {
        shown.members.insert("secret".to_owned(), json!(secret));
    }
    shown.value = Some(if is_signed { "secret" } else { "publicKey" });
    shown.subject.value = secret.map(Digest::of);
    shown
}

//! Machine tokens: create, rotate in place, delete.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value as Json, json};

use super::{
    Errova, Permitted,
    access::{ADMIN, READ},
    answer::{self, Denied, Shown, written},
};
use crate::simulator::{
    clock::Moment,
    credentials::{Credential, CredentialKind, Value, after},
    dialect::Circumstances,
    reply::{Reply, Subject},
    values::Digest,
};

impl Errova {
    pub(super) fn create_token(
        &mut self,
        permitted: Permitted<'_>,
        circumstances: &mut Circumstances<'_>,
    ) -> Result<Reply, Denied> {
        let body = permitted.body()?;
        let owner = permitted.route.organization;
        let kind = CredentialKind::MachineToken;
        let label = self.stored_label(&body, kind, owner, circumstances)?;
        let scopes = granted(&body, circumstances.distortion.wrong_scope)?;
        let token = Credential {
            scopes,
            ..Credential::new(
                kind,
                circumstances.generator.id("mt_"),
                owner.to_owned(),
                label,
                circumstances.now.truth,
                self.new_value(circumstances),
            )
        };
        let status = answer::status(self.knobs.status.create, StatusCode::CREATED);
        let reply = answer::done(&self.knobs, status, shown(&token, circumstances.now));
        self.credentials.add(token);
        Ok(reply)
    }

    fn new_value(&self, circumstances: &mut Circumstances<'_>) -> Value {
        let secret = circumstances.generator.value("erv_");
        Value::new(secret, None, self.accepted_from(circumstances))
    }

    fn living_token(&self, permitted: &Permitted<'_>) -> Result<&Credential, Denied> {
        (permitted.route.id)
            .and_then(|id| self.credentials.get(id))
            .filter(|token| token.kind == CredentialKind::MachineToken)
            .filter(|token| token.is_active())
            .ok_or(Denied::NOT_FOUND)
    }

    pub(super) fn rotate_token(
        &mut self,
        permitted: Permitted<'_>,
        circumstances: &mut Circumstances<'_>,
    ) -> Result<Reply, Denied> {
        let knobs = &self.knobs.token.rotate;
        if !knobs.present {
            return Err(Denied::NOT_FOUND);
        }
        let id = self.living_token(&permitted)?.id.clone();
        let new_id = knobs.new_id.then(|| circumstances.generator.id("mt_"));
        let ends = after(
            circumstances.now.truth,
            Duration::from_secs(knobs.grace_seconds),
        );
        let value = self.new_value(circumstances);
        let now_named = new_id.clone().unwrap_or_else(|| id.clone());
        self.credentials.replace_value(&id, new_id, value, ends);
        let token = self.credentials.get(&now_named).ok_or(Denied::NOT_FOUND)?;
        Ok(answer::done(
            &self.knobs,
            StatusCode::OK,
            shown(token, circumstances.now),
        ))
    }

    pub(super) fn delete_token(
        &mut self,
        permitted: Permitted<'_>,
        circumstances: &mut Circumstances<'_>,
    ) -> Result<Reply, Denied> {
        let token = self.living_token(&permitted)?;
        let subject = Subject {
            id: Some(token.id.clone()),
            label: Some(token.label.clone()),
            value: None,
        };
        let id = token.id.clone();
        let accepted_until = after(circumstances.now.truth, self.revoke_lag(circumstances));
        self.credentials
            .revoke(&id, circumstances.now.truth, accepted_until);
        Ok(answer::deleted(&self.knobs, subject))
    }
}

fn granted(body: &Map<String, Json>, with_less: bool) -> Result<Vec<String>, Denied> {
    let asked: Vec<String> = body
        .get("scopes")
        .cloned()
        .and_then(|scopes| serde_json::from_value(scopes).ok())
        .ok_or(Denied::BAD_REQUEST)?;
    let known = asked.iter().all(|scope| scope == ADMIN || scope == READ);
    if asked.is_empty() || !known {
        return Err(Denied::BAD_REQUEST);
    }
    if !with_less {
        return Ok(asked);
    }
    let had_admin = asked.iter().any(|scope| scope == ADMIN);
    Ok(had_admin.then(|| READ.to_owned()).into_iter().collect())
}

fn shown(token: &Credential, now: Moment) -> Shown {
    let value = token.values.last().map(|value| value.secret.expose());
    let mut members = Map::new();
    members.insert("id".to_owned(), json!(token.id));
    members.insert("label".to_owned(), json!(token.label));
    members.insert("scopes".to_owned(), json!(token.scopes));
    members.insert(
        "createdAt".to_owned(),
        json!(written(now.as_shown(token.created))),
    );
    members.insert("tokenSecret".to_owned(), json!(value));
    Shown {
        thing: "machineToken",
        members,
        value: Some("tokenSecret"),
        subject: Subject {
            id: Some(token.id.clone()),
            label: Some(token.label.clone()),
            value: value.map(Digest::of),
        },
    }
}

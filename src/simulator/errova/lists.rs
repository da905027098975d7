//! Lists of tokens, projects and keys: none is documented, all may exist.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json, json};

use super::{
    Errova, Permitted,
    answer::{Denied, written},
    keys::key_type,
    knobs::Lists,
};
use crate::simulator::{
    clock::Moment,
    credentials::{Credential, CredentialKind},
    dialect::Circumstances,
    listing::page,
    operation::Operation,
    reply::{Content, Reply},
};

impl Errova {
    pub(super) fn list(
        &self,
        permitted: Permitted<'_>,
        circumstances: &mut Circumstances<'_>,
    ) -> Result<Reply, Denied> {
        let with_labels = match self.knobs.list {
            Lists::Absent404 => return Err(Denied::NOT_FOUND),
            Lists::Absent405 => return Err(Denied(StatusCode::METHOD_NOT_ALLOWED)),
            Lists::Present => true,
            Lists::PresentWithoutLabels => false,
        };
        let now = circumstances.now;
        let faults = &circumstances.distortion.listing;
        let stale = faults
            .stale
            .and_then(|age| SignedDuration::try_from(age).ok());
        let at = stale
            .and_then(|age| now.truth.checked_sub(age).ok())
            .unwrap_or(now.truth);
        let items = self.items(&permitted, at, |one| item(one, now, with_labels))?;
        let generator = &mut *circumstances.generator;
        let invent = |_| json!({"id": generator.id("ghost_"), "label": "ghost"});
        let page = page(
            items,
            invent,
            start(&permitted)?,
            self.knobs.page_size,
            faults,
        )
        .map_err(Denied)?;
        let next = page.next.map(|next| next.to_string());
        let body = json!({"items": page.items, "nextCursor": next});
        Ok(Reply::new(StatusCode::OK, Content::Json(body)))
    }

    fn items(
        &self,
        permitted: &Permitted<'_>,
        at: Timestamp,
        shown: impl Fn(&Credential) -> Json,
    ) -> Result<Vec<Json>, Denied> {
        let organization = permitted.route.organization;
        let listed = |kind, owner: &str| {
            self.credentials
                .listed(kind, owner, at)
                .map(&shown)
                .collect()
        };
        match permitted.route.op {
            Operation::TokenList => Ok(listed(CredentialKind::MachineToken, organization)),
            Operation::KeyList => {
                let owner = self.owner(self.project(permitted)?);
                Ok(listed(CredentialKind::DsnKey, &owner))
            }
            _ => Ok((self.projects.iter())
                .filter(|project| project.existed(at))
                .map(|project| Json::Object(project.members()))
                .collect()),
        }
    }
}

fn item(credential: &Credential, now: Moment, with_labels: bool) -> Json {
    let mut members = Map::new();
    members.insert("id".to_owned(), json!(credential.id));
    if with_labels {
        members.insert("label".to_owned(), json!(credential.label));
    }
    members.insert(
        "createdAt".to_owned(),
        json!(written(now.as_shown(credential.created))),
    );
    match credential.kind {
        CredentialKind::MachineToken => {
            members.insert("scopes".to_owned(), json!(credential.scopes));
            members.insert("lastUsedAt".to_owned(), Json::Null);
        }
        CredentialKind::DsnKey => {
            let expires_at = credential.expires_at.map(written);
            members.insert("keyType".to_owned(), json!(key_type(credential)));
            members.insert("expiresAt".to_owned(), json!(expires_at));
        }
    }
    Json::Object(members)
}

/// Where the page starts: a cursor is the number of items before it.
fn start(permitted: &Permitted<'_>) -> Result<usize, Denied> {
    let query = permitted.request.uri().query().unwrap_or_default();
    let cursor = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("cursor="));
    cursor.map_or(Ok(0), |cursor| {
        cursor.parse().map_err(|_| Denied::BAD_REQUEST)
    })
}

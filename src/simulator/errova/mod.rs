//! Errova: machine tokens, projects, DSN keys and signed ingest, with a knob for everything that its
//! documentation leaves open.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use axum::body::Bytes;
use http::{Request, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use self::{access::Caller, answer::Denied, projects::Project, route::Route};
use super::{
    clock::Moment,
    credentials::{Credential, Credentials, after},
    dialect::{Circumstances, Dialect},
    faults::{Facts, RetryAfter},
    operation::{Operation, Provider},
    reply::Reply,
};
use crate::secret_value::SecretValue;

pub use ingest::signature;
pub use knobs::{
    CookieAndBearer, CreateExpiry, DuplicateName, Encoding, ErrorShape, ErrovaKnobs, ExpiredKey,
    ExpiryKnobs, Idempotency, IngestKnobs, Intake, KeyKnobs, LabelKnobs, Lists, LongLabel, Nesting,
    NullExpiry, Permission, Presence, ProjectKnobs, RateLimitKnobs, Resolution, Rotation,
    SessionCover, SessionKnobs, ShapeKnobs, SignKnobs, StatusKnobs, TokenKnobs,
};
pub use projects::ProjectTruth;

mod access;
mod answer;
mod ingest;
mod keys;
mod knobs;
mod labels;
mod lists;
mod profiles;
mod projects;
mod route;
mod seeds;
mod tokens;

/// The whole of Errova.
pub(super) struct Errova {
    organization: String,
    credentials: Credentials,
    projects: Vec<Project>,
    sessions: Vec<Session>,
    knobs: ErrovaKnobs,
    /// To creates that carried a key, if the knob asks for it.
    first_answers: HashMap<IdempotencyKey, Reply>,
    /// Nonces of signed events, with their timestamps.
    nonces: BTreeSet<(i64, String)>,
}

struct Session {
    cookie: SecretValue,
    since: Timestamp,
}

/// A request whose sender may make it.
#[derive(Clone, Copy)]
struct Permitted<'a> {
    route: Route<'a>,
    request: &'a Request<Bytes>,
}

impl Permitted<'_> {
    /// The body, which has to be a JSON object.
    fn body(&self) -> Result<Map<String, Json>, Denied> {
        serde_json::from_slice(self.request.body()).map_err(|_| Denied::BAD_REQUEST)
    }
}

impl Errova {
    pub(super) fn new(organization: &str) -> Self {
        Self {
            organization: organization.to_owned(),
            credentials: Credentials::default(),
            projects: Vec::new(),
            sessions: Vec::new(),
            knobs: ErrovaKnobs::default(),
            first_answers: HashMap::new(),
            nonces: BTreeSet::new(),
        }
    }

    pub(super) fn knobs(&self) -> &ErrovaKnobs {
        &self.knobs
    }

    pub(super) fn set_knobs(&mut self, knobs: ErrovaKnobs) {
        self.knobs = knobs;
    }

    fn session_lives(&self, cookie: &str, now: Timestamp) -> bool {
        let lifetime = Duration::from_secs(self.knobs.session.lifetime_seconds);
        self.sessions
            .iter()
            .any(|one| one.cookie.expose() == cookie && now < after(one.since, lifetime))
    }

    /// When a value that is made now is accepted for the first time.
    fn accepted_from(&self, circumstances: &Circumstances<'_>) -> Timestamp {
        let knob = Duration::from_secs(self.knobs.verify_lag_seconds);
        let lag = circumstances.distortion.verify_lag.unwrap_or(knob);
        after(circumstances.now.truth, lag)
    }

    /// How long a value that is revoked now is still accepted.
    fn revoke_lag(&self, circumstances: &Circumstances<'_>) -> Duration {
        let knob = Duration::from_secs(self.knobs.revoke_lag_seconds);
        circumstances.distortion.revoke_lag.unwrap_or(knob)
    }

    fn attempt(
        &mut self,
        request: &Request<Bytes>,
        circumstances: &mut Circumstances<'_>,
    ) -> Result<Reply, Denied> {
        let route = Route::of(request.method(), request.uri().path()).ok_or(Denied::NOT_FOUND)?;
        let permitted = Permitted { route, request };
        if route.op == Operation::IngestEvent {
            // An event carries its own proof.
            return self.dispatch(permitted, circumstances);
        }
        let caller = self.authenticate(request, circumstances.now)?;
        self.authorize(&caller, &route)?;
        let repeatable = (self.knobs.idempotency_key != Idempotency::Ignore)
            .then(|| idempotency_key(&caller, &permitted))
            .flatten();
        if let Some(again) = repeatable.as_ref().and_then(|key| self.repeat(key)) {
            return Ok(again);
        }
        let reply = self.dispatch(permitted, circumstances)?;
        if let Some(key) = repeatable {
            self.first_answers.insert(key, reply.clone());
        }
        Ok(reply)
    }

    fn dispatch(
        &mut self,
        permitted: Permitted<'_>,
        circumstances: &mut Circumstances<'_>,
    ) -> Result<Reply, Denied> {
        match permitted.route.op {
            Operation::TokenCreate => self.create_token(permitted, circumstances),
            Operation::TokenRotate => self.rotate_token(permitted, circumstances),
            Operation::TokenDelete => self.delete_token(permitted, circumstances),
            Operation::ProjectCreate => self.create_project(permitted, circumstances),
            Operation::ProjectGet => self.get_project(permitted),
            Operation::ProjectUpdate => self.update_project(permitted),
            Operation::ProjectDelete => self.delete_project(permitted, circumstances),
            Operation::KeyCreate => self.create_key(permitted, circumstances),
            Operation::KeyUpdate | Operation::AuthCheck => {
                self.update_key(permitted, circumstances)
            }
            Operation::KeyRotate => self.rotate_key(permitted, circumstances),
            Operation::KeyDelete => self.delete_key(permitted, circumstances),
            Operation::TokenList | Operation::ProjectList | Operation::KeyList => {
                self.list(permitted, circumstances)
            }
            Operation::IngestEvent => self.ingest(permitted, circumstances),
        }
    }

    /// The first answer to a create that is made again.
    fn repeat(&self, key: &IdempotencyKey) -> Option<Reply> {
        let mut reply = self.first_answers.get(key)?.clone();
        reply.committed = false;
        if self.knobs.idempotency_key == Idempotency::ReplayWithoutValue {
            reply.drop_value();
        }
        Some(reply)
    }
}

/// The caller and what they call the create.
type IdempotencyKey = (Option<String>, String);

/// What makes a create the same as an earlier one.
fn idempotency_key(caller: &Caller<'_>, permitted: &Permitted<'_>) -> Option<IdempotencyKey> {
    let creates = matches!(
        permitted.route.op,
        Operation::TokenCreate | Operation::ProjectCreate | Operation::KeyCreate
    );
    let key = permitted.request.headers().get("idempotency-key")?;
    let key = key.to_str().ok().filter(|_| creates)?;
    Some((caller.id().map(str::to_owned), key.to_owned()))
}

impl Dialect for Errova {
    fn describe(&self, request: &Request<Bytes>, now: Moment) -> Facts {
        let route = Route::of(request.method(), request.uri().path());
        let caller = self.authenticate(request, now).ok();
        let named = route.and_then(|route| self.named(&route));
        let sent = serde_json::from_slice::<Json>(request.body()).ok();
        let sent = sent.as_ref().and_then(|body| body.get("label")?.as_str());
        let resources = route.into_iter().flat_map(|route| {
            let organization = (!route.organization.is_empty()).then_some(route.organization);
            [organization, route.project, route.id]
        });
        let project = route.and_then(|route| route.project);
        Facts {
            provider: Provider::Errova,
            op: route.map(|route| route.op),
            caller: caller.and_then(|caller| caller.id().map(str::to_owned)),
            id: named
                .map(|named| named.id.as_str())
                .or(project)
                .map(str::to_owned),
            label: sent
                .or_else(|| named.map(|named| named.label.as_str()))
                .map(str::to_owned),
            resources: resources.flatten().map(str::to_owned).collect(),
        }
    }

    fn perform(
        &mut self,
        request: &Request<Bytes>,
        circumstances: &mut Circumstances<'_>,
    ) -> Reply {
        self.attempt(request, circumstances)
            .unwrap_or_else(|Denied(status)| self.refuse(status))
    }

    fn refuse(&self, status: StatusCode) -> Reply {
        answer::refusal(&self.knobs, status)
    }

    fn retry_after(&self) -> RetryAfter {
        self.knobs.rate_limit.retry_after
    }

    fn credentials(&self) -> &Credentials {
        &self.credentials
    }
}

impl Errova {
    /// The credential that the path names.
    fn named(&self, route: &Route<'_>) -> Option<&Credential> {
        let name = route.id?;
        if route.op == Operation::IngestEvent {
            self.credentials.owner_of_public_key(name)
        } else {
            self.credentials.get(name)
        }
    }
}

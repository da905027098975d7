//! Errova: machine tokens. Paths, wire types and their mapping; what an answer *proves* is decided in
//! [`super::outcome`].
//!
//! Documentation: <https://errova.com/docs/api/management-api>. It names the paths, the bodies to send and
//! `tokenSecret`; statuses, error bodies and the other names of an answer are not documented. So answers are
//! decoded tolerantly, by one table (`MACHINE_TOKEN`), and nothing in them is believed without need.
//!
//! # Caveats
//! No list is documented: an answer that is lost leaves a token that nobody can find.

use std::{collections::BTreeSet, fmt, sync::Arc};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, header};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use serde_json::Value;

use super::{
    Authenticate, Flaw, Gone, Issue, Issued, Outcome, Probe, Probed, ProviderError, Refusal,
    Request, Revoke, Unknown,
    admin::{AdminToken, bearer, is_token},
    answer::{Answer, Object},
    budget::Lane,
    call::{Call, Line, Operation},
    capabilities::{Capabilities, ERROVA_MACHINE_TOKEN},
    endpoint::{Endpoint, UnsafeSegment},
    outcome::{Class, refusal},
};
use crate::{
    ledger::{
        ids::CredentialId,
        marker::Marker,
        proof::{Condemned, CreateOnce, Stored},
    },
    secret_value::SecretValue,
};

/// Where the vendor serves the API, if a connection does not say otherwise.
pub const DEFAULT_URL: &str = "https://api.errova.com/api";

/// Hosts that a tenant's connection may name.
pub const HOSTS: &[&str] = &["api.errova.com"];

/// A longer value is no token: it would not fit into a header.
const MAX_VALUE: usize = 4096;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The names under which an answer may hold what we need. The first that is there counts.
struct Names {
    /// Objects one level down, beside the top level itself.
    inside: &'static [&'static str],
    value: &'static [&'static str],
    id: &'static [&'static str],
    label: &'static [&'static str],
    scopes: &'static [&'static str],
}

/// Documented is `tokenSecret` alone.
const MACHINE_TOKEN: Names = Names {
    inside: &["machineToken", "token", "data"], // not `project` or `key`: their ids are not ours to delete
    value: &["tokenSecret"],
    id: &["id", "tokenId", "machineTokenId"],
    label: &["label"],
    scopes: &["scopes"],
};

/// Members of which an error of Errova's own has at least one. A guess, so that a proxy's page is none.
const ERROR_MEMBERS: [&str; 6] = ["error", "errors", "message", "code", "detail", "statusCode"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateMachineToken<'a> {
    label: &'a str,
    scopes: &'a [String],
}

#[derive(Serialize)]
struct Nothing {}

/// The machine tokens of one organization, through one connection. Cheap to clone.
#[derive(Clone)]
pub struct Errova {
    line: Line,
    endpoint: Endpoint,
    organization: String,
    admin: Arc<AdminToken>,
    lane: Lane,
}

impl Errova {
    /// What can be done with machine tokens here.
    pub const CAPABILITIES: Capabilities = ERROVA_MACHINE_TOKEN;

    /// Talks to `organization` with `admin`. An organization that cannot stand in a path is refused.
    pub fn new(
        endpoint: Endpoint,
        organization: &str,
        admin: AdminToken,
        line: Line,
    ) -> Result<Self, UnsafeSegment> {
        endpoint.at(&[organization])?;
        Ok(Self {
            line,
            endpoint,
            organization: organization.to_owned(),
            admin: Arc::new(admin),
            lane: Lane::Issue,
        })
    }

    /// The same, with issues and probes standing in this lane: only the caller knows what they are for.
    #[must_use]
    pub fn in_lane(&self, lane: Lane) -> Self {
        Self {
            lane,
            ..self.clone()
        }
    }

    /// A request below the organization. `None` if it cannot be built, which a checked organization, id
    /// and token leave no room for.
    fn request(
        &self,
        method: Method,
        segments: &[&str],
        authorization: Option<HeaderValue>,
        body: Option<&impl Serialize>,
    ) -> Option<http::Request<Bytes>> {
        let path = [&["organizations", &self.organization], segments].concat();
        let builder = http::Request::builder()
            .method(method)
            .uri(self.endpoint.at(&path).ok()?)
            .header(header::ACCEPT, "application/json")
            .header(header::AUTHORIZATION, authorization?);
        match body {
            None => builder.body(Bytes::new()),
            Some(body) => builder
                .header(header::CONTENT_TYPE, "application/json")
                .body(serde_json::to_vec(body).ok()?.into()),
        }
        .ok()
    }

    fn create_request(&self, marker: &Marker, request: &Request) -> Option<http::Request<Bytes>> {
        let label = marker.label(&request.display_name, Self::CAPABILITIES.label_max);
        let body = CreateMachineToken {
            label: &label,
            scopes: &request.scopes,
        };
        let segments = ["machine-tokens"];
        let mut create = self.request(Method::POST, &segments, self.admin.bearer(), Some(&body))?;
        // Harmless where it is ignored; nothing relies on it.
        let nonce = HeaderValue::from_str(marker.nonce.as_str()).ok()?;
        create.headers_mut().insert(IDEMPOTENCY_KEY, nonce);
        Some(create)
    }

    async fn create(&self, create: CreateOnce, request: &Request) -> Outcome {
        let marker = create.marker().clone();
        let Some(message) = self.create_request(&marker, request) else {
            return Outcome::Refused(Refusal::NotSent);
        };
        let call = call(Operation::MachineTokenCreate, self.lane, message);
        match self.line.create(create, call).await {
            Class::NotSent => Outcome::Refused(Refusal::NotSent),
            Class::Rejected(status) => Outcome::Refused(refusal(status)),
            Class::Ambiguous => Outcome::Unknown(Unknown {
                id: None,
                unreadable: false,
            }),
            Class::Accepted(body) => self.possession(&Answer::read(&body), &marker, request),
        }
    }

    /// What a 2xx puts into our hands.
    fn possession(&self, answer: &Answer, marker: &Marker, request: &Request) -> Outcome {
        let names = &MACHINE_TOKEN;
        let objects = || answer.objects(names.inside);
        let home = objects().find(|object| object.text(names.value).is_some());
        // Beside the value first: an `id` further up may be the id of something else.
        let id = home
            .into_iter()
            .chain(objects())
            .find_map(|object| object.text(names.id))
            .and_then(|id| CredentialId::parse(id.expose()).ok());
        let value = home
            .filter(|_| answer.is_whole())
            .and_then(|object| object.text(names.value))
            .filter(|value| value.expose().len() <= MAX_VALUE && is_token(value.expose()));
        match (id, value, home) {
            // Ours would go to a tenant; and the id beside it may be ours, too.
            (_, Some(value), _) if self.admin.is(value) => Outcome::Unknown(Unknown {
                id: None,
                unreadable: true,
            }),
            (Some(id), Some(value), Some(home)) => Outcome::Issued(Issued {
                id,
                value: value.duplicate(),
                flaw: flaw(home, names, marker, request),
            }),
            (id, ..) => Outcome::Unknown(Unknown {
                id,
                unreadable: true,
            }),
        }
    }

    /// Whether a value authenticates, found out by changing a key that cannot exist: an answer other than
    /// 401 comes from behind the door.
    async fn negative_probe(
        &self,
        lane: Lane,
        authorization: Option<HeaderValue>,
    ) -> Result<Probed, ProviderError> {
        let project = format!("handover-probe-{}", nonce()?);
        let segments = ["projects", &project, "keys", "0"];
        let request = self
            .request(Method::PATCH, &segments, authorization, Some(&Nothing {}))
            .ok_or(ProviderError::NotSent)?;
        let call = call(Operation::AuthCheck, lane, request);
        match self.line.call(call).await {
            Err(ProviderError::Unauthenticated) => Ok(Probed::Refused),
            Ok(_) | Err(ProviderError::Forbidden | ProviderError::Rejected(_)) => {
                Ok(Probed::Accepted)
            }
            Err(
                error @ (ProviderError::NotSent
                | ProviderError::Unavailable
                | ProviderError::Throttled),
            ) => Err(error),
        }
    }

    /// One DELETE: whether it was there for us.
    async fn delete(&self, id: &CredentialId) -> Result<Deleted, ProviderError> {
        let segments = ["machine-tokens", id.as_str()];
        let request = self
            .request(
                Method::DELETE,
                &segments,
                self.admin.bearer(),
                None::<&Nothing>,
            )
            .ok_or(ProviderError::NotSent)?;
        let call = call(Operation::MachineTokenDelete, Lane::Revoke, request);
        match self.line.call(call).await {
            Ok(_) => Ok(Deleted::Now),
            Err(ProviderError::Rejected(404 | 410)) => Ok(Deleted::NotThere),
            Err(error) => Err(error),
        }
    }
}

enum Deleted {
    Now,
    NotThere,
}

impl Issue for Errova {
    fn issue<'a>(&'a self, create: CreateOnce, request: &'a Request) -> BoxFuture<'a, Outcome> {
        Box::pin(self.create(create, request))
    }
}

impl Probe for Errova {
    fn probe<'a>(
        &'a self,
        value: &'a Stored<SecretValue>,
    ) -> BoxFuture<'a, Result<Probed, ProviderError>> {
        Box::pin(self.negative_probe(self.lane, bearer(value.get())))
    }
}

impl Revoke for Errova {
    fn revoke<'a>(
        &'a self,
        condemned: &'a Condemned,
    ) -> BoxFuture<'a, Result<Gone, ProviderError>> {
        Box::pin(async {
            // One 404 may be a replica that lags or a route that is gone for a moment. The route is
            // documented and the id came from a create, so the second one is proof.
            if let Deleted::NotThere = self.delete(condemned.id()).await? {
                self.delete(condemned.id()).await?;
            }
            Ok(Gone)
        })
    }
}

impl Authenticate for Errova {
    fn authenticate(&self) -> BoxFuture<'_, Result<(), ProviderError>> {
        Box::pin(async {
            match self
                .negative_probe(Lane::Check, self.admin.bearer())
                .await?
            {
                Probed::Accepted => Ok(()),
                Probed::Refused => Err(ProviderError::Unauthenticated),
            }
        })
    }
}

impl fmt::Debug for Errova {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Errova")
            .field("endpoint", &self.endpoint)
            .field("organization", &self.organization)
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}

fn call(operation: Operation, lane: Lane, request: http::Request<Bytes>) -> Call {
    Call {
        operation,
        lane,
        request,
        own_shape,
    }
}

fn own_shape(body: &Value) -> bool {
    ERROR_MEMBERS
        .iter()
        .any(|member| body.get(member).is_some())
}

/// What an echo shows to be wrong. No echo, no flaw: none is documented.
fn flaw(object: &Object, names: &Names, marker: &Marker, request: &Request) -> Option<Flaw> {
    let asked: BTreeSet<&str> = request.scopes.iter().map(String::as_str).collect();
    let scopes = object.texts(names.scopes);
    if scopes
        .is_some_and(|got| got.iter().map(SecretValue::expose).collect::<BTreeSet<_>>() != asked)
    {
        return Some(Flaw::WrongScopes);
    }
    let label = object.text(names.label)?;
    let ours = Marker::parse(label.expose()).as_ref() == Some(marker);
    (!ours).then_some(Flaw::WrongLabel)
}

/// Digits that no project's name ends in.
fn nonce() -> Result<String, ProviderError> {
    let mut bytes = [0; 8];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| ProviderError::NotSent)?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

#[cfg(test)]
mod contract;
#[cfg(test)]
mod tests;

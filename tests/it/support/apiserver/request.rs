//! From an HTTP request to what it asks for.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use axum::extract::Query;
use http::{Method, header, request::Parts};
use jiff::Timestamp;
use serde_json::Value;

use super::{failure::Failure, kinds::Kind, store::Store};

const LARGEST_BODY: usize = 3 * 1024 * 1024;

/// The verbs of Kubernetes' authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    Create,
    Get,
    List,
    Watch,
    Update,
    Patch,
    Delete,
}

impl Verb {
    /// Whether it changes objects.
    pub(crate) fn writes(self) -> bool {
        matches!(
            self,
            Self::Create | Self::Update | Self::Patch | Self::Delete
        )
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

/// One request as hooks, checks and the log see it: never a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestInfo {
    /// Counts the requests of this server from 1.
    pub(crate) seq: usize,
    /// When it arrived.
    pub(crate) at: Timestamp,
    /// The name that the client was made with.
    pub(crate) client: String,
    pub(crate) verb: Verb,
    pub(crate) group: String,
    /// The plural, `secrets`.
    pub(crate) resource: String,
    pub(crate) subresource: Option<String>,
    pub(crate) namespace: Option<String>,
    /// For a create the name in the body.
    pub(crate) name: Option<String>,
    pub(crate) dry_run: bool,
}

impl fmt::Display for RequestInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seq, at, client, ..
        } = self;
        write!(
            f,
            "#{seq} {at} {client} {} {}",
            self.verb.as_str(),
            self.resource
        )?;
        if let Some(subresource) = &self.subresource {
            write!(f, "/{subresource}")?;
        }
        let namespace = self.namespace.as_deref().unwrap_or_default();
        let name = self.name.as_deref().unwrap_or_default();
        write!(f, " {namespace}/{name}")?;
        f.write_str(if self.dry_run { " (dry run)" } else { "" })
    }
}

/// The query parameters that mean something here.
#[derive(Debug, Default)]
pub(super) struct Parameters(HashMap<String, String>);

impl Parameters {
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self.get(name), "true" | "1")
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        match self.get(name) {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| Failure::bad_request(format!("invalid {name}: {text:?}"))),
        }
    }

    /// How long the caller lets a request take. `0s` sets no limit, as in the real server.
    pub(super) fn timeout(&self) -> Result<Option<Duration>, Failure> {
        match self.get("timeout") {
            "" => Ok(None),
            text => duration(text)
                .map(|limit| (!limit.is_zero()).then_some(limit))
                .ok_or_else(|| {
                    Failure::bad_request("invalid timeout specified in the request URL")
                }),
        }
    }
}

/// A Go duration: `1m30s`, `250ms`, `1.5h`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        rest = tail;
    }
    Some(total)
}

/// How an update is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Whole,
    MergePatch,
    JsonPatch,
    Apply,
}

/// A request, understood.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) info: RequestInfo,
    pub(super) target: Target,
    pub(super) parameters: Parameters,
    pub(super) format: Format,
    /// Only metadata was asked for.
    pub(super) metadata_only: bool,
    pub(super) body: Value,
}

/// What a request is about.
#[derive(Debug)]
pub(super) enum Target {
    Resource(Arc<Kind>),
    /// `selfsubjectaccessreviews`: answered, never stored.
    AccessReview,
}

struct Path<'a> {
    group: &'a str,
    version: &'a str,
    resource: &'a str,
    namespace: Option<&'a str>,
    name: Option<&'a str>,
    subresource: Option<&'a str>,
}

impl<'a> Path<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let mut parts = path.trim_matches('/').split('/');
        let (group, version) = match parts.next()? {
            "api" => ("", parts.next()?),
            "apis" => (parts.next()?, parts.next()?),
            _ => return None,
        };
        let rest: Vec<&str> = parts.collect();
        let (namespace, rest) = match rest.as_slice() {
            // `namespaces/x/status` is about the Namespace, `namespaces/x/secrets` is inside it.
            ["namespaces", _, "status"] => (None, rest.as_slice()),
            ["namespaces", namespace, inside @ ..] if !inside.is_empty() => {
                (Some(*namespace), inside)
            }
            whole => (None, whole),
        };
        let (&resource, rest) = rest.split_first()?;
        if rest.len() > 2 {
            return None;
        }
        Some(Self {
            group,
            version,
            resource,
            namespace,
            name: rest.first().copied(),
            subresource: rest.get(1).copied(),
        })
    }
}

/// Understands a request, or says why not; the first part of the answer goes into the log either way.
pub(super) fn parse(
    store: &Store,
    (seq, at, client): (usize, Timestamp, String),
    head: &Parts,
    body: &[u8],
) -> Result<Call, Failure> {
    let path = Path::parse(head.uri.path()).ok_or_else(Failure::no_such_resource)?;
    let Query(parameters) = Query::try_from_uri(&head.uri)
        .map_err(|_| Failure::bad_request("unable to parse the query"))?;
    let parameters = Parameters(parameters);
    let verb = verb(&head.method, path.name.is_some(), &parameters)?;
    if body.len() > LARGEST_BODY {
        return Err(Failure::too_large());
    }
    let body = match body {
        [] => Value::Null,
        text => serde_json::from_slice(text)
            .map_err(|_| Failure::bad_request("the body of the request is not JSON"))?,
    };
    let named = path.name.or_else(|| body["metadata"]["name"].as_str());
    let dry_run =
        parameters.get("dryRun") == "All" || verb == Verb::Delete && body["dryRun"][0] == "All";
    let target = target(store, &path)?;
    if let Target::Resource(kind) = &target
        && verb != Verb::List
        && verb != Verb::Watch
        && kind.namespaced != path.namespace.is_some()
    {
        return Err(Failure::method_not_allowed());
    }
    Ok(Call {
        target,
        format: format(head, verb, &parameters)?,
        metadata_only: header_of(head, header::ACCEPT).contains("as=PartialObjectMetadata"),
        info: RequestInfo {
            seq,
            at,
            client,
            verb,
            group: path.group.to_owned(),
            resource: path.resource.to_owned(),
            subresource: path.subresource.map(str::to_owned),
            namespace: path.namespace.map(str::to_owned),
            name: named.map(str::to_owned),
            dry_run,
        },
        parameters,
        body,
    })
}

fn target(store: &Store, path: &Path<'_>) -> Result<Target, Failure> {
    if (path.group, path.resource) == ("authorization.k8s.io", "selfsubjectaccessreviews") {
        return Ok(Target::AccessReview);
    }
    let kind = store
        .kind(path.group, path.version, path.resource)
        .ok_or_else(Failure::no_such_resource)?;
    match path.subresource {
        None => Ok(Target::Resource(kind)),
        Some("status") if kind.status => Ok(Target::Resource(kind)),
        Some(_) => Err(Failure::no_such_resource()),
    }
}

fn verb(method: &Method, named: bool, parameters: &Parameters) -> Result<Verb, Failure> {
    Ok(match (method.as_str(), named) {
        ("POST", false) => Verb::Create,
        ("GET", _) if parameters.is("watch") => Verb::Watch,
        ("GET", true) => Verb::Get,
        ("GET", false) => Verb::List,
        ("PUT", true) => Verb::Update,
        ("PATCH", true) => Verb::Patch,
        ("DELETE", true) => Verb::Delete,
        _ => return Err(Failure::method_not_allowed()),
    })
}

fn format(head: &Parts, verb: Verb, parameters: &Parameters) -> Result<Format, Failure> {
    match (verb, header_of(head, header::CONTENT_TYPE)) {
        (Verb::Patch, "application/merge-patch+json") => Ok(Format::MergePatch),
        (Verb::Patch, "application/json-patch+json") => Ok(Format::JsonPatch),
        (Verb::Patch, "application/apply-patch+yaml") => match parameters.get("fieldManager") {
            "" => Err(Failure::no_field_manager()),
            _ => Ok(Format::Apply),
        },
        (Verb::Patch, other) => Err(Failure::unsupported_media_type(other)),
        _ => Ok(Format::Whole),
    }
}

fn header_of(head: &Parts, name: header::HeaderName) -> &str {
    head.headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

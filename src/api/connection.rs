//! Where credentials are issued, and as whom: `ClusterConnection` and `Connection`.
//!
//! The two differ in who may write them. A `ClusterConnection` belongs to the platform team, reads its
//! credential from the operator's namespace and says who may have what; a `Connection` belongs to a
//! namespace, reads a Secret of that namespace and serves it alone.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    DNS_SUBDOMAIN, Invalid,
    access::{AccessRule, NAMESPACES_REFUSED, NAMESPACES_REQUIRED},
    cel, condition,
    moment::Moment,
    span::Span,
};

/// Where Errova's management API is, unless `url` says otherwise.
pub const ERROVA_URL: &str = "https://api.errova.com/api";

/// The longest a request may take: the Pod's grace period is this and half a minute to store the answer.
const TIMEOUT_CEILING: Duration = Duration::from_secs(60);

/// The spec of a `ClusterConnection`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "handover.dev",
    version = "v1alpha1",
    kind = "ClusterConnection",
    plural = "clusterconnections",
    singular = "clusterconnection",
    shortname = "ccon",
    category = "handover",
    status = "ConnectionStatus",
    derive = "PartialEq",
    doc = "A provider account that the platform team offers to namespaces.\n\n\
        Its admin credential is a key of a Secret in the operator's namespace. `access` says which \
        namespaces may have what; without a rule it serves nobody.\n\n\
        Providers: `errova` needs `organization` and `auth.bearer`, a machine token with the scope \
        org.admin; `url` defaults to https://api.errova.com/api.\n\n\
        Annotations: `handover.dev/reconcile-requested-at: <RFC 3339 time>` checks the connection once \
        more."
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterConnectionSpec {
    /// What both kinds of connection have.
    #[serde(flatten)]
    pub settings: ConnectionSettings,

    /// Who may have what. The first rule that admits namespace and kind counts. Without a rule the
    /// connection serves nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(
        validation = Rule::new("self.all(rule, has(rule.namespaces))").message(NAMESPACES_REQUIRED),
        merge_strategy = ListMerge::Atomic
    )]
    pub access: Option<Vec<AccessRule>>,
}

/// The spec of a `Connection`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "handover.dev",
    version = "v1alpha1",
    kind = "Connection",
    plural = "connections",
    singular = "connection",
    shortname = "con",
    category = "handover",
    namespaced,
    status = "ConnectionStatus",
    derive = "PartialEq",
    doc = "A provider account of one namespace.\n\n\
        Its admin credential is a key of a Secret in the same namespace. The host of `url` must be the \
        provider's documented one, or one that the installation allows.\n\n\
        Providers: `errova` needs `organization` and `auth.bearer`, a machine token with the scope \
        org.admin; `url` defaults to https://api.errova.com/api.\n\n\
        Annotations: `handover.dev/reconcile-requested-at: <RFC 3339 time>` checks the connection once \
        more."
)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionSpec {
    /// What both kinds of connection have.
    #[serde(flatten)]
    pub settings: ConnectionSettings,

    /// Ceilings for the resources of the namespace. The first rule that admits the kind counts. Default:
    /// no ceiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(
        validation = Rule::new("self.all(rule, !has(rule.namespaces))").message(NAMESPACES_REFUSED),
        merge_strategy = ListMerge::Atomic
    )]
    pub access: Option<Vec<AccessRule>>,
}

/// What both kinds of connection have.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionSettings {
    /// Which provider, and as whom: exactly one of `errova`. The choice cannot change later, since
    /// credentials are revoked where they were issued.
    #[x_kube(
        validation = Rule::new("has(self.errova)").message(ONE_PROVIDER),
        validation = Rule::new("has(self.errova) == has(oldSelf.errova)").message(
            "provider cannot change: make another connection and refer to it"
        )
    )]
    pub provider: Provider,

    /// The base URL of the management API: https, or http to a host that the installation allows; no
    /// userinfo, query or fragment. Default: the provider's documented one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(
        validation = Rule::new("self.startsWith('https://') || self.startsWith('http://')")
            .message(URL_SCHEME),
        validation = Rule::new("!self.contains('?') && !self.contains('#') && \
            !self.matches('^[a-z]+://[^/]*@')").message(URL_PARTS),
        validation = Rule::new(format!("!self.matches('^https?://[^?#@]*$') || self.matches('{URL}')"))
            .message(URL_HOST)
    )]
    pub url: Option<String>,

    /// How many creates of one resource may stay unresolved (outcome unknown, and no way to find out)
    /// before issuing stops for it. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_unresolved: Option<i32>,

    /// A level for all credentials of the connection: one issued before this instant (RFC 3339, UTC,
    /// whole seconds) is replaced, with overlap. Reverting or repeating it does nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_after: Option<Moment>,

    /// How requests to the provider are sent. One budget for the whole connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Requests>,
}

/// A provider: exactly one of the fields.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Provider {
    /// Errova.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errova: Option<Errova>,
}

/// An organization at Errova.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Errova {
    /// The slug of the organization, as its URLs show it.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]*$")
    )]
    pub organization: String,

    /// How Handover authenticates: exactly one of `bearer`.
    #[x_kube(validation = Rule::new("has(self.bearer)").message(ONE_SCHEME))]
    pub auth: ErrovaAuth,
}

/// A scheme of authentication: exactly one of the fields.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ErrovaAuth {
    /// A machine token with the scope `org.admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer: Option<AuthSecret>,
}

/// A credential that is kept in a Secret.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct AuthSecret {
    /// The key of the Secret that holds it: of the operator's namespace for a `ClusterConnection`, of
    /// the same namespace for a `Connection`. White space around the value is ignored.
    pub secret_ref: SecretRef,
}

/// A key of a Secret.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct SecretRef {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_SUBDOMAIN))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// The budget of requests to a provider.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    /// How many requests a minute. Default: 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 6_000))]
    pub per_minute: Option<i32>,

    /// How many requests at the same time. Default: 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub in_flight: Option<i32>,

    /// How long one request may take in all, such as `30s`, the default. At most `60s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(cel::at_most("self", 60)).message(Message::Expression(
        "'requests.timeout (' + self + ') is above the ceiling of 60s: write 60s or less'".into()
    )))]
    pub timeout: Option<Span>,
}

/// What was seen of a connection.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionStatus {
    /// `Ready`: an authenticated call succeeded. `Reconciling` and `Stalled` while that is not so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::schema")]
    pub conditions: Vec<Condition>,

    /// The `metadata.generation` that the conditions are about; -1 before any was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The provider, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub provider: Option<String>,

    /// The base URL as it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub url: Option<String>,

    /// How many credentials of this connection are alive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<i64>,

    /// How many credentials of this connection are still to be revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_revocations: Option<i64>,

    /// The annotation `handover.dev/reconcile-requested-at` that was last acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_handled_reconcile_at: Option<String>,
}

const ONE_PROVIDER: &str = "provider needs exactly one block: write errova";
const ORGANIZATION: &str =
    "provider.errova.organization is no slug: write it as the URLs of the organization show it";
const ONE_SCHEME: &str = "provider.errova.auth needs exactly one scheme: write bearer";
const URL: &str = "^https?://[A-Za-z0-9.:-]+(/[^?# ]*)?$";
// A URL may hold a password by mistake: none of these messages repeats it.
const URL_SCHEME: &str = "url must begin with https:// or http://: correct the scheme";
const URL_PARTS: &str = "url may have no userinfo, query or fragment: remove it; credentials belong into the Secret of provider.errova.auth";
const URL_HOST: &str = "url must be a scheme, a host, perhaps a port and a path, such as https://api.errova.com/api: correct it";

impl ConnectionSettings {
    /// The provider's block.
    pub fn errova(&self) -> Result<&Errova, Invalid> {
        self.provider
            .errova
            .as_ref()
            .ok_or_else(|| Invalid::new("spec.provider", ONE_PROVIDER))
    }

    /// The base URL, without a slash at its end.
    pub fn url(&self) -> &str {
        self.url
            .as_deref()
            .unwrap_or(ERROVA_URL)
            .trim_end_matches('/')
    }

    /// How many creates of one resource may stay unresolved.
    pub fn max_unresolved(&self) -> usize {
        self.max_unresolved
            .and_then(|max| usize::try_from(max).ok())
            .unwrap_or(1)
    }

    /// Requests a minute.
    pub fn per_minute(&self) -> u32 {
        positive(self.requests.as_ref().and_then(|r| r.per_minute), 60)
    }

    /// Requests at the same time.
    pub fn in_flight(&self) -> u32 {
        positive(self.requests.as_ref().and_then(|r| r.in_flight), 4)
    }

    /// How long one request may take.
    pub fn timeout(&self) -> Duration {
        let timeout = self.requests.as_ref().and_then(|r| r.timeout.as_ref());
        timeout.map_or(Duration::from_secs(30), Span::duration)
    }

    fn validate(&self) -> Result<(), Invalid> {
        self.errova()?.validate()?;
        if let Some(url) = &self.url {
            validate_url(url)?;
        }
        let timeout = self.requests.as_ref().and_then(|r| r.timeout.as_ref());
        if let Some(timeout) = timeout.filter(|t| t.duration() > TIMEOUT_CEILING) {
            let message = format!(
                "requests.timeout ({timeout}) is above the ceiling of 60s: write 60s or less"
            );
            return Err(Invalid::new("spec.requests.timeout", message));
        }
        Ok(())
    }
}

impl Errova {
    fn validate(&self) -> Result<(), Invalid> {
        let organization = &self.organization;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let fits = (1..=128).contains(&organization.len()) && organization.bytes().all(plain);
        if !fits || organization.starts_with('.') {
            return Err(Invalid::new(
                "spec.provider.errova.organization",
                ORGANIZATION,
            ));
        }
        self.bearer().map(drop)
    }

    /// The key that holds the admin token.
    pub fn bearer(&self) -> Result<&SecretRef, Invalid> {
        self.auth
            .bearer
            .as_ref()
            .map(|bearer| &bearer.secret_ref)
            .ok_or_else(|| Invalid::new("spec.provider.errova.auth", ONE_SCHEME))
    }
}

impl ClusterConnectionSpec {
    /// The rules of the kind, for objects the API server let through.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.settings.validate()?;
        self.access
            .iter()
            .flatten()
            .try_for_each(|rule| rule.validate(true))
    }
}

impl ConnectionSpec {
    /// The rules of the kind, for objects the API server let through.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.settings.validate()?;
        if self.access.as_ref().is_some_and(Vec::is_empty) {
            return Err(Invalid::new(
                "spec.access",
                "access is empty: write a rule, or remove it for no ceiling",
            ));
        }
        self.access
            .iter()
            .flatten()
            .try_for_each(|rule| rule.validate(false))
    }
}

fn positive(given: Option<i32>, default: u32) -> u32 {
    given
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| *n > 0)
        .unwrap_or(default)
}

/// The shape of a base URL; whether its host may be spoken to is a setting of the installation.
fn validate_url(url: &str) -> Result<(), Invalid> {
    let refuse = |message| Err(Invalid::new("spec.url", message));
    let Some(rest) = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
    else {
        return refuse(URL_SCHEME);
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') || rest.contains(['?', '#']) {
        return refuse(URL_PARTS);
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'-');
    let parses = url.parse::<http::Uri>().is_ok();
    if authority.is_empty() || !authority.bytes().all(plain) || path.contains(' ') || !parses {
        return refuse(URL_HOST);
    }
    Ok(())
}

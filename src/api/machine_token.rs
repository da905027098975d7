//! `MachineToken`: one token of a provider, kept issued, delivered and rotated.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    DNS_SUBDOMAIN, Invalid, cel, condition,
    moment::Moment,
    rotation::{BeforeExpiry, Gate, Rotation},
    span::Span,
    status::{Credential, PastCredential, Retiring, SuspectedOrphan},
    target::{SecretTemplate, is_reserved_name, name_rule},
};

/// The spec of a `MachineToken`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "handover.dev",
    version = "v1alpha1",
    kind = "MachineToken",
    plural = "machinetokens",
    singular = "machinetoken",
    shortname = "mt",
    category = "handover",
    namespaced,
    status = "MachineTokenStatus",
    derive = "PartialEq",
    doc = "A token for machines, issued at a provider and delivered into a Secret of this namespace.\n\n\
        A rotation creates and delivers the new token first; the one before it is revoked when the \
        overlap is over and no Pod uses it any more. Deleting the resource revokes the token and deletes \
        the Secret.\n\n\
        Values for spec.secret.keys: `token`, `id`, `expiresAt` (if the token expires).\n\n\
        Providers: `errova` needs `scopes`, such as org.read.\n\n\
        Annotations: `handover.dev/rotate-requested-at: <RFC 3339 time>` rotates once; \
        `handover.dev/reconcile-requested-at: <RFC 3339 time>` looks again; `handover.dev/paused: \
        \"true\"` holds back issue, rotation and delivery; `handover.dev/resolved-attempts: \"3,4\"` says \
        that these attempts of status.suspectedOrphans were settled by hand.",
    selectable = ".spec.connectionRef.name",
    selectable = ".spec.secret.name",
    validation = Rule::new(format!(
        "has(self.spec.secret) && has(self.spec.secret.name) || {}",
        name_rule("self.metadata.name")
    )).message(Message::Expression(
        "'metadata.name (' + self.metadata.name + ') is reserved as the name of a Secret: write \
         another spec.secret.name'".into()
    ))
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(cel::shorter("self.rotation.every", "self.expiresAfter", None))
        .message(Message::Expression(
            "'rotation.every (' + self.rotation.every + ') must be shorter than expiresAfter (' \
             + self.expiresAfter + '): write a shorter every or a longer expiresAfter'".into()
        )),
    validation = Rule::new(cel::shorter("self.rotation.overlap", "self.expiresAfter", Some(3_600)))
        .message(Message::Expression(
            "'rotation.overlap (' + (has(self.rotation) && has(self.rotation.overlap) ? \
             self.rotation.overlap : '1h, the default') + ') must be shorter than expiresAfter (' \
             + self.expiresAfter + '): write a shorter overlap or a longer expiresAfter'".into()
        )),
)]
pub struct MachineTokenSpec {
    /// Where the token is issued.
    pub connection_ref: ConnectionRef,

    /// What people see at the provider, behind Handover's own ownership marker; what does not fit there
    /// is cut. Default: `<namespace>/<name>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^\P{Cc}+$"))]
    pub display_name: Option<String>,

    /// What the token may do, in the provider's words, such as `org.read`. At least one; an access rule
    /// of the connection may set a ceiling. A change issues another token, with overlap.
    #[schemars(
        length(min = 1, max = 32),
        inner(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9._:-]+$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub scopes: Vec<String>,

    /// How long a token lives, such as `90d`; longer than `rotation.every` and `rotation.overlap`.
    /// Enforced by Handover where the provider knows no expiry. Default: the `maxLifetime` of the
    /// access rule, else no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_after: Option<Span>,

    /// When the token is replaced. Default: on request and before it expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,

    /// The Secret the token is delivered into. Default: a Secret of the resource's own name with every
    /// value under its own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretTemplate>,

    /// What happens to the token when the resource is deleted. `Revoke` (the default): it is revoked,
    /// and the Secret deleted. `Retain`: token and Secret stay, and are no longer looked after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DeletionPolicy")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// A connection, of this namespace or of the cluster.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ConnectionRef {
    /// `Connection` (the default): one of this namespace. `ClusterConnection`: one of the platform team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ConnectionKind")]
    pub kind: Option<ConnectionKind>,
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_SUBDOMAIN))]
    pub name: String,
}

/// The two kinds of connection.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[schemars(inline)]
pub enum ConnectionKind {
    /// Of one namespace.
    #[default]
    Connection,
    /// Of the cluster.
    ClusterConnection,
}

/// What happens to credentials when their resource is deleted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[schemars(inline)]
pub enum DeletionPolicy {
    /// They are revoked, and the target is deleted.
    #[default]
    Revoke,
    /// Credential and target stay.
    Retain,
}

/// What was seen of a `MachineToken`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MachineTokenStatus {
    /// `Ready`: the target Secret, read back, holds a verified, unrevoked token of this generation.
    /// `Reconciling` and `Stalled` while that is not so; `RotationBlocked` and `AmbiguousCreate` when
    /// they apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::schema")]
    pub conditions: Vec<Condition>,

    /// The `metadata.generation` that the conditions are about; -1 before any was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The connection, as `<Kind>/<name>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320))]
    pub connection: Option<String>,

    /// The name of the target Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub secret: Option<String>,

    /// The token in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,

    /// How many times the token was replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotations: Option<i64>,

    /// The last tokens, newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10))]
    pub history: Option<Vec<PastCredential>>,

    /// The token before the current one, while it is still valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1))]
    pub retiring: Option<Vec<Retiring>>,

    /// Creates whose outcome is unknown: a token may exist at the provider that nobody holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub suspected_orphans: Option<Vec<SuspectedOrphan>>,

    /// The annotation `handover.dev/reconcile-requested-at` that was last acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_handled_reconcile_at: Option<String>,

    /// The annotation `handover.dev/rotate-requested-at` that was last acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_handled_rotate_at: Option<String>,
}

impl ConnectionRef {
    /// The kind, defaulted.
    pub fn kind(&self) -> ConnectionKind {
        self.kind.unwrap_or_default()
    }
}

impl ConnectionKind {
    /// The kind, as manifests name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "Connection",
            Self::ClusterConnection => "ClusterConnection",
        }
    }
}

impl MachineToken {
    /// The name of the target Secret.
    pub fn secret_name(&self) -> &str {
        let given = self
            .spec
            .secret
            .as_ref()
            .and_then(|secret| secret.name.as_deref());
        given.or(self.metadata.name.as_deref()).unwrap_or_default()
    }

    /// What people see at the provider.
    pub fn display_name(&self) -> String {
        self.spec.display_name.clone().unwrap_or_else(|| {
            let namespace = self.metadata.namespace.as_deref().unwrap_or_default();
            let name = self.metadata.name.as_deref().unwrap_or_default();
            format!("{namespace}/{name}")
        })
    }

    /// The rules of the kind, for objects the API server let through, and what it cannot check:
    /// schedules and time zones.
    pub fn validate(&self) -> Result<(), Invalid> {
        let name = self.secret_name();
        if self.metadata.name.as_deref() == Some(name) && is_reserved_name(name) {
            let message = format!(
                "metadata.name ({name}) is reserved as the name of a Secret: write another spec.secret.name"
            );
            return Err(Invalid::new("metadata.name", message));
        }
        self.spec.validate()
    }
}

impl MachineTokenSpec {
    /// The minimum time both tokens stay valid.
    pub fn overlap(&self) -> Duration {
        self.rotation
            .as_ref()
            .map_or_else(|| Rotation::default().overlap(), Rotation::overlap)
    }

    /// The gates beside the overlap.
    pub fn wait_for(&self) -> &[Gate] {
        self.rotation
            .as_ref()
            .map_or(&[Gate::Pods], Rotation::wait_for)
    }

    /// What happens before expiry.
    pub fn before_expiry(&self) -> BeforeExpiry {
        self.rotation
            .as_ref()
            .map_or_else(BeforeExpiry::default, Rotation::before_expiry)
    }

    /// At which age the token is replaced.
    pub fn every(&self) -> Option<&Span> {
        self.rotation
            .as_ref()
            .and_then(|rotation| rotation.every.as_ref())
    }

    /// Tokens issued before this instant are replaced.
    pub fn issued_after(&self) -> Option<Moment> {
        self.rotation
            .as_ref()
            .and_then(|rotation| rotation.issued_after)
    }

    /// The type of the target Secret.
    pub fn secret_type(&self) -> &str {
        self.secret
            .as_ref()
            .map_or("Opaque", SecretTemplate::secret_type)
    }

    /// What happens to the token when the resource is deleted.
    pub fn deletion_policy(&self) -> DeletionPolicy {
        self.deletion_policy.unwrap_or_default()
    }

    fn validate(&self) -> Result<(), Invalid> {
        if self.scopes.is_empty() {
            return Err(Invalid::new(
                "spec.scopes",
                "scopes is empty: write at least one",
            ));
        }
        if let Some(rotation) = &self.rotation {
            rotation.validate()?;
        }
        if let Some(secret) = &self.secret {
            secret.validate()?;
        }
        self.expires_after
            .as_ref()
            .map_or(Ok(()), |life| self.validate_life(life))
    }

    fn validate_life(&self, life: &Span) -> Result<(), Invalid> {
        if let Some(every) = self
            .every()
            .filter(|every| every.duration() >= life.duration())
        {
            let message = format!(
                "rotation.every ({every}) must be shorter than expiresAfter ({life}): write a shorter every or a longer expiresAfter"
            );
            return Err(Invalid::new("spec.expiresAfter", message));
        }
        if self.overlap() >= life.duration() {
            let rotation = self.rotation.clone().unwrap_or_default();
            let overlap = rotation.overlap_text();
            let message = format!(
                "rotation.overlap ({overlap}) must be shorter than expiresAfter ({life}): write a shorter overlap or a longer expiresAfter"
            );
            return Err(Invalid::new("spec.expiresAfter", message));
        }
        Ok(())
    }
}

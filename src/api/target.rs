//! What the target Secret looks like.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    DNS_SUBDOMAIN, Invalid,
    annotations::{RESERVED_KEYS, RESERVED_PREFIXES, is_reserved},
    cel,
};

/// Secret types that give rights to whoever can write them.
const FORBIDDEN_TYPES: &[&str] = &[
    "kubernetes.io/service-account-token",
    "bootstrap.kubernetes.io/token",
    "helm.sh/release.v1",
];

/// Beginnings of names that belong to Handover's own Secrets, Helm releases and bootstrap tokens.
const RESERVED_NAMES: &[&str] = &[
    "ledger-",
    "handover-instance",
    "sh.helm.release.",
    "bootstrap-token-",
];

const KEYS: &str = "secret.keys: a key of a Secret has letters, digits, '-', '_' and '.' only, at most 253: rename it";
const LABELS: &str = "secret.labels: keys of Argo CD, Flux, Helm, kubectl, Kubernetes and Handover are refused: remove them";
const ANNOTATIONS: &str = "secret.annotations: keys of Argo CD, Flux, Helm, kubectl, Kubernetes and Handover are refused: remove them";

/// The Secret that workloads use. It is in the namespace of the resource, and never one that someone
/// else made.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretTemplate {
    /// The name of the Secret. Default: the name of the resource. Not beginning with `ledger-`,
    /// `handover-instance`, `sh.helm.release.` or `bootstrap-token-`. Two resources cannot share one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_SUBDOMAIN))]
    #[x_kube(validation = Rule::new(name_rule("self")).message(Message::Expression(
        "'secret.name (' + self + ') is reserved: choose another name'".into()
    )))]
    pub name: Option<String>,

    /// The type of the Secret. Default: `Opaque`. Types that give rights (service account and bootstrap
    /// tokens, Helm releases) are refused. The type of an existing Secret cannot change.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(format!("!(self in {})", cel::list(FORBIDDEN_TYPES))).message(
        Message::Expression(
            "'secret.type (' + self + ') gives rights and is refused: use Opaque'".into()
        )
    ))]
    pub type_: Option<String>,

    /// The keys of the Secret and the value each holds, such as `{ERROVA_TOKEN: token}`; only these are
    /// written. Values: `token`, `id` (of the credential), `expiresAt` (if it expires). Default: every
    /// value under its own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(k, k.matches('^[-._a-zA-Z0-9]{1,253}$'))").message(KEYS))]
    pub keys: Option<BTreeMap<String, ValueName>>,

    /// Labels of the Secret, beside those of Handover. Keys that tools use to track what they own
    /// (Argo CD, Flux, Helm, kubectl, Handover) are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = bounded_text(63)))]
    #[x_kube(validation = Rule::new(unreserved_rule()).message(LABELS))]
    pub labels: Option<BTreeMap<String, String>>,

    /// Annotations of the Secret, beside those of Handover, such as
    /// `{reloader.stakater.com/match: "true"}`. The same keys are refused as for labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = bounded_text(4_096)))]
    #[x_kube(validation = Rule::new(unreserved_rule()).message(ANNOTATIONS))]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// A value that the target Secret can hold.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum ValueName {
    /// The credential itself.
    Token,
    /// The provider's id of the credential.
    Id,
    /// When the credential expires; no key if it does not.
    ExpiresAt,
}

impl ValueName {
    /// Every value, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Token, Self::Id, Self::ExpiresAt];

    /// As `secret.keys` names it; also its default key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Id => "id",
            Self::ExpiresAt => "expiresAt",
        }
    }
}

/// Whether a target of this name would be taken for someone else's Secret.
pub(super) fn is_reserved_name(name: &str) -> bool {
    RESERVED_NAMES.iter().any(|start| name.starts_with(start))
}

/// The same for CEL.
pub(super) fn name_rule(name: &str) -> String {
    let reserved = cel::list(RESERVED_NAMES);
    format!("!{reserved}.exists(start, {name}.startsWith(start))")
}

fn unreserved_rule() -> String {
    let prefixes = cel::list(RESERVED_PREFIXES);
    let keys = cel::list(RESERVED_KEYS);
    format!("self.all(k, !(k in {keys}) && !{prefixes}.exists(p, k.startsWith(p)))")
}

fn bounded_text(max: u32) -> serde_json::Value {
    serde_json::json!({ "type": "string", "maxLength": max })
}

impl SecretTemplate {
    /// The type of the Secret.
    pub fn secret_type(&self) -> &str {
        self.type_.as_deref().unwrap_or("Opaque")
    }

    /// The rules of this part, for objects the API server let through.
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        let type_ = self.secret_type();
        if FORBIDDEN_TYPES.contains(&type_) {
            let message = format!("secret.type ({type_}) gives rights and is refused: use Opaque");
            return Err(Invalid::new("spec.secret.type", message));
        }
        if let Some(name) = self.name.as_deref().filter(|name| is_reserved_name(name)) {
            let message = format!("secret.name ({name}) is reserved: choose another name");
            return Err(Invalid::new("spec.secret.name", message));
        }
        if !self
            .keys
            .iter()
            .flatten()
            .all(|(key, _)| is_secret_key(key))
        {
            return Err(Invalid::new("spec.secret.keys", KEYS));
        }
        if self
            .labels
            .iter()
            .flatten()
            .any(|(key, _)| is_reserved(key))
        {
            return Err(Invalid::new("spec.secret.labels", LABELS));
        }
        if self
            .annotations
            .iter()
            .flatten()
            .any(|(key, _)| is_reserved(key))
        {
            return Err(Invalid::new("spec.secret.annotations", ANNOTATIONS));
        }
        Ok(())
    }
}

fn is_secret_key(key: &str) -> bool {
    (1..=253).contains(&key.len())
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

//! What status shows of credentials. All of it is derived from the ledger, none of it is read back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::moment::Moment;

/// The credential in use.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Credential {
    /// The provider's id.
    #[schemars(length(max = 128))]
    pub id: String,
    /// The ownership marker that its name at the provider begins with.
    #[schemars(length(max = 256))]
    pub label: String,
    /// The number of the attempt that issued it.
    pub attempt: i64,
    /// Counts the credentials that were in use; the target Secret carries the same number.
    pub epoch: i64,
    /// Why it was issued.
    pub cause: Cause,
    /// The id of the credential before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub previous_id: Option<String>,
    /// Whether it was seen to authenticate.
    pub proof: Proof,
    /// When it was issued.
    pub issued_at: Moment,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Moment>,
    /// Who ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ExpiryBy")]
    pub expiry_by: Option<ExpiryBy>,
    /// When it is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_rotation: Option<Moment>,
}

/// Why a credential was issued.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[schemars(inline)]
pub enum Cause {
    /// There was none.
    Created,
    /// Its time had come, by `every` or `schedule`.
    Scheduled,
    /// Someone asked, by `issuedAfter` or the annotation.
    Requested,
    /// The spec asks for another one, such as other scopes.
    SpecChanged,
    /// The one before would have expired.
    BeforeExpiry,
    /// The one before reached the end of its life first.
    Expired,
    /// Handover's own record of the one before was lost.
    LedgerLost,
}

impl Cause {
    /// As Events and metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Scheduled => "Scheduled",
            Self::Requested => "Requested",
            Self::SpecChanged => "SpecChanged",
            Self::BeforeExpiry => "BeforeExpiry",
            Self::Expired => "Expired",
            Self::LedgerLost => "LedgerLost",
        }
    }
}

/// Whether a credential was seen to authenticate before it was delivered.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[schemars(inline)]
pub enum Proof {
    /// It authenticated.
    Probed,
}

/// Who ends a credential when its time is over.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[schemars(inline)]
pub enum ExpiryBy {
    /// Handover revokes it: the provider has no end of life for it.
    Handover,
}

/// A credential that is gone.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct PastCredential {
    /// The provider's id.
    #[schemars(length(max = 128))]
    pub id: String,
    /// When it was issued.
    pub issued_at: Moment,
    /// Why it was issued.
    pub cause: Cause,
    /// When it was proven gone.
    pub revoked_at: Moment,
}

/// A credential that is no longer delivered and still valid.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Retiring {
    /// The provider's id.
    #[schemars(length(max = 128))]
    pub id: String,
    /// Since when another one is delivered.
    pub since: Moment,
    /// The earliest instant of its revocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoke_after: Option<Moment>,
    /// What still has to happen, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(max = 256)))]
    pub waiting_for: Option<Vec<String>>,
}

/// A create whose outcome is unknown.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct SuspectedOrphan {
    /// The number of the attempt, for the annotation `handover.dev/resolved-attempts`.
    pub attempt: i64,
    /// What was created.
    #[schemars(length(max = 32))]
    pub kind: String,
    /// The beginning of its name at the provider.
    #[schemars(length(max = 256))]
    pub label: String,
    /// When the create was sent.
    pub at: Moment,
}

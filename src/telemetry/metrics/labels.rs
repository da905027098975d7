//! The values that labels may have: closed enums, so that no id, url or message becomes one.

use std::fmt::{self, Write as _};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

use crate::{
    plan::{self, Because},
    provider::{self, ProviderError},
};

/// A closed enum whose variants are label values.
macro_rules! label_values {
    ($(#[$doc:meta])+ $name:ident { $($(#[$variant_doc:meta])+ $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])+ $variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// As it stands in metrics.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
                encoder.write_str(self.as_str())
            }
        }
    };
}

label_values! {
    /// The kinds of resources that have passes.
    Kind {
        /// `machinetokens.handover.dev`
        MachineToken = "MachineToken",
        /// `connections.handover.dev`
        Connection = "Connection",
        /// `clusterconnections.handover.dev`
        ClusterConnection = "ClusterConnection",
    }
}

label_values! {
    /// How a pass ended.
    PassOutcome {
        /// All is as it should be.
        Settled = "settled",
        /// Something is under way, or waits for a time.
        Waiting = "waiting",
        /// Something stands in the way; the conditions say what.
        Blocked = "blocked",
        /// The pass itself failed and is repeated.
        Failed = "failed",
    }
}

label_values! {
    /// How an effect ended.
    EffectOutcome {
        /// It happened.
        Done = "done",
        /// Somebody else was faster; the plan is made again.
        Superseded = "superseded",
        /// It did not happen, or nobody knows.
        Failed = "failed",
    }
}

label_values! {
    /// What became of a create.
    IssueOutcome {
        /// Id and value are in hand.
        Issued = "issued",
        /// Proven: nothing was created.
        Refused = "refused",
        /// The provider may have created it.
        Unknown = "unknown",
    }
}

label_values! {
    /// What became of a delete.
    RevocationOutcome {
        /// Proven: the credential is gone.
        Gone = "gone",
        /// Not proven; it is tried again.
        Failed = "failed",
    }
}

label_values! {
    /// Where a credential is in its life.
    State {
        /// Issued and stored, not verified yet.
        Pending = "pending",
        /// In use.
        Current = "current",
        /// Replaced, still valid.
        Retiring = "retiring",
        /// To be deleted at the provider.
        Deleting = "deleting",
        /// A create with an unknown outcome.
        Abandoned = "abandoned",
    }
}

label_values! {
    /// The providers.
    Provider {
        /// Errova.
        Errova = "errova",
    }
}

impl Kind {
    /// Whether resources of this kind have a ledger with credentials.
    pub(super) const fn has_credentials(self) -> bool {
        match self {
            Self::MachineToken => true,
            Self::Connection | Self::ClusterConnection => false,
        }
    }
}

impl From<&Because> for PassOutcome {
    fn from(because: &Because) -> Self {
        match because {
            Because::Settled | Because::Overlap(_) | Because::Paused => Self::Settled,
            Because::GatesClosed(_) | Because::Working(_) | Because::Leaving(None) => Self::Waiting,
            Because::Blocked(_) | Because::Leaving(Some(_)) => Self::Blocked,
        }
    }
}

impl From<&provider::Outcome> for IssueOutcome {
    fn from(outcome: &provider::Outcome) -> Self {
        match outcome {
            provider::Outcome::Issued(_) => Self::Issued,
            provider::Outcome::Refused(_) => Self::Refused,
            provider::Outcome::Unknown(_) => Self::Unknown,
        }
    }
}

impl From<&Result<provider::Gone, ProviderError>> for RevocationOutcome {
    fn from(result: &Result<provider::Gone, ProviderError>) -> Self {
        if result.is_ok() {
            Self::Gone
        } else {
            Self::Failed
        }
    }
}

/// The name of an effect, taken before the effect is consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EffectName(&'static str);

impl EffectName {
    /// As it stands in metrics.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl From<&plan::Effect> for EffectName {
    fn from(effect: &plan::Effect) -> Self {
        use plan::Effect;
        Self(match effect {
            Effect::Claim => "claim",
            Effect::Bury => "bury",
            Effect::Release => "release",
            Effect::RemoveTarget => "remove_target",
            Effect::Close => "close",
            Effect::Abandon(_) => "abandon",
            Effect::CondemnExpired => "condemn_expired",
            Effect::Revoke(_) => "revoke",
            Effect::Resolve(_) => "resolve",
            Effect::Rebuild => "rebuild",
            Effect::Rehearse => "rehearse",
            Effect::Issue(_) => "issue",
            Effect::Verify(_) => "verify",
            Effect::Reject(..) => "reject",
            Effect::Deliver => "deliver",
            Effect::StartOverlap(_) => "start_overlap",
            Effect::SuspendOverlap => "suspend_overlap",
            Effect::Inspect => "inspect",
            Effect::Prove(_) => "prove",
            Effect::Mark(_) => "mark",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BuildLabels {
    pub(super) version: &'static str,
    pub(super) commit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PassLabels {
    pub(super) kind: Kind,
    pub(super) outcome: PassOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct EffectLabels {
    pub(super) kind: Kind,
    pub(super) effect: &'static str,
    pub(super) outcome: EffectOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct IssueLabels {
    pub(super) kind: Kind,
    pub(super) cause: &'static str,
    pub(super) outcome: IssueOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RevocationLabels {
    pub(super) kind: Kind,
    pub(super) cause: &'static str,
    pub(super) outcome: RevocationOutcome,
}

//! Why a pass could not come to rest: one variant per action that failed.

use std::time::Duration;

use crate::{
    cluster::ClusterError,
    instance::InstanceError,
    ledger::{record::Owner, store::LedgerError},
};

/// A pass failed. Waiting, refusal by policy and conflict are plans, not errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The ledger could not be read.
    #[error("could not read the ledger of {owner}")]
    ReadLedger {
        /// Of whom.
        owner: Owner,
        /// Why.
        source: LedgerError,
    },
    /// The ledger could not be written.
    #[error("could not write the ledger of {owner}")]
    WriteLedger {
        /// Of whom.
        owner: Owner,
        /// Why.
        source: LedgerError,
    },
    /// The namespace's targets could not be seen.
    #[error("could not look at the target Secret of {owner}")]
    ReadTarget {
        /// Of whom.
        owner: Owner,
        /// Why.
        source: ClusterError,
    },
    /// The finalizer could not be put on or taken off.
    #[error("could not change the finalizer of {owner}")]
    Finalizer {
        /// Of whom.
        owner: Owner,
        /// Why.
        source: ClusterError,
    },
    /// Status could not be written.
    #[error("could not write the status of {owner}")]
    WriteStatus {
        /// Of whom.
        owner: String,
        /// Why.
        source: ClusterError,
    },
    /// The auth Secret of a connection could not be read.
    #[error("could not read the Secret of {connection}")]
    ReadAuth {
        /// Of which connection.
        connection: String,
        /// Why.
        source: ClusterError,
    },
    /// No nonce could be made.
    #[error("could not prepare a create for {owner}")]
    Prepare {
        /// For whom.
        owner: Owner,
        /// Why.
        source: InstanceError,
    },
    /// Effects follow each other without end.
    #[error("the plan for {owner} does not come to rest")]
    Restless {
        /// Whose.
        owner: Owner,
    },
    /// A pass panicked; the next one begins anew.
    #[error("a pass of {owner} ended unexpectedly")]
    Panicked {
        /// Whose.
        owner: String,
    },
}

impl Error {
    /// Whether it is about a request that the API server did not carry out.
    pub fn is_of_cluster(&self) -> bool {
        match self {
            Self::ReadLedger { source, .. } | Self::WriteLedger { source, .. } => {
                matches!(source, LedgerError::Cluster(_))
            }
            Self::ReadTarget { .. }
            | Self::Finalizer { .. }
            | Self::WriteStatus { .. }
            | Self::ReadAuth { .. } => true,
            Self::Prepare { .. } | Self::Restless { .. } | Self::Panicked { .. } => false,
        }
    }

    /// What it is, and why, in one line for people.
    pub fn told(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}; it is tried again"),
            None => format!("{self}; it is tried again"),
        }
    }

    /// When to try again after `failures` in a row.
    pub fn retry(&self, failures: u32) -> Duration {
        let first = match self {
            Self::ReadLedger { .. }
            | Self::WriteLedger { .. }
            | Self::ReadTarget { .. }
            | Self::Finalizer { .. }
            | Self::WriteStatus { .. }
            | Self::ReadAuth { .. }
            | Self::Prepare { .. } => Duration::from_millis(500),
            Self::Restless { .. } | Self::Panicked { .. } => Duration::from_secs(30),
        };
        first
            .saturating_mul(1 << failures.min(8))
            .min(Duration::from_secs(60))
    }
}

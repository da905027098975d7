//! What happened, in order: one entry per request that reached a provider, and per execution if a
//! fault made it two.
//!
//! Values stand here as digests only. The list grows with every call: it is a record of a test or a
//! demonstration, not of a service.

use jiff::Timestamp;
use serde::Serialize;

use super::{
    operation::{Operation, Provider},
    values::Digest,
};
use crate::ledger::marker::Marker;

/// One request, and what became of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// The position, from 0.
    pub sequence: usize,
    /// The true time, not the servers'.
    pub time: Timestamp,
    /// Whose interface was called.
    pub provider: Provider,
    /// The operation, if the route is one.
    pub op: Option<Operation>,
    /// The id of the credential that the request authenticated with.
    pub caller: Option<String>,
    /// The credential or project that was made, changed or removed, or that the path names.
    pub id: Option<String>,
    /// Its label, as the request or the stored credential has it.
    pub label: Option<String>,
    /// The number of the attempt, if the label carries a marker.
    pub attempt: Option<u64>,
    /// The nonce of the attempt, likewise.
    pub nonce: Option<String>,
    /// The digest of the value that was made.
    pub value: Option<Digest>,
    /// The status that was answered, or would have been.
    pub status: Option<u16>,
    /// Whether the operation changed the world.
    pub committed: bool,
    /// Whether the whole answer was handed to the connection.
    pub answered: bool,
}

impl AuditEntry {
    /// Sets the label, and what its marker says.
    pub(super) fn label(&mut self, label: Option<String>) {
        let marker = label.as_deref().and_then(Marker::parse);
        self.attempt = marker.as_ref().map(|marker| marker.generation.0);
        self.nonce = marker.map(|marker| marker.nonce.as_str().to_owned());
        self.label = label;
    }
}

/// The entries so far.
#[derive(Debug, Default)]
pub(super) struct Audit(Vec<AuditEntry>);

impl Audit {
    /// Appends an entry and says where it stands.
    pub(super) fn record(&mut self, mut entry: AuditEntry) -> usize {
        entry.sequence = self.0.len();
        self.0.push(entry);
        self.0.len() - 1
    }

    /// Notes that the answer of an entry has left.
    pub(super) fn answered(&mut self, sequence: usize) {
        if let Some(entry) = self.0.get_mut(sequence) {
            entry.answered = true;
        }
    }

    /// The entries from this position on.
    pub(super) fn since(&self, sequence: usize) -> Vec<AuditEntry> {
        self.0.get(sequence..).unwrap_or_default().to_vec()
    }
}

//! Rights that have to be won: who holds one may do the dangerous thing, once.
//!
//! None of these types is `Clone`, and their constructors belong to the ledger: a second POST for one
//! intent, a probe of a value that is not stored, or a DELETE of an id that may be in use does not
//! compile.

use tokio::time::Instant;

use super::{
    ids::{CredentialId, Generation},
    marker::Marker,
    record::Ledger,
};

/// An intent that this process armed and has to bring to an end: filled, disarmed or abandoned.
#[derive(Debug)]
pub struct Armed {
    generation: Generation,
}

impl Armed {
    pub(in crate::ledger) fn new(generation: Generation) -> Self {
        Self { generation }
    }

    /// Which attempt.
    pub fn generation(&self) -> Generation {
        self.generation
    }
}

/// The right to send one create, won by the compare-and-swap that armed the intent.
#[derive(Debug)]
pub struct CreateOnce {
    marker: Marker,
    not_after: Instant,
}

impl CreateOnce {
    pub(in crate::ledger) fn new(marker: Marker, not_after: Instant) -> Self {
        Self { marker, not_after }
    }

    /// For tests of providers, which have no ledger to win it from.
    #[cfg(test)]
    pub(crate) fn for_test(marker: Marker, not_after: Instant) -> Self {
        Self { marker, not_after }
    }

    /// What the credential is marked with.
    pub fn marker(&self) -> &Marker {
        &self.marker
    }

    /// The instant from which on it is too late: nobody waits longer for a turn to send it.
    pub fn not_after(&self) -> Instant {
        self.not_after
    }

    /// Past this instant the create must not be sent any more: the next holder may already have
    /// abandoned the intent.
    pub fn is_late(&self) -> bool {
        Instant::now() >= self.not_after
    }
}

/// A value as the ledger's reply or a read of the ledger showed it: it is durable.
#[derive(Debug)]
pub struct Stored<T>(T);

impl<T> Stored<T> {
    pub(in crate::ledger) fn new(value: T) -> Self {
        Self(value)
    }

    /// For tests of providers, which have no ledger to read from.
    #[cfg(test)]
    pub(crate) fn for_test(value: T) -> Self {
        Self(value)
    }

    /// The value.
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// An id that may be deleted at the provider: it stands in an absorbing state of its ledger, or was
/// issued and could not be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condemned {
    id: CredentialId,
}

impl Condemned {
    pub(in crate::ledger) fn new(id: CredentialId) -> Self {
        Self { id }
    }

    /// An id in the absorbing state of its ledger.
    pub fn by(ledger: &Ledger, id: &CredentialId) -> Option<Self> {
        let doomed = ledger
            .deleting
            .iter()
            .find(|doomed| doomed.origin.id == *id)?;
        Some(Self::new(doomed.origin.id.clone()))
    }

    /// An id that was issued for an intent and could not be kept: nobody will ever hold its value.
    pub fn unkept(_armed: Armed, id: CredentialId) -> Self {
        Self::new(id)
    }

    /// For tests of providers, which have no ledger to condemn by.
    #[cfg(test)]
    pub(crate) fn for_test(id: CredentialId) -> Self {
        Self { id }
    }

    /// What to delete.
    pub fn id(&self) -> &CredentialId {
        &self.id
    }
}

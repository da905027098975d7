//! Deadness: the one rule for destroying what a listing shows.
//!
//! Stable: once true for some past ledger it is never false again in a way that matters, since only an
//! armed intent can be filled, and a spent one never comes back. So a stale view can delay a deletion
//! but not misdirect it. A nonce that the ledger does not know is never dead: after a restore it may be
//! the credential in use.

use super::{
    ids::{CredentialId, Generation},
    marker::{InstanceId, Marker, Nonce, OwnerDigits},
    proof::Condemned,
    record::Ledger,
};

/// A credential as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The provider's id.
    pub id: CredentialId,
    /// The marker in front of its label.
    pub marker: Marker,
}

/// Whether `listed` may be deleted, by what `ledger` knows.
pub fn dead(listed: &Listed, ledger: &Ledger, instance: &InstanceId) -> Option<Condemned> {
    let Listed { id, marker } = listed;
    let ours = marker.instance == *instance
        && OwnerDigits::of_uid(&ledger.owner.uid).is_ok_and(|digits| digits == marker.owner);
    let recorded = ledger.recorded().any(|origin| origin.id == *id);
    let armed = ledger
        .intent
        .as_ref()
        .is_some_and(|intent| intent.generation == marker.generation);
    let spent = is_spent(ledger, marker.generation, &marker.nonce);
    (ours && !recorded && spent && !armed).then(|| Condemned::new(id.clone()))
}

fn is_spent(ledger: &Ledger, generation: Generation, nonce: &Nonce) -> bool {
    let recorded = ledger
        .recorded()
        .filter_map(|o| o.nonce.as_ref().map(|n| (o.generation, n)));
    let abandoned = ledger.abandoned.iter().map(|a| (a.generation, &a.nonce));
    let spent = ledger.spent.iter().map(|s| (s.generation, &s.nonce));
    recorded
        .chain(abandoned)
        .chain(spent)
        .any(|pair| pair == (generation, nonce))
}

#[cfg(test)]
mod tests;

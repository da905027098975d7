//! The authority: what was asked of a provider, what came back, and what may be destroyed.
//!
//! One Secret in the operator's own namespace per credential resource. Its record ([`record`]) holds
//! intent and ids, its data the values; every transition ([`transition`]) is one compare-and-swap
//! ([`store`]). Target and status are projections of it and are never read back for a decision.

pub mod dead;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod ids;
pub mod marker;
pub mod proof;
pub mod record;
pub mod store;
pub mod transition;

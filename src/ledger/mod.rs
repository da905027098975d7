//! The authority: what was asked of a provider, what came back, and what may be destroyed.

pub mod ids;
pub mod marker;
pub mod proof;

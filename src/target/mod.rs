//! The target Secret: what workloads consume. A projection of the ledger, always rebuildable from it.

pub mod mac;
pub mod render;
pub mod sighting;
pub mod store;

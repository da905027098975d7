//! Logs, metrics, and the endpoints that show them.
pub mod events;
pub mod metrics;

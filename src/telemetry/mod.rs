//! What Handover tells about itself: logs, metrics, Events, and the endpoints that show them.
//!
//! Nothing here decides anything, and nothing here may hold up a pass or show a value.

pub mod admin;
pub mod events;
pub mod logs;
pub mod metrics;

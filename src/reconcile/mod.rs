//! Thin shells around the planner: gather what is, plan, act one effect, look at its reply, and again;
//! at rest, report.
//!
//! ```text
//!   resource ─┐                     ┌──────── ledger Secret (operator's namespace): intent, ids, values
//!   ledger ───┤  gather   plan      │ act         │  compare-and-swap
//!   target ───┼────────► (pure) ────┼────────► one effect ──► provider / ledger / target
//!   Pods ─────┘  World    Plan      │             │ its reply is the next observation
//!                           ▲       │             ▼
//!                           └───────┴───────── World          at rest ──► report: status, Event, metric
//! ```

pub mod connection;
mod connection_status;
pub mod connections;
pub mod context;
pub mod credential;
pub mod deletion;
pub mod deliver;
pub mod error;
pub mod gather;
pub mod issue;
pub mod ledgers;
pub mod leftovers;
pub mod machine_token;
pub mod pass;
pub mod pods;
mod report;
pub mod retire;
pub mod status;
pub mod targets;
pub mod verdict;
mod verify;
mod wish;

pub use context::Context;
pub use error::Error;

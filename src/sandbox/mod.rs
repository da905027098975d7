//! A real control plane on loopback, and the story that is told on it.
//!
//! ```text
//!   up ──► assets ──► control_plane ──► installation (chart, connection)
//!    │                                        │
//!    ├──► provider (simulator) ◄── operator ──┘   a process under the chart's own rights
//!    │        ▲          ▲
//!    │     consumer   journal ◄── audit log of the API server
//!    ▼        │          │
//!   story ────┴──────────┴──► narrator
//! ```

pub mod assets;
pub mod control_plane;
pub mod operator;
pub mod progress;
pub mod provider;
pub mod settings;
pub mod up;

mod consumer;
mod error;
mod installation;
mod journal;
mod narrator;
mod stage;
mod story;

pub use error::SandboxError;

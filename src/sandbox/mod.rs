//! A real control plane on loopback, and the story that is told on it.

pub mod assets;
pub mod control_plane;
pub mod progress;
pub mod settings;

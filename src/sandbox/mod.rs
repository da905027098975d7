//! A real control plane on loopback, and the story that is told on it.

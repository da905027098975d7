//! Logs, metrics, and the endpoints that show them.

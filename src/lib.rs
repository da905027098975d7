//! Handover issues API credentials that are shown only once, and keeps them right.

pub mod api;
pub mod cli;
pub mod clock;
pub mod ledger;
pub mod provider;
pub mod sandbox;
pub mod secret_value;
pub mod simulator;
pub mod telemetry;
pub mod transport;
pub mod yaml;

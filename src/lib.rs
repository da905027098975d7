//! Handover issues API credentials that are shown only once, and keeps them right.

pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod instance;
pub mod ledger;
pub mod moment;
pub mod plan;
pub mod provider;
pub mod reconcile;
pub mod sandbox;
pub mod secret_value;
pub mod settings;
pub mod simulator;
pub mod target;
pub mod telemetry;
pub mod transport;
pub mod yaml;

//! Handover issues API credentials that are shown only once, delivers them as Kubernetes Secrets, and
//! replaces them by creating and distributing the new one before the old one is revoked.
//!
//! Between a provider's management API and Kubernetes there is no transaction, mostly no idempotency key,
//! and a lost answer is a lost secret. So every intent is recorded before it is acted on, an id and its
//! value become durable in one write, nothing is ever sent twice, and only what is recorded as doomed is
//! deleted.
//!
//! ```text
//!   resource ─┐                     ┌──────── ledger Secret (operator's namespace): intent, ids, values
//!   ledger ───┤  gather   plan      │ act         │  compare-and-swap
//!   target ───┼────────► (pure) ────┼────────► one effect ──► provider / ledger / target
//!   Pods ─────┘  World    Plan      │             │ its reply is the next observation
//!                           ▲       │             ▼
//!                           └───────┴───────── World          at rest ──► report: status, Event, metric
//! ```
//!
//! # Layout
//!
//! | module | what it is |
//! |---|---|
//! | [`api`] | the custom resources: data and documentation |
//! | [`ledger`] | the authority: record, transitions, marker, proofs, and the one writer of it |
//! | [`plan`] | what to do next and why; pure |
//! | [`target`] | the Secret that workloads use: rendered, signed, written in a fence |
//! | [`provider`] | providers in our words: budget, classification of answers, Errova |
//! | [`transport`] | one HTTP exchange, and nothing more |
//! | [`reconcile`] | thin shells: gather, act one effect, report |
//! | [`app`] | builds all of it, and stops it in order |
//! | [`cli`], [`settings`], [`telemetry`] | the command line, logs, metrics, Events |
//! | [`simulator`], [`sandbox`] | fake providers and a real control plane, for first runs and tests; never shipped |
//!
//! # Invariants
//!
//! - What a workload loaded from a target is valid, unless it expired or was revoked elsewhere (S1).
//! - A credential is promoted only after the provider accepted the stored value (S2).
//! - The ledger's current credential is valid, and its value is in the same object (S3).
//! - Creates are bounded per resource and day (S4), and each intent is sent at most once (S5).
//! - Only what carries our marker, or is recorded as ours, is deleted (S6), and never before its successor
//!   is verified, delivered, and held by every Pod (S8).
//! - Values are in Secrets and nowhere else (S9).

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

//! The integration tests that need no socket: one binary, linked once.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a scenario that cannot go on fails"
)]

mod support; // the in-process API server and the worlds around it

mod apiserver; // the in-process API server keeps the contract of the real one
mod borders; // who may know whom
mod counts; // what a token costs, in requests
mod crash; // an operator that dies at every request
mod delete; // the end of a token
mod drift; // what others do to target and ledger
mod faults; // what providers, proxies and the API server do wrong
mod issue; // from a manifest to a target Secret
mod leaks; // every value ever issued, searched everywhere
mod manifests; // generated files, the chart's copies, examples, CEL rules
mod operations; // the tables of docs/operations.md
mod ownership; // Secrets that are not ours
mod readme; // what README.md shows
mod regressions; // what was found by looking for it
mod rotate; // when, how often, and what the one before waits for
mod scale; // many tokens, one connection
mod stop; // SIGTERM, and a second operator beside the first

//! Scenarios on a real etcd, kube-apiserver and kube-controller-manager.
//!
//! The binaries are found, downloaded or built by the tests themselves. `HANDOVER_CLUSTER_TESTS=off`
//! leaves these tests out, and says so.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and its helpers with it"
)]

mod chart; // rendered by a real Helm, taken by a real API server
#[path = "../contract/mod.rs"]
mod contract; // what Handover relies on of an API server, shared with tests/it
mod control_plane; // the sandbox's own control plane: identities, outages, the end of processes
mod definitions; // the custom resources on a real API server
mod facts; // the contract on a real server, and what only a real one can show
mod plane; // the shared control plane, and a namespace per test
mod story; // the sandbox, as a newcomer runs it

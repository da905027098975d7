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

mod audit; // what the API server wrote down about each request
mod bad_input; // every mistake of the list: what is said, and that nothing is lost
mod chart; // rendered by a real Helm, taken by a real API server
mod consumers; // workloads that use a target all the time
#[path = "../contract/mod.rs"]
mod contract; // what Handover relies on of an API server, shared with tests/it
mod control_plane; // the sandbox's own control plane: identities, outages, the end of processes
mod counts; // what an issue and a restart cost
mod definitions; // the custom resources on a real API server
mod facts; // the contract on a real server, and what only a real one can show
mod footprint; // what the shipped binary weighs
mod kills; // kill -9 at random moments
mod place; // a namespace with a provider and a connection, and what people do there
mod plane; // the shared control plane, and a namespace per test
mod provider; // Errova on sockets, and its consumers
mod rotations; // twenty rotations under the eyes of consumers
mod story; // the sandbox, as a newcomer runs it
mod world; // a cluster with one release of the chart, and the operator

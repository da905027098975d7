//! What the scenarios share.

pub(crate) mod apiserver; // Kubernetes without a socket
pub(crate) mod capture; // all that is said, and the search for values in it
pub(crate) mod world; // an operator, an API server, a provider and a clock in one process

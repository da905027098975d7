//! What the scenarios share.

pub(crate) mod apiserver; // Kubernetes without a socket
pub(crate) mod capture; // all that is said, and the search for values in it
pub(crate) mod oracle; // what must hold after every request, and the log of both sides
pub(crate) mod user; // what users do and wait for
pub(crate) mod wire; // from an operator to the provider
pub(crate) mod world; // an operator, an API server, a provider and a clock in one process

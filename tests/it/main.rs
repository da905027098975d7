//! The integration tests that need no socket: one binary, linked once.

mod support; // the in-process API server and the worlds around it

mod borders; // who may know whom
mod manifests; // generated definitions, the chart's copies, CEL rules, examples

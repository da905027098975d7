//! The integration tests that need no socket: one binary, linked once.

mod support; // the in-process API server and the worlds around it

mod manifests; // generated files, the chart's copies, examples, CEL rules
mod operations; // the tables of docs/operations.md

//! The integration tests that need no socket: one binary, linked once.

mod support; // the in-process API server and the worlds around it

mod apiserver; // the in-process API server keeps the contract of the real one

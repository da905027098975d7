//! The custom resources: data and documentation, no IO.

//! The sandbox's own control plane: identities, outages, the end of processes.

//! What can go wrong with a control plane.

use std::{io, path::PathBuf};

use super::PATIENCE;
use crate::sandbox::assets::{AssetsError, Tool};

/// Why there is no control plane, or why it did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// A binary is missing.
    #[error("could not get the binaries of the control plane")]
    Assets(#[source] AssetsError),
    /// A certificate could not be made.
    #[error("could not make the certificates")]
    Certificates(#[source] rcgen::Error),
    /// The folder could not be filled.
    #[error("could not write {path}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No free port.
    #[error("could not get a port from the kernel")]
    Port(#[source] io::Error),
    /// A process could not be started.
    #[error("could not start {tool}")]
    Spawn {
        /// Which one.
        tool: Tool,
        /// What the system said.
        source: io::Error,
    },
    /// A process ended that should have stayed.
    #[error("{tool} ended by itself; its log {log} ends with:\n{tail}")]
    Ended {
        /// Which one.
        tool: Tool,
        /// Its log, which is kept.
        log: PathBuf,
        /// The last lines.
        tail: String,
    },
    /// A process runs and is of no use.
    #[error("{tool} was not ready after {} s; its log {log} ends with:\n{tail}", PATIENCE.as_secs())]
    NotReady {
        /// Which one.
        tool: Tool,
        /// Its log, which is kept.
        log: PathBuf,
        /// The last lines.
        tail: String,
    },
    /// A process is not part of this plane.
    #[error("{0} was not started")]
    NotStarted(Tool),
    /// A process could not be reached by a signal.
    #[error("could not send a signal to {tool}")]
    Signal {
        /// Which one.
        tool: Tool,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody of that name was in `Options::identities`.
    #[error("this control plane knows no identity {0:?}")]
    UnknownIdentity(String),
    /// A client could not be built.
    #[error("could not build a client")]
    Client(#[source] kube::Error),
    /// A command line tool reported a failure.
    #[error("{tool} failed: {stderr}")]
    Command {
        /// Which one.
        tool: Tool,
        /// What it said.
        stderr: String,
    },
}

impl ControlPlaneError {
    /// Worth another attempt, on other ports.
    pub(super) fn is_port_taken(&self) -> bool {
        matches!(self, Self::Ended { tail, .. } if tail.contains("address already in use"))
    }
}

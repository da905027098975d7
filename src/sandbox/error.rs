//! Why the sandbox could not be set up, or why its story is not true.

use std::{io, path::PathBuf};

use super::{assets::AssetsError, control_plane::ControlPlaneError, settings::SettingsError};
use crate::{
    transport::{TransportError, network::NetworkError},
    yaml::YamlError,
};

/// What failed. Never a value of a credential.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The environment names something that cannot be used.
    #[error("a setting cannot be used")]
    Settings(#[source] SettingsError),
    /// A binary is missing.
    #[error("could not get the binaries of the control plane")]
    Assets(#[source] AssetsError),
    /// The control plane, or a command line tool that was run against it.
    #[error("could not {action}")]
    ControlPlane {
        /// What was to be done.
        action: &'static str,
        /// Why it was not.
        source: ControlPlaneError,
    },
    /// Signals cannot be waited for.
    #[error("could not wait for ctrl-C")]
    Signals(#[source] io::Error),
    /// The simulator has no port.
    #[error("could not listen on 127.0.0.1")]
    Listen(#[source] io::Error),
    /// The client of the consumer cannot be built.
    #[error("could not build a client of the simulator")]
    Network(#[source] NetworkError),
    /// The simulator did not answer a person.
    #[error("could not {action} at the simulator")]
    Simulator {
        /// What was to be done.
        action: &'static str,
        /// Why it was not.
        source: TransportError,
    },
    /// A file of the checkout or of the sandbox's own folder.
    #[error("could not read or write {path}")]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A manifest that is none.
    #[error("could not understand {path}")]
    Manifest {
        /// Where it is from.
        path: PathBuf,
        /// Why not.
        source: YamlError,
    },
    /// A request to the API server.
    #[error("could not {action}")]
    Kubernetes {
        /// What was to be done.
        action: &'static str,
        /// Why it was not.
        source: kube::Error,
    },
    /// The operator could not be started.
    #[error("could not start the operator")]
    Operator(#[source] io::Error),
    /// The operator is gone.
    #[error("the operator ended by itself; see its log {0}")]
    OperatorEnded(PathBuf),
    /// A fact that did not come about.
    #[error("after {seconds} s, still not so: {what}")]
    NotInTime {
        /// The fact.
        what: String,
        /// How long was waited.
        seconds: u64,
    },
    /// A fact that is false.
    #[error("the story is not true: {0}")]
    Untrue(String),
    /// Someone pressed ctrl-C before the end.
    #[error("interrupted")]
    Interrupted,
    /// Any of these, after there was something to look at.
    #[error("logs, data and kubeconfigs are kept in {folder}")]
    Kept {
        /// The folder of the control plane.
        folder: PathBuf,
        /// What failed.
        source: Box<SandboxError>,
    },
}

impl SandboxError {
    /// For `map_err` on a request to the API server.
    pub(super) fn kubernetes(action: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Kubernetes { action, source }
    }

    /// For `map_err` on the control plane.
    pub(super) fn plane(action: &'static str) -> impl FnOnce(ControlPlaneError) -> Self {
        move |source| Self::ControlPlane { action, source }
    }
}

/// `fact`, or an error that names it.
pub(super) fn hold(fact: bool, what: impl Into<String>) -> Result<(), SandboxError> {
    if fact {
        Ok(())
    } else {
        Err(SandboxError::Untrue(what.into()))
    }
}

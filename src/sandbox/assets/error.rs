//! Why a binary is not to be had.

use std::{fmt, io, path::PathBuf, sync::Arc};

use super::{Tool, build::BuildError, envtest::EnvtestError};
use crate::sandbox::settings::KubernetesVersion;

/// Why a binary is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum AssetsError {
    /// Nothing says where the cache is.
    #[error("no folder for a cache: set HANDOVER_CACHE, XDG_CACHE_HOME or HOME")]
    NoCache,
    /// The cache cannot be read or written.
    #[error("could not use the cache {folder}")]
    Cache {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// None of the four ways has it.
    #[error("{0}")]
    Unobtainable(Box<Unobtainable>),
}

/// One sentence for each of the four ways.
#[derive(Debug)]
pub struct Unobtainable {
    pub(super) tool: Tool,
    pub(super) version: KubernetesVersion,
    pub(super) kubebuilder: Option<PathBuf>,
    pub(super) cache: PathBuf,
    pub(super) download: Option<Arc<EnvtestError>>,
    pub(super) build: BuildError,
}

// === impl Unobtainable ===

impl fmt::Display for Unobtainable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tool, version, .. } = self;
        writeln!(
            f,
            "no {tool} for Kubernetes {version}; there are four ways to get one:"
        )?;
        match &self.kubebuilder {
            Some(folder) => writeln!(f, "  1. KUBEBUILDER_ASSETS={}: not there", folder.display())?,
            None => writeln!(f, "  1. KUBEBUILDER_ASSETS, a folder that has it: not set")?,
        }
        writeln!(f, "  2. the cache {}: not there", self.cache.display())?;
        match &self.download {
            Some(error) => writeln!(f, "  3. the envtest archive: {}", Chain(&**error))?,
            None => writeln!(f, "  3. the envtest archive: does not contain it")?,
        }
        write!(
            f,
            "  4. a build with Go 1.26 or newer: {}",
            Chain(&self.build)
        )
    }
}

/// An error and its causes in one line.
pub(super) struct Chain<'a>(pub(super) &'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

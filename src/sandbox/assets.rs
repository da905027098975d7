//! The binaries of a control plane: found, downloaded or built, each when it is first asked for.
//!
//! # Expected flow
//! For each binary the first of these has it:
//! 1. the folder `KUBEBUILDER_ASSETS`,
//! 2. the cache,
//! 3. the envtest archive that controller-tools publishes (etcd, kube-apiserver, kubectl),
//! 4. a build of the pinned modules in `tools/` from the Go module proxy.
//!
//! What 3 and 4 produce goes into the cache.
//!
//! # Guarantees
//! A binary in the cache is complete. Several processes that need the same one get it once: the
//! others wait, and say so. A reader of a complete cache takes no lock.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

use self::{cache::Cache, envtest::EnvtestError, error::Chain};
use super::{progress::Progress, settings::Settings};

mod build;
mod cache;
mod envtest;
mod error;

pub use self::error::{AssetsError, Unobtainable};

/// A binary that the sandbox or a test can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tool {
    /// The store below the API server.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// Garbage collection, namespace deletion, rollouts.
    KubeControllerManager,
    /// The command line of users.
    Kubectl,
    /// Installs the chart.
    Helm,
}

/// Where to find each binary. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Assets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    progress: Progress,
    /// The archive holds several binaries and is asked for once, whatever the answer was.
    download: OnceCell<Result<(), Arc<EnvtestError>>>,
    reported: Mutex<BTreeSet<Origin>>,
}

/// Which way served a binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Kubebuilder,
    Cache,
    Download,
    Build,
}

// === impl Tool ===

impl Tool {
    /// All of them, in the order in which they are started or used.
    pub const ALL: [Self; 5] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::Kubectl,
        Self::Helm,
    ];

    /// The name of the binary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::Kubectl => "kubectl",
            Self::Helm => "helm",
        }
    }

    /// The envtest archive holds these three.
    fn is_in_envtest(self) -> bool {
        matches!(self, Self::Etcd | Self::KubeApiserver | Self::Kubectl)
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl Assets ===

impl Assets {
    /// Looks nowhere yet.
    pub fn new(settings: Settings, progress: Progress) -> Self {
        Self(Arc::new(Inner {
            settings,
            progress,
            download: OnceCell::new(),
            reported: Mutex::default(),
        }))
    }

    /// The path of one binary. The first time this may take minutes.
    pub async fn path(&self, tool: Tool) -> Result<PathBuf, AssetsError> {
        self.get(tool, "").await
    }

    /// The paths of several, in the same order.
    pub async fn paths(&self, tools: &[Tool]) -> Result<Vec<PathBuf>, AssetsError> {
        let mut paths = Vec::with_capacity(tools.len());
        for (index, tool) in tools.iter().enumerate() {
            let position = format!(" ({} of {})", index + 1, tools.len());
            paths.push(self.get(*tool, &position).await?);
        }
        Ok(paths)
    }

    /// One folder with every binary under its own name.
    pub async fn folder(&self) -> Result<PathBuf, AssetsError> {
        let paths = self.paths(&Tool::ALL).await?;
        let first = paths.first().and_then(|path| path.parent());
        match first {
            Some(folder) if paths.iter().all(|path| path.parent() == Some(folder)) => {
                Ok(folder.to_owned())
            }
            _ => self.cache()?.link(&paths),
        }
    }

    async fn get(&self, tool: Tool, position: &str) -> Result<PathBuf, AssetsError> {
        if let Some(path) = self.given(tool) {
            return Ok(self.served(Origin::Kubebuilder, path));
        }
        let cache = self.cache()?;
        if let Some(path) = cache.get(tool) {
            return Ok(self.served(Origin::Cache, path));
        }
        let _lock = cache.lock(tool, self.0.progress).await?;
        // Whoever held the lock may have been getting the same binary.
        if let Some(path) = cache.get(tool) {
            return Ok(self.served(Origin::Cache, path));
        }
        let (origin, path) = self.obtain(tool, position, &cache).await?;
        Ok(self.served(origin, path))
    }

    fn given(&self, tool: Tool) -> Option<PathBuf> {
        let folder = self.0.settings.kubebuilder_assets.as_ref()?;
        Some(folder.join(tool.name())).filter(|path| path.is_file())
    }

    fn cache(&self) -> Result<Cache, AssetsError> {
        let root = self
            .0
            .settings
            .cache
            .as_deref()
            .ok_or(AssetsError::NoCache)?;
        Ok(Cache::new(root, &self.0.settings.kubernetes))
    }

    /// Download, else build.
    async fn obtain(
        &self,
        tool: Tool,
        position: &str,
        cache: &Cache,
    ) -> Result<(Origin, PathBuf), AssetsError> {
        let version = &self.0.settings.kubernetes;
        let mut refused = None;
        if tool.is_in_envtest() {
            match self.download(cache).await? {
                Ok(()) => return Ok((Origin::Download, cache.path(tool))),
                Err(error) => refused = Some(error),
            }
        }
        let staging = cache.staging()?;
        let what = format!("building {tool}{position} of Kubernetes {version} with Go");
        let work = build::build(tool, version, staging.path());
        match self.0.progress.during(what, work).await {
            Ok(()) => Ok((Origin::Build, cache.publish(tool, &staging)?)),
            Err(build) => Err(AssetsError::Unobtainable(Box::new(Unobtainable {
                tool,
                version: version.clone(),
                kubebuilder: self.0.settings.kubebuilder_assets.clone(),
                cache: cache.folder().to_owned(),
                download: refused,
                build,
            }))),
        }
    }

    /// Puts the contents of the archive into the cache. The outer error is about the cache.
    async fn download(&self, cache: &Cache) -> Result<Result<(), Arc<EnvtestError>>, AssetsError> {
        let Inner {
            settings, progress, ..
        } = &*self.0;
        let outcome = self
            .0
            .download
            .get_or_try_init(async || {
                let staging = cache.staging()?;
                let what = format!("downloading Kubernetes {}", settings.kubernetes);
                let done = envtest::download(settings, staging.path());
                if let Err(error) = progress.during(what, done).await {
                    progress.say(format_args!("no download: {}", Chain(&error)));
                    return Ok(Err(Arc::new(error)));
                }
                for tool in Tool::ALL.into_iter().filter(|tool| tool.is_in_envtest()) {
                    cache.publish(tool, &staging)?;
                }
                Ok(Ok(()))
            })
            .await?;
        Ok(outcome.clone())
    }

    /// Says once per way which way it was.
    fn served(&self, origin: Origin, path: PathBuf) -> PathBuf {
        let mut reported = self
            .0
            .reported
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if reported.insert(origin) {
            let folder = path.parent().unwrap_or(Path::new("")).display();
            let version = &self.0.settings.kubernetes;
            self.0.progress.say(match origin {
                Origin::Kubebuilder => format!("control plane from KUBEBUILDER_ASSETS={folder}"),
                Origin::Cache => format!("Kubernetes {version} from the cache {folder}"),
                Origin::Download => format!("Kubernetes {version} downloaded into {folder}"),
                Origin::Build => format!("Kubernetes {version} built into {folder}"),
            });
        }
        path
    }
}

#[cfg(test)]
mod tests;

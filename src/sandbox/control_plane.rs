//! A real etcd, kube-apiserver and kube-controller-manager on loopback.
//!
//! ```text
//!   this process ──kept pipe──► sh ──► etcd ◄──── kube-apiserver ◄──── kube-controller-manager
//!        │                                         ▲   TLS by an own CA, static tokens
//!        └── kube::Client per identity ────────────┘
//! ```
//!
//! # Expected flow
//! [`ControlPlane::start`] makes a folder with certificates, tokens and logs, starts the processes on
//! ports that the kernel chose, and returns when the API server is ready and, if asked for, the
//! controllers have done their first work. Dropping it stops everything and removes the folder.
//!
//! # Guarantees
//! Everything listens on `127.0.0.1`. No process outlives this one, even if it is killed; nor does
//! the folder, unless it is kept or the start failed. A plane belongs to no runtime, so tests with
//! a runtime each can share it; only clients belong to the runtime that made them.
//!
//! # Caveats
//! There is no kubelet and no scheduler: Pods stay pending. The garbage collector learns of a new
//! kind within half a minute.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client, Config};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use self::{
    certificates::Certificates,
    identity::Credentials,
    process::{Process, Program},
    programs::{Layout, Ports},
};
use super::{
    assets::{Assets, Tool},
    progress::Progress,
};

mod certificates;
mod error;
mod identity;
mod outage;
pub(super) mod process;
mod programs;
mod tools;

pub use self::{
    error::ControlPlaneError,
    identity::{ADMIN, Identity},
};

/// A port that was free a moment ago may be taken; then everything is tried on new ones.
const ATTEMPTS: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);
const ANSWER: Duration = Duration::from_secs(5);

/// What to start.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Who may connect, besides [`ADMIN`].
    pub identities: Vec<Identity>,
    /// Garbage collection, namespace deletion, rollouts, service accounts.
    pub controller_manager: bool,
    /// Whether the API server writes down each request, see [`ControlPlane::audit_log`].
    pub audit: bool,
    /// Whether the folder stays when the plane goes.
    pub keep: bool,
}

/// A running control plane.
pub struct ControlPlane {
    // Dropped in this order: the processes write into the folder.
    processes: BTreeMap<Tool, Process>,
    layout: Layout,
    folder: TempDir,
    keep: bool,
    certificates: Certificates,
    identities: BTreeMap<String, Credentials>,
    assets: Assets,
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Starts a control plane and waits until it is of use.
    pub async fn start(
        assets: &Assets,
        options: Options,
        progress: Progress,
    ) -> Result<Self, ControlPlaneError> {
        let mut tools = vec![Tool::Etcd, Tool::KubeApiserver];
        if options.controller_manager {
            tools.push(Tool::KubeControllerManager);
        }
        let paths = assets
            .paths(&tools)
            .await
            .map_err(ControlPlaneError::Assets)?;
        let binaries: Vec<_> = tools.into_iter().zip(paths).collect();
        let attempts = Self::attempts(assets, &options, &binaries);
        let plane = progress
            .during("starting a control plane", attempts)
            .await?;
        if options.keep {
            progress.say(format_args!(
                "the control plane's folder {}",
                plane.folder().display()
            ));
        }
        Ok(plane)
    }

    async fn attempts(
        assets: &Assets,
        options: &Options,
        binaries: &[(Tool, PathBuf)],
    ) -> Result<Self, ControlPlaneError> {
        let mut attempt = 1;
        loop {
            let mut plane = Self::prepare(assets.clone(), options)?;
            match plane.start_all(binaries).await {
                Ok(()) => return Ok(plane),
                Err(error) if error.is_port_taken() && attempt < ATTEMPTS => attempt += 1,
                Err(error) => {
                    plane.folder.disable_cleanup(true);
                    return Err(error);
                }
            }
        }
    }

    /// The folder, without processes.
    fn prepare(assets: Assets, options: &Options) -> Result<Self, ControlPlaneError> {
        let mut folder = tempfile::Builder::new()
            .prefix("handover-control-plane-")
            .tempdir()
            .map_err(|source| ControlPlaneError::Write {
                path: std::env::temp_dir(),
                source,
            })?;
        folder.disable_cleanup(options.keep);
        let ports = Ports::free().map_err(ControlPlaneError::Port)?;
        let layout = Layout::new(folder.path(), ports, options.audit);
        let certificates = Certificates::generate().map_err(ControlPlaneError::Certificates)?;
        let identities = identity::credentials(&options.identities);
        for (path, contents) in layout.files(&certificates, &identities) {
            write_private(&path, contents.as_bytes())
                .map_err(|source| ControlPlaneError::Write { path, source })?;
        }
        Ok(Self {
            processes: BTreeMap::new(),
            layout,
            folder,
            keep: options.keep,
            certificates,
            identities,
            assets,
        })
    }

    async fn start_all(&mut self, binaries: &[(Tool, PathBuf)]) -> Result<(), ControlPlaneError> {
        for (tool, binary) in binaries {
            // The controllers would give up on an API server that is not there yet.
            if *tool == Tool::KubeControllerManager {
                self.wait_until_ready(Tool::KubeApiserver).await?;
            }
            self.spawn(*tool, self.layout.program(*tool, binary))?;
        }
        match binaries.last() {
            Some((last, _)) => self.wait_until_ready(*last).await,
            None => Ok(()),
        }
    }

    fn spawn(&mut self, tool: Tool, program: Program) -> Result<(), ControlPlaneError> {
        let orphaned = if self.keep {
            None
        } else {
            Some(self.folder.path())
        };
        let process = Process::start(program, orphaned)
            .map_err(|source| ControlPlaneError::Spawn { tool, source })?;
        self.processes.insert(tool, process);
        Ok(())
    }

    /// Polls until `tool` is of use, and notices if any process ends meanwhile.
    async fn wait_until_ready(&mut self, tool: Tool) -> Result<(), ControlPlaneError> {
        let client = self.client(ADMIN)?;
        let deadline = Instant::now() + PATIENCE;
        // A server that hangs must not make this hang.
        while !timeout(ANSWER, is_ready(tool, &client))
            .await
            .unwrap_or(false)
        {
            self.notice_ended()?;
            if Instant::now() > deadline {
                let (log, tail) = self.log(tool);
                return Err(ControlPlaneError::NotReady { tool, log, tail });
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    fn notice_ended(&mut self) -> Result<(), ControlPlaneError> {
        let ended = self
            .processes
            .iter_mut()
            .find_map(|(tool, process)| process.has_ended().then_some(*tool));
        let Some(tool) = ended else {
            return Ok(());
        };
        let (log, tail) = self.log(tool);
        Err(ControlPlaneError::Ended { tool, log, tail })
    }

    fn log(&self, tool: Tool) -> (PathBuf, String) {
        let path = self.layout.log(tool);
        let text = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(15)..].join("\n");
        (path, tail)
    }

    /// The address of the API server.
    pub fn url(&self) -> &http::Uri {
        self.layout.url()
    }

    /// Certificates, kubeconfigs, logs and data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder behind when the plane goes: somebody wants to read its logs.
    pub fn keep_folder(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// A client with the token of `identity`, without retries. It belongs to the runtime that it is
    /// made in.
    pub fn client(&self, identity: &str) -> Result<Client, ControlPlaneError> {
        let mut config = Config::new(self.url().clone());
        config.root_cert = Some(vec![self.certificates.authority_der()]);
        config.default_retry = false;
        config.auth_info.token = Some(self.credentials(identity)?.token().into());
        Client::try_from(config).map_err(ControlPlaneError::Client)
    }

    /// The kubeconfig of `identity`, readable by this user only.
    pub fn kubeconfig(&self, identity: &str) -> Result<PathBuf, ControlPlaneError> {
        self.credentials(identity)?;
        Ok(self.layout.kubeconfig(identity))
    }

    fn credentials(&self, identity: &str) -> Result<&Credentials, ControlPlaneError> {
        let found = self.identities.get(identity);
        found.ok_or_else(|| ControlPlaneError::UnknownIdentity(identity.to_owned()))
    }

    /// One JSON object per line and finished request; empty unless [`Options::audit`] is set.
    pub fn audit_log(&self) -> PathBuf {
        self.layout.audit_log()
    }

    /// The process id, for tests that look at memory or at signals.
    pub fn pid(&self, tool: Tool) -> Result<u32, ControlPlaneError> {
        let process = self
            .processes
            .get(&tool)
            .ok_or(ControlPlaneError::NotStarted(tool))?;
        Ok(process.pid())
    }
}

impl fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plane = f.debug_struct("ControlPlane");
        plane
            .field("url", self.url())
            .field("folder", &self.folder())
            .finish_non_exhaustive()
    }
}

/// Whether a process is of use, seen from the API.
async fn is_ready(tool: Tool, client: &Client) -> bool {
    if tool == Tool::KubeControllerManager {
        // It always makes this object, in the namespace that always exists.
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        return accounts.get("default").await.is_ok();
    }
    let mut request = http::Request::new(Vec::new());
    *request.uri_mut() = http::Uri::from_static("/readyz");
    client.request_text(request).await.is_ok()
}

/// Tokens and keys are for this user only.
fn write_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};

    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(contents)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::sandbox::settings::Settings;

    fn prepared(options: &Options) -> ControlPlane {
        let settings = Settings {
            kubebuilder_assets: None,
            cache: None,
            kubernetes: "1.36.3".parse().unwrap(),
            envtest_index: String::new(),
        };
        ControlPlane::prepare(Assets::new(settings, Progress::silent()), options).unwrap()
    }

    #[test]
    fn the_folder_goes_with_the_plane_unless_it_is_kept() {
        let mut options = Options::default();
        let plane = prepared(&options);
        let folder = plane.folder().to_owned();
        drop(plane);
        assert!(!folder.exists());

        options.keep = true;
        let plane = prepared(&options);
        let folder = plane.folder().to_owned();
        drop(plane);
        assert!(folder.exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn everything_in_the_folder_is_for_this_user_only() {
        let tenant = Identity::user("tenant", "ann", &[]);
        let plane = prepared(&Options {
            identities: vec![tenant],
            ..Options::default()
        });
        let files: Vec<_> = fs::read_dir(plane.folder()).unwrap().flatten().collect();
        let kubeconfig = plane.kubeconfig("tenant").unwrap();
        assert!(files.iter().any(|file| file.path() == kubeconfig));
        for file in files {
            let mode = file.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", file.path());
        }
        let unknown = plane.kubeconfig("bob").unwrap_err();
        assert!(matches!(unknown, ControlPlaneError::UnknownIdentity(_)));
    }
}

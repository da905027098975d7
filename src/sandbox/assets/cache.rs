//! The folder of binaries for one version on one platform.
//!
//! Binaries are made in a folder beside the finished ones and renamed into place, so that each is
//! complete or absent. Only who makes one needs the lock.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use super::{AssetsError, Tool};
use crate::sandbox::{progress::Progress, settings::KubernetesVersion};

const STAGING: &str = ".new-";
const LOCK: &str = ".lock";

#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

/// Held while a binary is being made; the system lets go of it when the process ends, however.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "the lock lives as long as the file")] File);

/// `linux-amd64`, in the words of Go and of the envtest archives.
pub(super) fn platform() -> String {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        os => os,
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        arch => arch,
    };
    format!("{os}-{arch}")
}

impl Cache {
    pub(super) fn new(root: &Path, version: &KubernetesVersion) -> Self {
        let folder = root
            .join("control-plane")
            .join(format!("{version}-{}", platform()));
        Self { folder }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self, tool: Tool) -> PathBuf {
        self.folder.join(tool.name())
    }

    pub(super) fn get(&self, tool: Tool) -> Option<PathBuf> {
        Some(self.path(tool)).filter(|path| path.is_file())
    }

    /// Waits, visibly, for whoever is making a binary.
    pub(super) async fn lock(&self, tool: Tool, progress: Progress) -> Result<Lock, AssetsError> {
        let open = || {
            fs::create_dir_all(&self.folder)?;
            File::create(self.folder.join(LOCK))
        };
        let file = open().map_err(|source| self.error(source))?;
        if !self.try_lock(&file)? {
            let what = format!("waiting for {tool}: another process is filling the cache");
            progress.during(what, self.poll_lock(&file)).await?;
        }
        self.sweep();
        Ok(Lock(file))
    }

    /// Polled, since a blocking wait could not be given up.
    async fn poll_lock(&self, file: &File) -> Result<(), AssetsError> {
        while !self.try_lock(file)? {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    fn try_lock(&self, file: &File) -> Result<bool, AssetsError> {
        match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(source)) => Err(self.error(source)),
        }
    }

    /// Removes what a killed process left behind. Failure leaves rubbish, nothing worse.
    fn sweep(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for entry in entries {
            if entry.file_name().to_string_lossy().starts_with(STAGING) {
                _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// A folder to make binaries in, on the same file system.
    pub(super) fn staging(&self) -> Result<TempDir, AssetsError> {
        let folder = tempfile::Builder::new()
            .prefix(STAGING)
            .tempdir_in(&self.folder);
        folder.map_err(|source| self.error(source))
    }

    /// Makes a finished binary visible.
    pub(super) fn publish(&self, tool: Tool, staging: &TempDir) -> Result<PathBuf, AssetsError> {
        let path = self.path(tool);
        fs::rename(staging.path().join(tool.name()), &path).map_err(|source| self.error(source))?;
        Ok(path)
    }

    /// A folder of links to binaries that came by different ways.
    pub(super) fn link(&self, paths: &[PathBuf]) -> Result<PathBuf, AssetsError> {
        let folder = self.folder.join("links");
        let link_all = || {
            fs::create_dir_all(&folder)?;
            paths.iter().try_for_each(|path| relink(path, &folder))
        };
        link_all().map_err(|source| self.error(source))?;
        Ok(folder)
    }

    fn error(&self, source: io::Error) -> AssetsError {
        AssetsError::Cache {
            folder: self.folder.clone(),
            source,
        }
    }
}

/// Renamed into place: another process may be reading the old link.
fn relink(path: &Path, folder: &Path) -> io::Result<()> {
    let Some(name) = path.file_name() else {
        return Ok(());
    };
    let staging = tempfile::tempdir_in(folder)?;
    let link = staging.path().join(name);
    symlink(path, &link)?;
    fs::rename(&link, folder.join(name))
}

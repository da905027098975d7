//! The archive that controller-tools publishes for each Kubernetes version.
//!
//! # Guarantees
//! Nothing is unpacked before the sum in the index fits. Nothing is written but the three binaries
//! expected, however the archive names its entries. Two minutes, then it is given up.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use flate2::read::GzDecoder;
use ring::digest::{Context, SHA512};
use serde::Deserialize;
use tar::{Archive, Entry};

use super::{Tool, cache::platform};
use crate::{
    sandbox::settings::Settings,
    transport::download::{DownloadError, Downloads, Schemes},
};

const PATIENCE: Duration = Duration::from_secs(120);
const INDEX_LIMIT: u64 = 8 << 20;
const ARCHIVE_LIMIT: u64 = 512 << 20;
const BINARY_LIMIT: u64 = 512 << 20;

/// Why the archive did not help.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnvtestError {
    /// The network.
    #[error("could not download")]
    Download(#[source] DownloadError),
    /// The network is slow.
    #[error("not done after {} s", PATIENCE.as_secs())]
    Patience,
    /// The index is not what it used to be.
    #[error("could not read the index")]
    Index(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no archive for this version and platform.
    #[error("the index has no {0}")]
    Unpublished(String),
    /// The archive is not the one that the index is about.
    #[error("the SHA-512 sum of {0} is wrong")]
    WrongSum(String),
    /// Not a tar.gz, or the end is missing.
    #[error("could not unpack the archive")]
    Unpack(#[source] io::Error),
    /// An entry that has no business in the archive.
    #[error("the archive contains {0}, which is not a plain file inside of it")]
    Forbidden(PathBuf),
    /// More than a binary can reasonably be.
    #[error("{0} in the archive is too large")]
    TooLarge(Tool),
    /// A binary is not in the archive.
    #[error("the archive has no {0}")]
    Missing(Tool),
}

#[derive(Debug, Deserialize)]
struct Index {
    releases: BTreeMap<String, BTreeMap<String, Published>>,
}

#[derive(Debug, Deserialize)]
struct Published {
    hash: String,
    #[serde(rename = "selfLink")]
    link: String,
}

/// Puts etcd, kube-apiserver and kubectl into `folder`.
pub(super) async fn download(settings: &Settings, folder: &Path) -> Result<(), EnvtestError> {
    let archive = folder.join("archive.tar.gz");
    match tokio::time::timeout(PATIENCE, fetch(settings, &archive)).await {
        Ok(outcome) => outcome?,
        Err(_) => return Err(EnvtestError::Patience),
    }
    let file = File::open(&archive).map_err(EnvtestError::Unpack)?;
    unpack(file, folder)
}

async fn fetch(settings: &Settings, archive: &Path) -> Result<(), EnvtestError> {
    let is_https = settings.envtest_index.starts_with("https:");
    let schemes = if is_https {
        Schemes::Https
    } else {
        Schemes::Any
    };
    let downloads = Downloads::new(schemes).map_err(EnvtestError::Download)?;
    let version = format!("v{}", settings.kubernetes);
    let name = format!("envtest-{version}-{}.tar.gz", platform());

    let mut index = index(&downloads, &settings.envtest_index).await?;
    let release = index
        .releases
        .get_mut(&version)
        .and_then(|release| release.remove(&name));
    let Some(published) = release else {
        return Err(EnvtestError::Unpublished(name));
    };
    let sum = save(&downloads, &published.link, archive).await?;
    if sum.eq_ignore_ascii_case(&published.hash) {
        Ok(())
    } else {
        Err(EnvtestError::WrongSum(name))
    }
}

async fn index(downloads: &Downloads, url: &str) -> Result<Index, EnvtestError> {
    let mut text = Vec::new();
    downloads
        .fetch(url, INDEX_LIMIT, |piece| text.write_all(piece))
        .await
        .map_err(EnvtestError::Download)?;
    serde_saphyr::from_slice(&text).map_err(|error| EnvtestError::Index(error.into()))
}

/// Saves the file and returns its SHA-512 sum in hexadecimal.
async fn save(downloads: &Downloads, url: &str, path: &Path) -> Result<String, EnvtestError> {
    let mut file = File::create(path).map_err(EnvtestError::Unpack)?;
    let mut sum = Context::new(&SHA512);
    let sink = |piece: &[u8]| {
        sum.update(piece);
        file.write_all(piece)
    };
    downloads
        .fetch(url, ARCHIVE_LIMIT, sink)
        .await
        .map_err(EnvtestError::Download)?;
    Ok(hexadecimal(sum.finish().as_ref()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

fn unpack(archive: impl Read, folder: &Path) -> Result<(), EnvtestError> {
    let mut archive = Archive::new(GzDecoder::new(archive));
    for entry in archive.entries().map_err(EnvtestError::Unpack)? {
        let mut entry = entry.map_err(EnvtestError::Unpack)?;
        if let Some(tool) = tool_in(&entry)? {
            extract(&mut entry, tool, &folder.join(tool.name()))?;
        }
    }
    let mut expected = Tool::ALL.into_iter().filter(|tool| tool.is_in_envtest());
    match expected.find(|tool| !folder.join(tool.name()).is_file()) {
        Some(missing) => Err(EnvtestError::Missing(missing)),
        None => Ok(()),
    }
}

/// Which binary an entry is, if it is one.
fn tool_in<R: Read>(entry: &Entry<'_, R>) -> Result<Option<Tool>, EnvtestError> {
    let path = entry.path().map_err(EnvtestError::Unpack)?;
    let is_inside = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let kind = entry.header().entry_type();
    if !is_inside || !(kind.is_file() || kind.is_dir()) {
        return Err(EnvtestError::Forbidden(path.into_owned()));
    }
    let is_named = |tool: &Tool| path.file_name().is_some_and(|name| name == tool.name());
    let mut expected = Tool::ALL.into_iter().filter(|tool| tool.is_in_envtest());
    Ok(expected.find(is_named).filter(|_| kind.is_file()))
}

fn extract<R: Read>(entry: &mut Entry<'_, R>, tool: Tool, path: &Path) -> Result<(), EnvtestError> {
    if entry.size() > BINARY_LIMIT {
        return Err(EnvtestError::TooLarge(tool));
    }
    let mut copy = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o755)
            .open(path)?;
        io::copy(entry, &mut file)
    };
    copy().map(drop).map_err(|error| {
        _ = fs::remove_file(path);
        EnvtestError::Unpack(error)
    })
}

#[cfg(test)]
pub(super) mod tests;

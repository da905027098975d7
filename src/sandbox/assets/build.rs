//! Builds a binary with Go, from the modules that `tools/` pins.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::Tool;
use crate::sandbox::settings::KubernetesVersion;

/// The checkout that this program was compiled from.
const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools");
const LOG_LINES: usize = 20;

/// Why Go made no binary.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    /// The binary of the sandbox was moved away from its checkout.
    #[error("{0} is not there: run from the checkout that this program was built in")]
    NoModule(PathBuf),
    /// No folder in `tools/` is about this version.
    #[error(
        "{folder} does not pin Kubernetes {version}: run tools/kubernetes/update.sh {version} beside"
    )]
    NotPinned {
        /// The module that was looked at.
        folder: PathBuf,
        /// The version asked for.
        version: KubernetesVersion,
    },
    /// No Go.
    #[error("there is no `go` in the PATH")]
    NoGo,
    /// Go could not be run.
    #[error("could not run go")]
    Run(#[source] io::Error),
    /// The end of what the compiler said.
    #[error("go build failed:\n{0}")]
    Failed(String),
}

/// Makes `folder/<name of the tool>`.
pub(super) async fn build(
    tool: Tool,
    version: &KubernetesVersion,
    folder: &Path,
) -> Result<(), BuildError> {
    let module = module(tool, version)?;
    let output = Command::new("go")
        .args([
            "build",
            "-trimpath",
            "-ldflags",
            &linker_flags(tool, version),
            "-o",
        ])
        .arg(folder.join(tool.name()))
        .arg(package(tool))
        .current_dir(module)
        .env("GOWORK", "off")
        .kill_on_drop(true)
        .output()
        .await;
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(BuildError::Failed(tail(&output.stderr))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BuildError::NoGo),
        Err(error) => Err(BuildError::Run(error)),
    }
}

/// The folder of the Go module; for Kubernetes the one that pins this version.
fn module(tool: Tool, version: &KubernetesVersion) -> Result<PathBuf, BuildError> {
    let tools = Path::new(TOOLS);
    let folder = match tool {
        Tool::Etcd => tools.join("etcd"),
        Tool::Helm => tools.join("helm"),
        Tool::KubeApiserver | Tool::KubeControllerManager | Tool::Kubectl => {
            let particular = tools.join(format!("kubernetes-{version}"));
            if particular.is_dir() {
                particular
            } else {
                tools.join("kubernetes")
            }
        }
    };
    let Ok(manifest) = std::fs::read_to_string(folder.join("go.mod")) else {
        return Err(BuildError::NoModule(folder));
    };
    let requirement = format!("k8s.io/kubernetes v{version}");
    let is_pinned = manifest.lines().any(|line| line.contains(&requirement));
    if is_pinned || matches!(tool, Tool::Etcd | Tool::Helm) {
        Ok(folder)
    } else {
        Err(BuildError::NotPinned {
            folder,
            version: version.clone(),
        })
    }
}

fn package(tool: Tool) -> &'static str {
    match tool {
        Tool::Etcd => "go.etcd.io/etcd/server/v3",
        Tool::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
        Tool::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
        Tool::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
        Tool::Helm => "helm.sh/helm/v3/cmd/helm",
    }
}

/// Kubernetes learns its version from the linker, and calls itself v0.0.0 otherwise.
fn linker_flags(tool: Tool, version: &KubernetesVersion) -> String {
    const STAMP: &str = "-X k8s.io/component-base/version";
    match tool {
        Tool::Etcd | Tool::Helm => "-s -w".to_owned(),
        Tool::KubeApiserver | Tool::KubeControllerManager | Tool::Kubectl => format!(
            "-s -w {STAMP}.gitVersion=v{version} {STAMP}.gitMajor=1 {STAMP}.gitMinor={}",
            version.minor()
        ),
    }
}

/// The last lines: the error stands at the end, after the downloads.
fn tail(log: &[u8]) -> String {
    let log = String::from_utf8_lossy(log);
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::settings::DEFAULT_KUBERNETES;

    #[test]
    fn every_tool_has_a_module_for_the_default_version() {
        let version = DEFAULT_KUBERNETES.parse().unwrap();
        for tool in Tool::ALL {
            assert!(module(tool, &version).is_ok(), "{tool}");
        }
    }

    #[test]
    fn a_version_that_nobody_pinned_is_refused_with_the_way_to_pin_it() {
        let version = "1.2.3".parse().unwrap();
        let error = module(Tool::Kubectl, &version).unwrap_err();
        assert!(matches!(error, BuildError::NotPinned { .. }));
        assert!(error.to_string().contains("update.sh 1.2.3 beside"));
    }
}

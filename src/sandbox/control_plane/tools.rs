//! kubectl and Helm, as users of a control plane have them.

use std::{path::PathBuf, process::Stdio};

use tokio::process::Command;

use super::{ControlPlane, ControlPlaneError};
use crate::sandbox::assets::Tool;

impl ControlPlane {
    /// Where a tool is.
    pub async fn tool(&self, tool: Tool) -> Result<PathBuf, ControlPlaneError> {
        let path = self.assets.path(tool).await;
        path.map_err(ControlPlaneError::Assets)
    }

    /// A command line tool that acts as `identity` and touches nothing in the home of the user.
    pub async fn command(&self, tool: Tool, identity: &str) -> Result<Command, ControlPlaneError> {
        let mut command = Command::new(self.tool(tool).await?);
        command
            .env("KUBECONFIG", self.kubeconfig(identity)?)
            .env("HOME", self.folder())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    /// Runs kubectl as `identity` and returns what it printed.
    pub async fn kubectl(
        &self,
        identity: &str,
        arguments: &[&str],
    ) -> Result<String, ControlPlaneError> {
        self.run(Tool::Kubectl, identity, arguments).await
    }

    /// Runs Helm as `identity` and returns what it printed.
    pub async fn helm(
        &self,
        identity: &str,
        arguments: &[&str],
    ) -> Result<String, ControlPlaneError> {
        self.run(Tool::Helm, identity, arguments).await
    }

    async fn run(
        &self,
        tool: Tool,
        identity: &str,
        arguments: &[&str],
    ) -> Result<String, ControlPlaneError> {
        let mut command = self.command(tool, identity).await?;
        let output = command.args(arguments).output().await;
        let output = output.map_err(|source| ControlPlaneError::Spawn { tool, source })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr)
            .trim_end()
            .to_owned();
        Err(ControlPlaneError::Command { tool, stderr })
    }
}

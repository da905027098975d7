//! Outages are made, not pretended: the processes themselves are stopped.

use std::time::Duration;

use super::{
    ControlPlane, ControlPlaneError,
    process::{Process, Signal},
};
use crate::sandbox::assets::Tool;

impl ControlPlane {
    /// Makes a process hang: connections stay open and nobody answers.
    pub async fn pause(&mut self, tool: Tool) -> Result<(), ControlPlaneError> {
        self.signal(tool, Signal::Stop)?;
        let process = self.process(tool)?;
        while !process.is_paused() && !process.has_ended() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Lets a paused process go on.
    pub fn resume(&mut self, tool: Tool) -> Result<(), ControlPlaneError> {
        self.signal(tool, Signal::Continue)
    }

    /// Ends a process at once; connections break.
    pub fn kill(&mut self, tool: Tool) -> Result<(), ControlPlaneError> {
        self.process(tool)?.end();
        Ok(())
    }

    /// Ends a process if it runs, starts it again with its data and address, and waits for it.
    pub async fn restart(&mut self, tool: Tool) -> Result<(), ControlPlaneError> {
        let process = self.process(tool)?;
        process.end();
        let program = process.program().clone();
        self.spawn(tool, program)?;
        self.wait_until_ready(tool).await
    }

    fn signal(&mut self, tool: Tool, signal: Signal) -> Result<(), ControlPlaneError> {
        let sent = self.process(tool)?.signal(signal);
        sent.map_err(|source| ControlPlaneError::Signal { tool, source })
    }

    fn process(&mut self, tool: Tool) -> Result<&mut Process, ControlPlaneError> {
        self.processes
            .get_mut(&tool)
            .ok_or(ControlPlaneError::NotStarted(tool))
    }
}

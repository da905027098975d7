//! The operator as a process of its own, so that a signal to it is a real one.
//!
//! It connects as the service account of the chart, with exactly the rights that the chart renders.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    SandboxError,
    control_plane::{
        ControlPlane, Identity,
        process::{Process, Program, Signal},
    },
};
use crate::{
    api::condition::Reason,
    cli::operator::{OperatorError, dial, operate_through},
    plan::{Obstacle, Times},
    provider::endpoint::Endpoint,
    settings::Settings,
};

/// Where the chart is installed, and the ledgers are.
pub const NAMESPACE: &str = "handover-system";
/// The service account of the chart.
pub const ACCOUNT: &str = "handover";
/// What the control plane calls its identity.
pub const OPERATOR: &str = "operator";

/// How long it may take to finish what is in flight.
const FAREWELL: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// The identity to start a control plane with.
pub fn identity() -> Identity {
    Identity::service_account(OPERATOR, NAMESPACE, ACCOUNT)
}

/// `handover-sandbox operator`: what `handover run` does, but for providers elsewhere. Shorter times mean
/// more requests, which nobody but a simulator has asked for.
pub async fn operate_on_loopback(
    mut settings: Settings,
    times: Times,
) -> Result<(), OperatorError> {
    let dial = dial(settings.proxy.take());
    let guarded = Arc::new(move |endpoint: &_, timeout| {
        if is_loopback(Endpoint::host(endpoint)) {
            return dial(endpoint, timeout);
        }
        let message = "the sandbox speaks to providers on loopback only; give url such a host";
        Err(Obstacle::new(Reason::ConnectionNotReady, message))
    });
    operate_through(guarded, settings, times).await
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse();
    address.is_ok_and(|address: IpAddr| address.is_loopback())
}

/// A running operator; dropping it kills it.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    log: PathBuf,
    admin: SocketAddr,
}

impl Operator {
    /// Runs `handover-sandbox operator` from `binary`, with durations `time_scale` times shorter.
    pub fn start(
        plane: &ControlPlane,
        binary: &Path,
        time_scale: u32,
    ) -> Result<Self, SandboxError> {
        let kubeconfig = plane
            .kubeconfig(OPERATOR)
            .map_err(SandboxError::plane("find the operator's kubeconfig"))?;
        let admin = free_address().map_err(SandboxError::Operator)?;
        let log = plane.folder().join("operator.log");
        let program = Program {
            binary: binary.to_owned(),
            arguments: vec![
                "operator".to_owned(),
                format!("--time-scale={time_scale}"),
                format!("--namespace={NAMESPACE}"),
                format!("--admin-address={admin}"),
            ],
            environment: vec![("KUBECONFIG".to_owned(), kubeconfig.into_os_string())],
            log: log.clone(),
        };
        let process = Process::start(program, None).map_err(SandboxError::Operator)?;
        Ok(Self {
            process,
            log,
            admin,
        })
    }

    /// Where its probes and metrics are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// An error if it is not there any more.
    pub fn is_running(&mut self) -> Result<(), SandboxError> {
        if self.process.has_ended() {
            Err(SandboxError::OperatorEnded(self.log.clone()))
        } else {
            Ok(())
        }
    }

    /// As a Pod is stopped: SIGTERM, and some patience. Says whether that was enough.
    pub async fn stop(mut self) -> bool {
        if self.process.signal(Signal::Terminate).is_err() {
            return self.process.has_ended();
        }
        let deadline = Instant::now() + FAREWELL;
        while !self.process.has_ended() && Instant::now() < deadline {
            sleep(POLL).await;
        }
        self.process.has_ended()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.process.end();
    }
}

/// Free a moment ago.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

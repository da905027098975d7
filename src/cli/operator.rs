//! From settings to a running operator: its clients, its wire, its probes, and the signals that end it.

use std::{io, net::SocketAddr, sync::Arc};

use kube::{Client, Config, config::InferConfigError};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    api::condition::Reason,
    app::{self, Parts},
    clock::Clock,
    cluster,
    plan::{Obstacle, Times},
    provider::endpoint::HostRules,
    reconcile::connections::Dial,
    settings::{ProxyUrl, Settings, Watch},
    telemetry::{
        admin::{self, Readiness},
        metrics::Metrics,
    },
    transport::{
        Transport,
        network::{Network, NetworkOptions},
    },
};

/// Why the operator did not run, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// Neither a Pod's service account nor a kubeconfig.
    #[error("could not find out how to reach the API server")]
    Configuration(#[source] InferConfigError),
    /// A certificate or a key cannot be used.
    #[error("could not build a client of the API server")]
    Client(#[source] kube::Error),
    /// The address is taken, or not ours.
    #[error("could not listen on {address} (--admin-address)")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Nobody could tell the process to stop.
    #[error("could not wait for signals")]
    Signals(#[source] io::Error),
    /// The operator itself.
    #[error(transparent)]
    App(#[from] app::Error),
}

/// Runs an operator until SIGTERM or SIGINT, and answers probes from before it begins until after it ends.
pub async fn operate(settings: Settings, times: Times) -> Result<(), OperatorError> {
    let stopping = stop_on_signal().map_err(OperatorError::Signals)?;
    let clock = Clock::system();
    let client = client(&clock).await?;
    let listener = listen(settings.admin_address).await?;
    let metrics = Metrics::new(settings.per_resource_metrics);
    let readiness = Readiness::default();
    let ended = CancellationToken::new();
    let served = admin::serve(listener, readiness.clone(), metrics.clone(), ended.clone());
    let served = tokio::spawn(served);
    let outcome = app::run(Parts {
        client,
        namespace: settings.namespace,
        served: served_namespaces(settings.watch),
        selector: settings.selector,
        concurrency: settings.concurrency.get(),
        rules: HostRules::new(&settings.allow_hosts, &settings.allow_plain_http),
        dial: dial(settings.proxy),
        clock,
        times,
        metrics,
        readiness,
        stopping,
    })
    .await;
    ended.cancel();
    // Whether the last probe got its answer changes nothing any more.
    let _ = served.await;
    outcome.map_err(OperatorError::App)
}

async fn client(clock: &Clock) -> Result<Client, OperatorError> {
    let config = Config::infer()
        .await
        .map_err(OperatorError::Configuration)?;
    cluster::client(config, clock.clone()).map_err(OperatorError::Client)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, OperatorError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| OperatorError::Listen { address, source })
}

fn served_namespaces(watch: Watch) -> Option<Vec<String>> {
    match watch {
        Watch::Granted | Watch::Cluster => None,
        Watch::Namespaces(names) => Some(names.into_iter().collect()),
    }
}

/// One network per connection: each has its own timeout, and its own addresses that it may dial.
fn dial(proxy: Option<ProxyUrl>) -> Dial {
    Arc::new(move |endpoint, timeout| {
        let options = NetworkOptions {
            timeout,
            addresses: endpoint.address_policy().clone(),
            proxy: proxy.as_ref().map(|proxy| proxy.expose().to_owned()),
            ..NetworkOptions::default()
        };
        match Network::new(&options) {
            Ok(network) => Ok(Arc::new(network) as Arc<dyn Transport>),
            Err(error) => Err(Obstacle::new(Reason::ConnectionNotReady, error.to_string())),
        }
    })
}

/// Signals that come before anyone waits for them are not lost.
fn stop_on_signal() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stopping = CancellationToken::new();
    let told = stopping.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    Ok(stopping)
}

//! Handover on a control plane of its own, for trying it out.

use std::{error::Error, path::Path, process::ExitCode};

use clap::{Parser, Subcommand};
use handover::sandbox::{assets::Assets, progress::Progress, settings::Settings};

/// Handover on a control plane of its own: no cluster, no container engine, no root.
#[derive(Debug, Parser)]
#[command(name = "handover-sandbox", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find, download or build the control plane, and print the folder that it is in.
    ///
    /// The folder contains etcd, kube-apiserver, kube-controller-manager, kubectl and helm.
    /// `KUBEBUILDER_ASSETS`, `HANDOVER_CACHE` and `HANDOVER_KUBERNETES_VERSION` are honoured.
    Assets,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Assets => assets().await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_chain(&*error);
            ExitCode::FAILURE
        }
    }
}

async fn assets() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_environment()?;
    let folder = Assets::new(settings, Progress::stderr()).folder().await?;
    print_folder(&folder);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is the answer")]
fn print_folder(folder: &Path) {
    println!("{}", folder.display());
}

fn print_chain(error: &dyn Error) {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
}

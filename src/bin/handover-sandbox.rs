//! Handover on a control plane of its own, for trying it out.

use std::{error::Error, path::Path, process::ExitCode};

use clap::{Parser, Subcommand, builder::TypedValueParser, value_parser};
use handover::{
    cli::run,
    sandbox::{
        SandboxError, assets::Assets, operator::operate_on_loopback, progress::Progress, provider,
        settings::Settings, up,
    },
};

/// Handover on a control plane of its own: no cluster, no container engine, no root.
#[derive(Debug, Parser)]
#[command(name = "handover-sandbox", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    up: Up,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything and tell the story of a token; the default.
    Up(Up),
    /// Start the simulated providers alone, on loopback, until ctrl-C.
    Simulator {
        /// The port of the providers' APIs; 0 takes a free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// The port of the simulator's own controls; 0 takes a free one.
        #[arg(long, default_value_t = 0)]
        control_port: u16,
    },
    /// Run the operator exactly as `handover run` does, with shorter durations.
    ///
    /// Providers must be on loopback.
    Operator {
        /// How many times shorter every duration of protocol and specs is.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = time_scale())]
        time_scale: u32,
        #[command(flatten)]
        run: Box<run::RunArguments>,
    },
    /// Find, download or build the control plane, and print the folder that it is in.
    ///
    /// The folder contains etcd, kube-apiserver, kube-controller-manager, kubectl and helm.
    /// `KUBEBUILDER_ASSETS`, `HANDOVER_CACHE` and `HANDOVER_KUBERNETES_VERSION` are honoured.
    Assets,
}

#[derive(Debug, clap::Args)]
struct Up {
    /// End when the story is told; the exit code is 0 only if it came true.
    #[arg(long)]
    once: bool,
    /// Leave the folder with logs, data and kubeconfigs behind.
    #[arg(long)]
    keep: bool,
    /// How many times shorter every duration of protocol and specs is.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = time_scale())]
    time_scale: u32,
}

/// At 60 times, the shortest overlap is five seconds: what a volume needs to follow its Secret.
fn time_scale() -> impl TypedValueParser<Value = u32> {
    value_parser!(u32).range(1..=60)
}

fn main() -> ExitCode {
    let Arguments { command, up } = Arguments::parse();
    match command.unwrap_or(Command::Up(up)) {
        Command::Up(Up {
            once,
            keep,
            time_scale,
        }) => complete(up::up(up::Options {
            once,
            keep,
            time_scale,
        })),
        Command::Simulator { port, control_port } => {
            complete(provider::simulate((port, control_port)))
        }
        Command::Operator { time_scale, run } => {
            match run::run(*run, time_scale, operate_on_loopback) {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => {
                    eprintln!("handover-sandbox: {}", failure.chain());
                    failure.exit_code()
                }
            }
        }
        Command::Assets => complete(assets()),
    }
}

/// Runs a command to its end and tells why it failed, if it did.
#[tokio::main]
async fn complete(command: impl Future<Output = Result<(), SandboxError>>) -> ExitCode {
    match command.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_chain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn assets() -> Result<(), SandboxError> {
    let settings = Settings::from_environment().map_err(SandboxError::Settings)?;
    let assets = Assets::new(settings, Progress::stderr());
    let folder = assets.folder().await.map_err(SandboxError::Assets)?;
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

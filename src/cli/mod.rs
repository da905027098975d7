//! The command line: one file per subcommand.
//!
//! Arguments become [`Settings`] once, here, and nothing further in reads an environment variable.

use std::{
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{plan::Times, settings::Settings, yaml::YamlError};

pub mod crds;
pub mod operator;
pub mod run;
mod selector;

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or stopped as asked
  1  it failed; the last line says why
  2  the arguments, or the environment variables in their place, cannot be used";

/// Issues API credentials that are shown only once, and keeps them right
#[derive(Debug, Parser)]
#[command(name = "handover", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator
    #[command(after_help = EXIT_CODES)]
    Run(Box<run::RunArguments>),
    /// Print the custom resource definitions as YAML
    Crds,
}

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] run::BadSetting),
    /// The definitions cannot be made.
    #[error("could not make the definitions")]
    Definitions(#[source] YamlError),
    /// Nobody takes the output.
    #[error("could not write to standard output")]
    Output(#[source] io::Error),
    /// There are no logs.
    #[error("could not set up logs")]
    Logs(#[source] crate::telemetry::logs::LogError),
    /// There are no threads.
    #[error("could not start the runtime")]
    Runtime(#[source] io::Error),
    /// The operator ended by itself.
    #[error("the operator stopped")]
    Operator(#[source] Box<dyn Error>),
}

impl Failure {
    /// As `--help` says.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Setting(_) => ExitCode::from(2),
            Self::Definitions(_)
            | Self::Output(_)
            | Self::Logs(_)
            | Self::Runtime(_)
            | Self::Operator(_) => ExitCode::FAILURE,
        }
    }

    /// This error and what caused it, in one line. A source that its parent has quoted is not repeated.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(source) = next {
            let told = source.to_string();
            if !text.contains(&told) {
                text.push_str(": ");
                text.push_str(&told);
            }
            next = source.source();
        }
        text
    }
}

/// Carries out a command. `operator` is what `run` runs.
pub fn execute<R, E>(cli: Cli, operator: impl FnOnce(Settings, Times) -> R) -> Result<(), Failure>
where
    R: Future<Output = Result<(), E>>,
    E: Error + 'static,
{
    match cli.command {
        Command::Run(arguments) => run::run(*arguments, 1, operator),
        Command::Crds => print(&crds::crds().map_err(Failure::Definitions)?),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(Failure::Output)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not read the ledgers: {0}")]
    struct Quoting(#[source] io::Error);

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_failure_is_told_with_its_causes_each_once() {
        let cause = Quoting(io::Error::other("forbidden"));
        let failure = Failure::Operator(Box::new(cause));
        assert_eq!(
            failure.chain(),
            "the operator stopped: could not read the ledgers: forbidden"
        );
    }

    #[test]
    fn help_names_the_exit_codes() {
        for path in [&["handover", "--help"][..], &["handover", "run", "--help"]] {
            let help = Cli::try_parse_from(path).unwrap_err().to_string();
            assert!(help.contains(EXIT_CODES), "{help}");
        }
    }
}

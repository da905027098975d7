//! The operator and its command line.

use std::process::ExitCode;

use clap::Parser as _;
use handover::cli::{self, Cli, operator::operate};

fn main() -> ExitCode {
    match cli::execute(Cli::parse(), operate) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("handover: {}", failure.chain());
            failure.exit_code()
        }
    }
}

//! Detects anomalies in a table: `sconce-detect --help`.
#![allow(clippy::print_stderr)] // a program prints

use clap::Parser;
use sconce_anomaly::cli;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = cli::Cli::parse();
    match cli::run(&args, Box::new(std::io::stdin()), &mut std::io::stdout().lock(), &|line| eprintln!("{line}")) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the pipe has closed it.
        Err(sconce_anomaly::Error::Io { cause, .. }) if cause.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

//! The heavy binary: reproductions and data sets. `cargo xtask` builds and runs it.

#![allow(unreachable_pub)] // a binary: `pub` tells what a room shows to the others

mod attack;
mod claims;
mod cli;
mod datasets;
mod detect;
mod dossier;
mod experiment;
mod experiments;
mod forest;
mod generate;
mod html;
mod losses;
mod maps;
mod oracle;
mod pieces;
mod places;
mod plot;
mod recipe;
mod results;
mod run;
mod verdicts;

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    let command = cli::Cli::parse().command;
    // Inside the pool: an op's tasks then start on this very thread.
    let done = rayon::scope(|_| match command {
        cli::Command::Reproduce(args) => experiment::reproduce(&args),
        cli::Command::Report { rejudge: true, .. } => claims::rejudge(&places::workspace()),
        cli::Command::Attack { args } => attack::main(&args),
        cli::Command::Dossier { args } => dossier::main(&args),
        cli::Command::Detect { args } => detect::main(&args),
        cli::Command::Generate(args) => generate::main(&args),
        cli::Command::Oracle(args) => oracle::main(&args),
        cli::Command::Datasets(args) => datasets::main(&args.verb),
        _ => Err(anyhow::anyhow!("this command belongs to the light binary: run `cargo xtask`")),
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::from(1)
        }
    }
}

//! The light program: builds, checks, and starts `lab` and `bench`. It has no candle in its build.
#![allow(unreachable_pub)] // a program: `pub` tells what a room shows to the others

mod bench;
mod ci;
mod reproductions;
mod shell;
mod tidy;

use clap::Parser;
use std::process::ExitCode;
use xtask::cli::{Cli, Command};

/// What follows `--device`, for the features of the build.
fn device(args: &[String]) -> &str {
    let after = args.iter().skip_while(|a| *a != "--device").nth(1);
    after.map(String::as_str).or_else(|| args.iter().find_map(|a| a.strip_prefix("--device="))).unwrap_or("auto")
}

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Ci => ci::main(),
        Command::Bench(args) => bench::main(&args),
        Command::Tidy => tidy::main(),
        Command::Report { check, rejudge } => reproductions::main(check, rejudge),
        Command::Reproduce(args) => reproductions::known(&args.slug).and_then(|()| shell::lab(&args.device, args.hub)),
        Command::Attack { args } | Command::Dossier { args } => shell::lab(device(&args), false),
        Command::Detect { .. } | Command::Generate(_) | Command::Oracle(_) | Command::Datasets(_) => {
            shell::lab("cpu", false)
        }
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::from(1)
        }
    }
}

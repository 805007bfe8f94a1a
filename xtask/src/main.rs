//! The light binary: builds, checks, and forwards to the heavy one. It has no candle in its build.
#![allow(unreachable_pub)] // a binary: `pub` tells what a room shows to the others

mod bench;
mod bench_names;
mod ci;
mod cli;
mod reproductions;
mod shell;
mod tidy;
mod verdicts;

use clap::Parser;
use std::process::ExitCode;

/// What follows `--device`, for the features of the build.
fn device(args: &[String]) -> &str {
    let after = args.iter().skip_while(|a| *a != "--device").nth(1);
    after.map(String::as_str).or_else(|| args.iter().find_map(|a| a.strip_prefix("--device="))).unwrap_or("auto")
}

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    let done = match cli::Cli::parse().command {
        cli::Command::Ci => ci::main(),
        cli::Command::Bench(args) => bench::main(&args),
        cli::Command::Tidy => tidy::main(),
        cli::Command::Report { check, rejudge } => reproductions::main(check, rejudge),
        cli::Command::Reproduce(args) if ["sharpness", "smoothness"].contains(&args.slug.as_str()) => {
            shell::heavy_twice(&args.device, args.hub)
        }
        cli::Command::Reproduce(args) => shell::heavy(&args.device, args.hub),
        cli::Command::Attack { args } => shell::heavy(device(&args), false),
        cli::Command::Dossier { args } => shell::heavy_twice(device(&args), false),
        cli::Command::Detect { .. } => shell::heavy("cpu", false),
        cli::Command::Generate(_) => shell::heavy("cpu", false),
        cli::Command::Oracle(_) => shell::heavy("cpu", false),
        cli::Command::Datasets(_) => shell::heavy("cpu", false),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::from(1)
        }
    }
}

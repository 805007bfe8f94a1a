//! The light program: builds, checks, and starts `lab` and `bench`. It has no candle in its build.
#![allow(unreachable_pub)] // a program: `pub` tells what a room shows to the others

/// Prints a line. A reader that has closed standard output (`| head`) has read enough, and is no error.
macro_rules! say {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($line)*);
    }};
}

mod bench;
mod ci;
#[cfg(test)]
mod cluster;
mod papers;
mod reproductions;
mod shell;
mod tidy;

use clap::Parser;
use std::process::ExitCode;
use xtask::cli::{Cli, Command};

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Ci { only } => ci::main(only.as_deref().unwrap_or_default()),
        Command::Bench(args) => bench::main(&args),
        Command::Tidy => tidy::main(),
        Command::Report { check, rejudge } => reproductions::main(check, rejudge),
        Command::Reproduce(args) => reproductions::known(&args.slug)
            .and_then(|()| papers::needed(&args))
            .and_then(|papers| shell::lab(&papers, &args.device, args.places.hub)),
        Command::Oracle(_) => shell::lab(&[], "cpu", false),
        Command::Datasets(args) => shell::lab(&[], "cpu", args.verb.hub()),
        Command::Sconce(job) => shell::sconce(job.device()),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::from(1)
        }
    }
}

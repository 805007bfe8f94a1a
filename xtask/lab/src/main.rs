//! The lab: reproductions, and the programs that need candle. `cargo xtask` builds and starts it.

#![allow(unreachable_pub)] // a program: `pub` tells what a room shows to the others
#![cfg_attr(not(feature = "all"), allow(dead_code, unused_imports))] // one paper needs not all that the papers share

mod claims;
mod exit;
mod fanout;
mod index;
mod jobs;
mod pages;
mod paper;
mod papers;
mod pieces;
mod places;
mod recipe;
mod reproduce;
mod results;
mod terminal;
mod tools;

use anyhow::{Context, Result, bail};
use clap::Parser;
use std::process::ExitCode;
use xtask::cli::{Cli, Command, KEEP_GRAPH};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whether a command differentiates gradients.
fn twice(command: &Command) -> bool {
    match command {
        Command::Reproduce(args) => reproduce::entry(&args.slug).is_ok_and(|e| e.twice),
        _ => false,
    }
}

/// Starts this program once more with candle's graph of gradients kept: candle reads that from the environment.
fn keeping_the_graph() -> Result<u8> {
    let mut again = std::process::Command::new(std::env::current_exe()?);
    again.args(std::env::args_os().skip(1)).env(KEEP_GRAPH.0, KEEP_GRAPH.1);
    // In the place of this process where that can be: whoever ends it ends the other one.
    #[cfg(unix)]
    return Err(std::os::unix::process::CommandExt::exec(&mut again)).context("cannot start again");
    #[cfg(not(unix))]
    Ok(again.status().context("cannot start again")?.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1))
}

fn run(command: Command) -> Result<u8> {
    if twice(&command) && std::env::var_os(KEEP_GRAPH.0).is_none_or(|v| v != KEEP_GRAPH.1) {
        return keeping_the_graph();
    }
    // Inside the pool: an op's tasks then start on this very thread.
    rayon::scope(|_| match command {
        Command::Reproduce(args) => reproduce::main(&args),
        Command::Report { rejudge: true, .. } => claims::rejudge(&places::workspace()),
        #[cfg(feature = "oracle")]
        Command::Oracle(args) => tools::oracle::main(&args),
        #[cfg(not(feature = "oracle"))]
        Command::Oracle(_) => Err(papers::without("oracle")),
        Command::Datasets(args) => tools::datasets::main(&args.verb),
        _ => bail!("this command belongs to the light program: run `cargo xtask`"),
    })
}

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    let cli = Cli::parse();
    terminal::quiet(cli.talk.quiet);
    match run(cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            eprintln!("error: {}", sconce_tensor_core::error::describe(e.as_ref()));
            ExitCode::from(exit::code(&e))
        }
    }
}

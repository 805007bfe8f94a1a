//! From arguments to an exit code.

use crate::args::{Cli, Command, Job};
use crate::terminal::Terminal;
use crate::{attack, augment, data, detect, dossier, fidelity, generate, inspect, merge, pretrain, shell, stop};
use anyhow::{Context, Result};
use clap::Parser;
use sconce_tensor_core::error::describe;
use std::process::ExitCode;

/// What a command found.
pub(crate) enum Outcome {
    /// It did what was asked for.
    Done,
    /// The result is not what was asked for; why.
    Missed(String),
    /// Shares of it are missing; which.
    Holes(String),
}

/// The environment variable, with its value, that makes candle keep the graph of gradients, so that they can be differentiated again.
const KEEP_GRAPH: (&str, &str) = ("CANDLE_GRAD_DO_NOT_DETACH", "1");

/// For the run time: freed pages are kept, and candle's thread pool does not spin while ours works.
const ENVIRONMENT: [(&str, &str); 2] = [("MIMALLOC_PURGE_DELAY", "-1"), ("CANDLE_NUM_THREADS", "1")];

/// Set in the process that has the environment which it needs.
const READY: &str = "SCONCE_STARTED";

/// The allocator and candle read the environment when a process starts, so this program starts itself once more with it.
fn again(variables: &[(&str, &str)]) -> Result<u8> {
    let mut again = std::process::Command::new(std::env::current_exe()?);
    again.args(std::env::args_os().skip(1)).env(READY, "1");
    // What a command cannot work without is set, whatever the environment says.
    for (name, value) in variables.iter().filter(|v| v.0 == KEEP_GRAPH.0 || std::env::var_os(v.0).is_none()) {
        again.env(name, value);
    }
    // In the place of this process where that is possible: a signal then ends the work.
    #[cfg(unix)]
    return Err(std::os::unix::process::CommandExt::exec(&mut again)).context("cannot start again");
    #[cfg(not(unix))]
    Ok(again.status().context("cannot start again")?.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1))
}

fn job(job: &Job, terminal: &mut Terminal) -> Result<Outcome> {
    // Inside rayon's pool, so that the tasks of an op start on this thread.
    rayon::scope(|_| match job {
        Job::Attack(args) => attack::main(args, terminal),
        Job::Detect(args) => detect::main(args, terminal),
        Job::Merge(args) => merge::main(args, terminal),
        Job::Dossier(args) => dossier::main(args, terminal),
        Job::Model(verb) => inspect::main(verb, terminal),
        Job::Data(args) => data::main(args, terminal),
        Job::Pretrain(args) => pretrain::pretrain(args, terminal),
        Job::Probe(args) => pretrain::probe(args, terminal),
        Job::Fidelity(args) => fidelity::main(args, terminal),
        Job::Augment(args) => augment::main(args, terminal),
        Job::Generate(args) => generate::main(args, terminal),
    })
}

fn run(cli: &Cli, terminal: &mut Terminal) -> Result<u8> {
    let started = std::env::var_os(READY).is_some();
    let outcome = match &cli.command {
        Command::Completions { shell } => shell::completions(*shell),
        Command::Man { out } => shell::manual(out.as_deref(), terminal),
        Command::Job(Job::Dossier(_)) if !started => {
            let all: Vec<_> = ENVIRONMENT.into_iter().chain([KEEP_GRAPH]).collect();
            return again(&all);
        }
        // All that train or measure networks.
        Command::Job(
            Job::Attack(_) | Job::Detect(_) | Job::Pretrain(_) | Job::Probe(_) | Job::Fidelity(_) | Job::Augment(_),
        ) if !started => return again(&ENVIRONMENT),
        Command::Job(asked) => job(asked, terminal),
    }?;
    terminal.finish()?;
    Ok(match outcome {
        Outcome::Done => 0,
        Outcome::Missed(why) => {
            terminal.warn(&why);
            3
        }
        Outcome::Holes(which) => {
            terminal.warn(&format!("error: {which}"));
            4
        }
    })
}

/// Whether the reader of standard output has closed it: it has read enough.
fn closed_pipe(e: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        io.or(match cause.downcast_ref::<sconce_tensor_core::Error>() {
            Some(sconce_tensor_core::Error::Io { cause, .. }) => Some(cause.kind()),
            _ => None,
        })
    };
    e.chain().any(|cause| kind(cause) == Some(std::io::ErrorKind::BrokenPipe))
}

/// Whether it is the end of a run that was asked to stop.
fn stopped(e: &anyhow::Error) -> bool {
    e.chain().any(|c| matches!(c.downcast_ref(), Some(sconce_tensor_core::Error::Stopped { .. })))
}

/// Parses the arguments of the process and runs the command; returns the exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut terminal = Terminal::new(cli.talk);
    match run(&cli, &mut terminal) {
        Ok(code) => ExitCode::from(code),
        Err(e) if closed_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            terminal.warn(&format!("error: {}", describe(e.as_ref())));
            ExitCode::from(if stopped(&e) { stop::CODE } else { 1 })
        }
    }
}

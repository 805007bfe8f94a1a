//! `attack`: reads a model and data, runs a suite of attacks, judges the robust accuracy, and writes the result.

mod arrays;
mod evaluate;
mod input;
mod judge;
mod model;
mod page;
mod pictures;
mod property;
mod share;
mod text;
mod threat;
mod weights;

pub(crate) use evaluate::{Evaluated, evaluate};
pub(crate) use input::{Weights, device, read_images, sha256};
pub(crate) use judge::judge;
pub(crate) use model::{Opened, Told, open};
pub(crate) use page::{flags, opening, provenance, robustness};
pub(crate) use share::keep as keep_ledger;
pub(crate) use text::{fields, text};
pub(crate) use threat::{Threats, radius};

use crate::args::{Attack, AttackCommand};
use crate::program::Outcome;
use crate::stop;
use crate::terminal::{Terminal, json};
use anyhow::{Result, bail};
use std::path::Path;

/// Whether the ledger can be written, before the work.
pub(crate) fn check_ledger(args: &Attack, terminal: &mut Terminal) -> Result<()> {
    if args.ledger.as_deref() == Some(Path::new("-")) {
        bail!("--ledger -: a ledger is no text; name a file");
    }
    terminal.output("--ledger", args.ledger.as_deref()).map(drop)
}

/// Lists the ledger among the files that were written.
pub(crate) fn wrote_ledger(args: &Attack, terminal: &Terminal) {
    if let Some(path) = &args.ledger {
        terminal.wrote(path);
    }
}

/// Read, work, judge, write.
pub(crate) fn main(command: &AttackCommand, terminal: &mut Terminal) -> Result<Outcome> {
    let args = &command.attack;
    if let Some(property) = &args.vnnlib {
        return property::main(args, property, terminal);
    }
    if let (Some(shard), Some(out)) = (&command.shard, &command.out) {
        return share::main(args, (shard, out), terminal);
    }
    if args.ledger.is_some() {
        stop::listen()?;
    }
    let json_file = terminal.output("--json", args.json.as_deref())?;
    let page_file = terminal.output("--html", args.html.as_deref())?;
    check_ledger(args, terminal)?;
    let done = evaluate(args, page_file.is_some(), terminal)?;
    let outcome = judge(args, &done)?;
    terminal.result(&text(args, &done)?)?;
    terminal.write(json_file.as_ref(), || json("attack", fields(args, &done)?))?;
    terminal.write(page_file.as_ref(), || page::html(args, &done))?;
    wrote_ledger(args, terminal);
    Ok(outcome)
}

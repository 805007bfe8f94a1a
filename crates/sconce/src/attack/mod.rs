//! `attack`: reads a model and data, runs a suite of attacks, judges the robust accuracy, and writes the result.

mod evaluate;
mod input;
mod judge;
mod page;
mod pictures;
mod text;
mod threat;

pub(crate) use evaluate::{Evaluated, evaluate};
pub(crate) use input::{device, network, read_images};
pub(crate) use judge::judge;
pub(crate) use page::{flags, opening, provenance, robustness};
pub(crate) use text::{fields, text};
pub(crate) use threat::{Threats, radius};

use crate::args::Attack;
use crate::program::Outcome;
use crate::terminal::{Terminal, json};
use anyhow::Result;

/// Read, work, judge, write.
pub(crate) fn main(args: &Attack, terminal: &mut Terminal) -> Result<Outcome> {
    let json_file = terminal.output("--json", args.json.as_deref())?;
    let page_file = terminal.output("--html", args.html.as_deref())?;
    let done = evaluate(args, page_file.is_some(), terminal)?;
    let outcome = judge(args, &done)?;
    terminal.result(&text(args, &done)?)?;
    terminal.write(json_file.as_ref(), || json("attack", fields(args, &done)?))?;
    terminal.write(page_file.as_ref(), || page::html(args, &done))?;
    if let Some(path) = &args.ledger {
        terminal.wrote(path);
    }
    Ok(outcome)
}

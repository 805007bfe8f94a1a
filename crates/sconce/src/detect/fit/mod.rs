//! `detect fit`: reads a table, fits a detector on it, evaluates it on held-out rows, and saves it.

mod work;
mod write;

use super::method;
use super::table::{Columns, Source, exists, read};
use crate::args::Fit;
use crate::program::Outcome;
use crate::terminal::{Terminal, json};
use anyhow::{Result, bail};
use std::path::Path;
use work::fit;
use write::{fields, text};

/// With fewer held-out scores no p-value is as small as 0.05.
const FEW_SCORES: usize = 19;

/// Check, read, work, write.
pub(super) fn main(args: &Fit, terminal: &mut Terminal) -> Result<Outcome> {
    let changes = check(args)?;
    if args.out == Path::new("-") {
        bail!("--out -: a detector is not text; name a file for it");
    }
    terminal.output("--out", Some(&args.out))?;
    let json_file = terminal.output("--json", args.json.as_deref())?;
    let source = Source::open(&args.data)?;
    let data = read(&source, &args.columns, &args.preprocessing)?;
    data.notes.iter().for_each(|note| terminal.note(note));
    let columns = Columns::of(&data.table)?;
    terminal.result(&columns.text(terminal.verbose()))?;
    terminal.note(&format!("fitting {} on {}", args.detector, source.path().display()));
    let done = fit(args, &changes, &data)?;
    sconce_anomaly::save(&*done.detector, &args.out)?;
    terminal.result(&text(args, &done))?;
    if done.calibration() < FEW_SCORES {
        terminal.warn(&format!(
            "the scores of {} held-out normal rows are few: a p-value is at least 1/{}, so that no row can be flagged at 5 % (19 are needed); fit on \
             more rows, hold out more with --calibration, or score with another --threshold",
            done.calibration(),
            done.calibration() + 1
        ));
    }
    terminal.write(json_file.as_ref(), || json("detect fit", fields(args, &columns, &done)))?;
    terminal.wrote(&args.out);
    Ok(Outcome::Done)
}

/// Fails for arguments that cannot work, before any data is read; returns the changes to the configuration.
fn check(args: &Fit) -> Result<serde_json::Value> {
    if args.test >= 1.0 {
        bail!("--test {}: must be in [0, 1): some rows are needed for fitting", args.test);
    }
    if !(args.calibration > 0.0 && args.calibration < 1.0) {
        bail!("--calibration {}: must be in (0, 1)", args.calibration);
    }
    exists(&args.data)?;
    let changes = method::changes(&args.set)?;
    method::check(&args.detector, &changes)?;
    Ok(changes)
}

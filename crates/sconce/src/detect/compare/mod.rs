//! `detect compare`: reads labelled tables, runs detectors on them, decides whether they differ, and writes a table and a page.

mod judge;
mod page;
pub(crate) mod shares;
mod text;
mod timed;
mod work;

use super::method;
use super::table::{Source, exists};
use crate::args::Compare;
use crate::places::is_stdin;
use crate::program::Outcome;
use crate::terminal::{Terminal, json};
use anyhow::{Result, bail};
use judge::Comparison;
use sconce_anomaly::methods::needs_known;
use serde_json::Value;
use std::sync::Arc;
use text::{fields, text};
use timed::Times;

/// Check, read and work table by table, judge, write.
pub(super) fn main(args: &Compare, terminal: &mut Terminal) -> Result<Outcome> {
    check(args)?;
    Terminal::folder("--out", &args.out)?;
    let result = terminal.output("--out", Some(&args.out.join("compare.json")))?;
    let report = terminal.output("--out", Some(&args.out.join("report.html")))?;
    let json_file = terminal.output("--json", args.json.as_deref())?;
    let sources = args.data.iter().map(|path| Source::open(path)).collect::<Result<Vec<_>>>()?;
    let share = args.shard.as_ref().map(|s| s.resolve(|name| std::env::var(name).ok())).transpose();
    let share = share.map_err(anyhow::Error::msg)?;
    let times = Arc::new(Times::open(&args.out, share));
    let (cells, files) = work::cells(args, &sources, share, &times, terminal)?;
    if let Some(share) = share {
        times.save()?;
        shares::write(&args.out, share, &files)?;
        terminal.result(&format!("share {share}: {} cells in {}", cells.len(), args.out.display()))?;
        return Ok(Outcome::Done);
    }
    times.save()?;
    let done = Comparison::new(&args.detectors, cells, &times)?;
    terminal.result(&text(&done))?;
    for file in [&result, &json_file] {
        terminal.write(file.as_ref(), || json("detect compare", fields(args, &done)))?;
    }
    terminal.write(report.as_ref(), || page::html(args, &done))?;
    Ok(Outcome::Done)
}

/// Fails for arguments that cannot work, before any data is read.
fn check(args: &Compare) -> Result<()> {
    if !(args.test > 0.0 && args.test < 1.0) {
        bail!("--test {}: must be in (0, 1)", args.test);
    }
    if args.columns.label.is_none() {
        bail!("--label is required: detectors are compared on labelled rows");
    }
    for (i, name) in args.detectors.iter().enumerate() {
        method::check(name, &Value::Null)?;
        if args.detectors[..i].contains(name) {
            bail!("--detectors: `{name}` is named twice");
        }
        if args.labelled == Some(0) && needs_known(name) {
            bail!("--labelled 0: `{name}` needs known anomalies");
        }
    }
    args.data.iter().try_for_each(|path| exists(path))?;
    if args.data.iter().filter(|path| is_stdin(path)).count() > 1 {
        bail!("--data -: standard input is one table");
    }
    let names: Vec<_> = args.data.iter().map(|p| p.file_name()).collect();
    if let Some(i) = (1..names.len()).find(|i| names[..*i].contains(&names[*i])) {
        bail!(
            "--data: two tables have the name of {}; results are stored by name, so rename one of them",
            args.data[i].display()
        );
    }
    Ok(())
}

//! The command for people with a table: fits, scores, compares. Feature `cli`.

mod args;
mod compare;
mod data;
mod fit;
mod score;

pub use args::{Cli, Compare, Fit, Format, MissingName, Preparing, Reading, ScaleName, Score, Verb};
pub use clap::Parser;
pub use compare::compare;
pub use fit::fit;
pub use score::{Done, score};

use crate::Result;
use crate::metrics::{Ranked, auroc_interval};
use sconce_tensor_core::Rng;
use std::io::{Read, Write};

/// Draws behind an interval.
const RESAMPLES: usize = 200;

/// How well scores fit labels, in a line; rows without a label are left out, and one class alone is said.
fn judged(what: &str, scores: &[f64], truth: &[Option<bool>], seed: u64) -> Result<String> {
    let both = scores.iter().zip(truth).filter_map(|(s, t)| Some((*s, (*t)?)));
    let (scores, truth): (Vec<f64>, Vec<bool>) = both.unzip();
    let strange = truth.iter().filter(|t| **t).count();
    if strange == 0 || strange == truth.len() {
        return Ok(format!("{what}: {strange} anomalies among {} labelled rows, no AUROC\n", truth.len()));
    }
    let ranked = Ranked::new(&scores, &truth)?;
    // The interval of many rows is narrow and slow to draw.
    let interval = if truth.len() <= 20_000 {
        let i = auroc_interval(&scores, &truth, RESAMPLES, &Rng::new(seed).stream("interval"))?;
        format!(" [{:.4}, {:.4}]", i.lo, i.hi)
    } else {
        String::new()
    };
    Ok(format!(
        "{what}: AUROC {:.4}{interval}, average precision {:.4}, {strange} anomalies among {} labelled rows\n",
        ranked.auroc(),
        ranked.average_precision(),
        truth.len()
    ))
}

/// Does what the arguments say: rows without a file come from `input`, scores go to `out`, lines for people to `warn`.
///
/// # Errors
/// Those of the verb.
pub fn run(cli: &Cli, input: Box<dyn Read>, out: &mut dyn Write, warn: &(dyn Fn(&str) + Sync)) -> Result<()> {
    match &cli.verb {
        Verb::Fit(args) => {
            warn(&format!("fitting {} on {}", args.detector, args.data.display()));
            warn(fit(args)?.trim_end());
        }
        Verb::Score(args) => {
            let done = score(args, input, out, &mut |w| warn(w))?;
            let bad = if done.bad > 0 { format!(", {} could not be scored", done.bad) } else { String::new() };
            warn(&format!("{} rows, {} anomalies{bad}", done.rows, done.anomalies));
            if !done.lines.is_empty() {
                warn(done.lines.trim_end());
            }
        }
        Verb::Compare(args) => {
            let lines = compare(args, &|c| warn(&format!("{} seed {}: {}", c.dataset, c.seed, c.method)))?;
            out.write_all(lines.as_bytes()).map_err(crate::Error::io("standard output"))?;
        }
    }
    Ok(())
}

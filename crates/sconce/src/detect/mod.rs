//! The program `sconce-detect`: fits, scores and compares detectors on tables. Feature `cli`.

mod args;
mod compare;
mod data;
mod fit;
mod score;

pub use args::{
    Cli, Command, CompareArgs, FitArgs, Format, MissingName, PreprocessingArgs, ScaleName, ScoreArgs, TableArgs,
};
pub use clap::Parser;
pub use compare::compare;
pub use fit::fit;
pub use score::{ScoreSummary, score};

use crate::Result;
use crate::metrics::{Ranked, auroc_interval};
use sconce_tensor_core::Rng;
use std::io::{Read, Write};

/// Bootstrap resamples behind an interval.
const RESAMPLES: usize = 200;

/// How well scores agree with labels, in one line. Rows without a label are ignored; with labels of one class only, the line says
/// so and has no AUROC.
fn evaluation(what: &str, scores: &[f64], labels: &[Option<bool>], seed: u64) -> Result<String> {
    let both = scores.iter().zip(labels).filter_map(|(s, l)| Some((*s, (*l)?)));
    let (scores, labels): (Vec<f64>, Vec<bool>) = both.unzip();
    let anomalies = labels.iter().filter(|l| **l).count();
    if anomalies == 0 || anomalies == labels.len() {
        return Ok(format!("{what}: {anomalies} anomalies among {} labelled rows, no AUROC\n", labels.len()));
    }
    let ranked = Ranked::new(&scores, &labels)?;
    // With many rows the interval is narrow and slow to draw.
    let interval = if labels.len() <= 20_000 {
        let i = auroc_interval(&scores, &labels, RESAMPLES, &Rng::new(seed).stream("interval"))?;
        format!(" [{:.4}, {:.4}]", i.lo, i.hi)
    } else {
        String::new()
    };
    Ok(format!(
        "{what}: AUROC {:.4}{interval}, average precision {:.4}, {anomalies} anomalies among {} labelled rows\n",
        ranked.auroc(),
        ranked.average_precision(),
        labels.len()
    ))
}

/// Runs the command: reads rows without a file from `input`, writes scores and tables to `out`, and reports progress and warnings to
/// `warn`, line by line.
///
/// # Errors
/// Those of [`fit`], [`score`] and [`compare`].
pub fn run(cli: &Cli, input: Box<dyn Read>, out: &mut dyn Write, warn: &(dyn Fn(&str) + Sync)) -> Result<()> {
    match &cli.command {
        Command::Fit(args) => {
            warn(&format!("fitting {} on {}", args.detector, args.data.display()));
            warn(fit(args)?.trim_end());
        }
        Command::Score(args) => {
            let done = score(args, input, out, &mut |w| warn(w))?;
            let failed = if done.failed > 0 { format!(", {} could not be scored", done.failed) } else { String::new() };
            warn(&format!("{} rows, {} anomalies{failed}", done.rows, done.anomalies));
            if !done.evaluation.is_empty() {
                warn(done.evaluation.trim_end());
            }
        }
        Command::Compare(args) => {
            let lines = compare(args, &|c| warn(&format!("{} seed {}: {}", c.dataset, c.seed, c.method)))?;
            out.write_all(lines.as_bytes()).map_err(crate::Error::io("standard output"))?;
        }
    }
    Ok(())
}

//! `score`: reads rows, scores them, decides which are anomalies, writes a line for each, and evaluates against labels.

mod decision;
mod reader;
mod scorer;
mod writer;

use super::args::{ScoreArgs, ThresholdRule};
use super::evaluation;
use crate::{Detector, Error, Result, load};
use decision::Decision;
use reader::RowReader;
use sconce_tensor_core::store;
use sconce_tensor_core::table::Schema;
use scorer::{ScoredBlock, Scorer};
use std::io::{Read, Write};
use std::path::Path;
use writer::{ScoreWriter, Sink};

/// Counts of what was written, and the evaluation against labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScoreSummary {
    /// Rows with a score.
    pub rows: usize,
    /// Rows above the threshold.
    pub anomalies: usize,
    /// Rows that could not be scored, with `--keep-going`.
    pub failed: usize,
    /// How well the scores agree with the labels, in lines of text; empty without labels.
    pub evaluation: String,
}

/// The parts of one run that do not change from row to row.
struct Run<'a> {
    args: &'a ScoreArgs,
    threshold: ThresholdRule,
    detector: &'a dyn Detector,
    schema: &'a Schema,
}

/// Scores a table or, without one, `input` row by row: each row's line is written before the next row is read. With `--keep-going`
/// the rows that cannot be scored are reported to `warn`.
///
/// # Errors
/// A detector or a table that cannot be read; columns that differ from the detector's; without `--keep-going` a row that cannot be
/// scored, with its number; a threshold that needs held-out scores or a whole table where there is none.
pub fn score(
    args: &ScoreArgs,
    input: Box<dyn Read>,
    out: &mut dyn Write,
    warn: &mut dyn FnMut(&str),
) -> Result<ScoreSummary> {
    let threshold = args.threshold_rule()?;
    let detector = load(&args.model)?;
    let no_columns = || Error::Checkpoint {
        path: args.model.clone(),
        reason: "the detector has no column names; save one by `fit`".to_owned(),
    };
    let schema = detector.schema().cloned().ok_or_else(no_columns)?;
    let run = Run { args, threshold, detector: &*detector, schema: &schema };
    match &args.out {
        None => run.execute(input, Sink { out, name: Path::new("standard output") }, warn),
        Some(path) => {
            let mut bytes = Vec::new();
            let summary = run.execute(input, Sink { out: &mut bytes, name: path }, warn)?;
            store::write_whole(path, &bytes)?;
            Ok(summary)
        }
    }
}

impl Run<'_> {
    /// Read, score, decide, write, block by block; evaluate at the end.
    fn execute(&self, input: Box<dyn Read>, sink: Sink<'_>, warn: &mut dyn FnMut(&str)) -> Result<ScoreSummary> {
        let decision = Decision::new(self.threshold, self.detector, self.args.data.is_some())?;
        let mut rows = RowReader::open(self.args, self.schema, input)?;
        let scorer = Scorer { args: self.args, detector: self.detector, schema: self.schema, path: rows.path() };
        let mut writer = ScoreWriter::start(self.args, self.detector, self.schema, sink)?;
        let mut all = Collected::default();
        while let Some(block) = rows.next_block(warn)? {
            let scored = scorer.score(block, warn)?;
            // A stream has no end: its scores are kept only where they are needed.
            if rows.labelled() || decision.is_none() {
                all.add(&scored);
            }
            match &decision {
                Some(decision) => writer.write(&scored, decision)?,
                None => all.waiting.push(scored),
            }
            if rows.is_stream() {
                writer.flush()?;
            }
        }
        if let ThresholdRule::Contamination(share) = self.threshold {
            let decision = Decision::by_contamination(&all.scores, share)?;
            all.waiting.iter().try_for_each(|scored| writer.write(scored, &decision))?;
        }
        let mut summary = writer.finish()?;
        if rows.labelled() {
            summary.evaluation = evaluation("of the rows scored", &all.scores, &all.labels, 0)?;
        }
        Ok(summary)
    }
}

/// Scores and labels of all rows with a score, and the blocks that wait for a threshold.
#[derive(Default)]
struct Collected {
    scores: Vec<f64>,
    labels: Vec<Option<bool>>,
    waiting: Vec<ScoredBlock>,
}

impl Collected {
    fn add(&mut self, block: &ScoredBlock) {
        self.scores.extend(block.rows.iter().filter_map(|r| r.score));
        self.labels.extend(&block.labels);
    }
}

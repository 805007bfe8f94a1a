//! The way of a block of rows from the reader to the writer.

use super::decision::{Decision, Rule};
use super::reader::RowReader;
use super::scorer::{ScoredBlock, Scorer};
use super::writer::ScoreWriter;
use crate::args::Score;
use crate::detect::evaluation::Evaluation;
use crate::detect::table::{Source, Unseen};
use anyhow::Result;
use sconce_anomaly::Detector;
use sconce_tensor_core::table::Schema;
use std::io::Write;

/// Counts of what was written, and the evaluation against labels.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// Rows with a score.
    pub(super) rows: usize,
    /// Rows that were flagged.
    pub(super) anomalies: usize,
    /// Rows that could not be scored, with `--keep-going`.
    pub(super) failed: usize,
    /// Rows with a category that fitting did not see, by column.
    pub(super) unseen: Unseen,
    /// The score above which rows were flagged; `None` where p-values decided.
    pub(super) above: Option<f64>,
    /// How well the scores agree with the labels; `None` without labels.
    pub(super) evaluation: Option<Evaluation>,
}

/// The parts of one run that do not change from row to row.
pub(super) struct Run<'a> {
    pub(super) args: &'a Score,
    pub(super) rule: Rule,
    pub(super) detector: &'a dyn Detector,
    pub(super) schema: &'a Schema,
    /// `None` for rows of standard input, line by line.
    pub(super) source: Option<&'a Source>,
}

impl Run<'_> {
    /// Read, score, decide, write, block by block; evaluate at the end. The line of a row of a stream is written before the next row is read.
    ///
    /// # Errors
    /// A table that cannot be read; columns that differ from the detector's; without `--keep-going` a row that cannot be scored, with its
    /// number; a threshold that needs held-out scores or a whole table where there is none; an output that cannot be written to.
    pub(super) fn execute(&self, out: &mut dyn Write, warn: &mut dyn FnMut(&str)) -> Result<Summary> {
        let mut decision = Decision::new(self.rule, self.detector, self.source.is_some())?;
        if let Some(why) = decision.as_ref().and_then(Decision::impossible) {
            warn(&why);
        }
        let mut rows = RowReader::open(self.args, self.schema, self.source)?;
        let scorer = Scorer { args: self.args, detector: self.detector, schema: self.schema, path: rows.path() };
        let mut writer = ScoreWriter::start(self.args, self.detector, self.schema, out)?;
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
        if let Rule::Contamination(share) = self.rule {
            let (by_share, tied) = Decision::by_contamination(&all.scores, share)?;
            tied.iter().for_each(|line| warn(line));
            all.waiting.iter().try_for_each(|scored| writer.write(scored, &by_share))?;
            decision = Some(by_share);
        }
        let mut summary = writer.finish()?;
        summary.above = decision.and_then(|d| d.above());
        let labelled = rows.labelled();
        summary.unseen = rows.finish()?;
        for (column, (count, first)) in &summary.unseen {
            warn(&format!(
                "{count} rows have a name in column `{column}` that fitting did not see (`{first}` is the first): they are scored as at least as \
                 strange as rows with the rarest known name"
            ));
        }
        if labelled {
            summary.evaluation = Some(Evaluation::new(&all.scores, &all.labels, 0)?);
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

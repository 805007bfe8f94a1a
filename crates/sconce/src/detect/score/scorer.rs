//! Scores of blocks of rows.

use super::reader::Block;
use crate::args::Score;
use anyhow::Result;
use candle_core::{Device, Tensor};
use sconce_anomaly::Detector;
use sconce_tensor_core::table::Schema;
use std::path::Path;

/// Scores blocks with a detector.
pub(super) struct Scorer<'a> {
    pub(super) args: &'a Score,
    pub(super) detector: &'a dyn Detector,
    pub(super) schema: &'a Schema,
    /// Where the rows come from, for messages.
    pub(super) path: &'a Path,
}

/// A row with its score; both are missing where it could not be scored.
#[derive(Default)]
pub(super) struct ScoredRow {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) score: Option<f64>,
    /// One number a column, where the detector gives them and they are asked for.
    pub(super) contributions: Option<Vec<f64>>,
}

/// All rows of a block.
pub(super) struct ScoredBlock {
    pub(super) rows: Vec<ScoredRow>,
    /// The labels of the rows with a score, in order.
    pub(super) labels: Vec<Option<bool>>,
}

/// A score, if there is one, with its contributions.
type Scored = (Option<f64>, Option<Vec<f64>>);

impl Scorer<'_> {
    /// Scores all rows of a block together; where that fails, one by one, so that the row that fails is known.
    ///
    /// # Errors
    /// Without `--keep-going` a row that cannot be scored, with its number.
    pub(super) fn score(&self, block: Block, warn: &mut dyn FnMut(&str)) -> Result<ScoredBlock> {
        let scored = match self.together(&block.values) {
            Ok(scored) => scored,
            Err(_) => self.one_by_one(&block, warn)?,
        };
        let with_score = block.labels.into_iter().zip(&scored).filter(|(_, s)| s.0.is_some());
        let labels = with_score.map(|(label, _)| label).collect();
        let mut scored = scored.into_iter();
        let rows = block.rows.into_iter().map(|row| {
            let (score, contributions) =
                if row.readable { scored.next().unwrap_or_default() } else { Default::default() };
            ScoredRow { number: row.number, score, contributions }
        });
        Ok(ScoredBlock { rows: rows.collect(), labels })
    }

    fn together(&self, values: &[f64]) -> Result<Vec<Scored>> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let d = self.schema.columns().len();
        let x = Tensor::from_slice(values, (values.len() / d, d), &Device::Cpu)?;
        let parts = if self.args.explain > 0 { self.detector.contributions(&x)? } else { None };
        let parts: Option<Vec<f64>> = parts.map(|p| p.flatten_all()?.to_vec1()).transpose()?;
        let of_row = |i: usize| parts.as_ref().map(|p| p[i * d..][..d].to_vec());
        let scores = self.detector.score(&x)?.to_vec1::<f64>()?;
        Ok(scores.into_iter().enumerate().map(|(i, s)| (Some(s), of_row(i))).collect())
    }

    fn one_by_one(&self, block: &Block, warn: &mut dyn FnMut(&str)) -> Result<Vec<Scored>> {
        let readable = block.rows.iter().filter(|r| r.readable);
        let each = readable.zip(block.values.chunks_exact(self.schema.columns().len()));
        each.map(|(row, values)| match self.together(values) {
            Ok(scored) => Ok(scored.into_iter().next().unwrap_or_default()),
            Err(e) if self.args.keep_going => {
                warn(&format!("row {}: {e:#}", row.number));
                Ok((None, None))
            }
            Err(e) => Err(e.context(format!("{}: row {}", self.path.display(), row.number))),
        })
        .collect()
    }
}

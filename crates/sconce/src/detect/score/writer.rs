//! A line for each row.

use super::decision::Decision;
use super::run::Summary;
use super::scorer::{ScoredBlock, ScoredRow};
use crate::args::{Score, ScoreFormat};
use anyhow::{Context, Result};
use sconce_anomaly::Detector;
use sconce_tensor_core::table::Schema;
use std::io::Write;

/// Writes scored rows and counts them.
pub(super) struct ScoreWriter<'a, 'w> {
    args: &'a Score,
    detector: &'a dyn Detector,
    schema: &'a Schema,
    out: &'w mut dyn Write,
    summary: Summary,
}

impl<'a, 'w> ScoreWriter<'a, 'w> {
    /// Writes the header, where the format has one.
    pub(super) fn start(
        args: &'a Score,
        detector: &'a dyn Detector,
        schema: &'a Schema,
        out: &'w mut dyn Write,
    ) -> Result<Self> {
        let mut writer = Self { args, detector, schema, out, summary: Summary::default() };
        match args.format {
            ScoreFormat::Csv if args.explain > 0 => writer.line("row,score,p_value,anomaly,contributions")?,
            ScoreFormat::Csv => writer.line("row,score,p_value,anomaly")?,
            ScoreFormat::Json => {}
        }
        Ok(writer)
    }

    pub(super) fn write(&mut self, block: &ScoredBlock, decision: &Decision<'_>) -> Result<()> {
        block.rows.iter().try_for_each(|row| self.row(row, decision))
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.out.flush().context("the scores")
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let written = self.out.write_all(line.as_bytes()).and_then(|()| self.out.write_all(b"\n"));
        written.context("the scores")
    }

    /// Flushes, and returns the counts.
    pub(super) fn finish(mut self) -> Result<Summary> {
        self.flush()?;
        Ok(self.summary)
    }

    fn row(&mut self, row: &ScoredRow, decision: &Decision<'_>) -> Result<()> {
        let anomaly = row.score.map(|s| decision.is_anomaly(s)).transpose()?;
        let p_value = |s: f64| self.detector.calibration().map(|c| c.p_value(s)).transpose();
        let p_value = row.score.map(p_value).transpose()?.flatten();
        match anomaly {
            Some(anomaly) => {
                self.summary.rows += 1;
                self.summary.anomalies += usize::from(anomaly);
            }
            None => self.summary.failed += 1,
        }
        let parts = row.contributions.as_deref().filter(|_| self.args.explain > 0);
        let largest = parts.map(|p| self.largest(p));
        let line = match self.args.format {
            ScoreFormat::Json => json_line(row, p_value, anomaly, largest),
            ScoreFormat::Csv => self.csv_line(row, p_value, anomaly, largest.unwrap_or_default()),
        };
        self.line(&line)
    }

    /// The columns that contribute most, with their shares of the sum of all magnitudes.
    fn largest(&self, parts: &[f64]) -> Vec<(String, f64)> {
        let total = parts.iter().map(|p| p.abs()).sum::<f64>().max(f64::MIN_POSITIVE);
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by(|a, b| parts[*b].total_cmp(&parts[*a]));
        let columns = self.schema.columns();
        order.into_iter().take(self.args.explain).map(|i| (columns[i].name.clone(), parts[i] / total)).collect()
    }

    fn csv_line(
        &self,
        row: &ScoredRow,
        p_value: Option<f64>,
        anomaly: Option<bool>,
        largest: Vec<(String, f64)>,
    ) -> String {
        let number = |v: Option<f64>| v.map_or_else(String::new, |v| v.to_string());
        let mut line = format!("{},{},{},", row.number, number(row.score), number(p_value));
        line += anomaly.map_or("", |a| if a { "1" } else { "0" });
        if self.args.explain > 0 {
            let all = largest.into_iter().map(|(name, share)| format!("{name} {share:.3}"));
            line += &format!(",\"{}\"", all.collect::<Vec<_>>().join("; ").replace('"', "\"\""));
        }
        line
    }
}

fn json_line(
    row: &ScoredRow,
    p_value: Option<f64>,
    anomaly: Option<bool>,
    largest: Option<Vec<(String, f64)>>,
) -> String {
    let mut object =
        serde_json::json!({ "row": row.number, "score": row.score, "p_value": p_value, "anomaly": anomaly });
    if let Some(largest) = largest {
        let shares: serde_json::Map<_, _> = largest.into_iter().map(|(name, share)| (name, share.into())).collect();
        object["contributions"] = shares.into();
    }
    object.to_string()
}

//! How well scores agree with labels.

use anyhow::Result;
use sconce_anomaly::metrics::{Ranked, auroc_interval};
use sconce_tensor_core::Rng;
use sconce_tensor_core::stats::Interval;
use serde_json::{Value, json};

/// Bootstrap resamples behind an interval.
const RESAMPLES: usize = 200;
/// With more rows the interval is narrow and slow to compute.
const MOST_ROWS: usize = 20_000;

/// Scores against labels.
#[derive(Debug)]
pub(super) struct Evaluation {
    /// Rows with a label.
    rows: usize,
    anomalies: usize,
    /// `None` where all labels are of one class.
    quality: Option<Quality>,
}

#[derive(Debug)]
struct Quality {
    auroc: f64,
    ci95: Option<Interval>,
    average_precision: f64,
}

impl Evaluation {
    /// Evaluates scores; rows without a label are ignored.
    ///
    /// # Errors
    /// A score that is NaN.
    pub(super) fn new(scores: &[f64], labels: &[Option<bool>], seed: u64) -> Result<Self> {
        let both = scores.iter().zip(labels).filter_map(|(s, l)| Some((*s, (*l)?)));
        let (scores, labels): (Vec<f64>, Vec<bool>) = both.unzip();
        let (rows, anomalies) = (labels.len(), labels.iter().filter(|l| **l).count());
        if anomalies == 0 || anomalies == rows {
            return Ok(Self { rows, anomalies, quality: None });
        }
        let ranked = Ranked::new(&scores, &labels)?;
        let interval = || auroc_interval(&scores, &labels, RESAMPLES, &Rng::new(seed).stream("interval"));
        let ci95 = (rows <= MOST_ROWS).then(interval).transpose()?;
        let quality = Quality { auroc: ranked.auroc(), ci95, average_precision: ranked.average_precision() };
        Ok(Self { rows, anomalies, quality: Some(quality) })
    }

    /// One line; `what` says which rows.
    pub(super) fn text(&self, what: &str) -> String {
        let Self { rows, anomalies, .. } = self;
        match &self.quality {
            None => format!("{what}: {anomalies} anomalies among {rows} labelled rows, no AUROC"),
            Some(q) => {
                let ci95 = q.ci95.map_or_else(String::new, |i| format!(" [{:.4}, {:.4}]", i.lo, i.hi));
                let (auroc, precision) = (q.auroc, q.average_precision);
                format!(
                    "{what}: AUROC {auroc:.4}{ci95}, average precision {precision:.4}, {anomalies} anomalies among {rows} labelled rows"
                )
            }
        }
    }

    /// The fields of the JSON summary; null where all labels are of one class.
    pub(super) fn json(&self) -> Value {
        match &self.quality {
            None => Value::Null,
            Some(q) => json!({
                "auroc": q.auroc,
                "ci95": q.ci95.map(|i| [i.lo, i.hi]),
                "average_precision": q.average_precision,
                "anomalies": self.anomalies,
                "rows": self.rows,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_one_class_have_no_auroc_and_missing_labels_do_not_count() {
        let one = Evaluation::new(&[1.0, 2.0, 3.0], &[Some(false), None, Some(false)], 0).unwrap();
        assert_eq!(one.json(), Value::Null);
        assert_eq!(one.text("here"), "here: 0 anomalies among 2 labelled rows, no AUROC");
        let two = Evaluation::new(&[1.0, 9.0, 3.0, 0.5], &[Some(false), None, Some(true), Some(true)], 0).unwrap();
        let json = two.json();
        assert_eq!(
            (json["auroc"].as_f64(), json["rows"].as_u64(), json["anomalies"].as_u64()),
            (Some(0.5), Some(3), Some(2))
        );
        assert!(json["ci95"][0].as_f64() <= Some(0.5) && two.text("x").contains("AUROC 0.5000 ["));
    }

    #[test]
    fn many_rows_have_no_interval() {
        let n = MOST_ROWS + 1;
        let scores: Vec<f64> = (0..n).map(|i| i as f64).collect();
        let labels: Vec<Option<bool>> = (0..n).map(|i| Some(i + 1 == n)).collect();
        let json = Evaluation::new(&scores, &labels, 0).unwrap().json();
        assert_eq!((json["auroc"].as_f64(), json["ci95"].is_null()), (Some(1.0), true));
    }
}

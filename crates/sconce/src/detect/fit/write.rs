//! The summary, as text and as JSON.

use super::work::Fitted;
use crate::args::Fit;
use crate::detect::table::Columns;
use sconce_anomaly::methods::uses_known;
use serde_json::{Value, json};

/// The summary in lines of text.
pub(super) fn text(args: &Fit, done: &Fitted) -> String {
    let (name, learns) = (&args.detector, uses_known(&args.detector));
    let mut lines = format!(
        "{name}: fitted on {} rows with {} columns, {} of them known anomalies; the scores of {} held-out normal rows are saved\n",
        done.training_rows,
        done.detector.features(),
        done.known,
        done.calibration(),
    );
    if done.known == 0 && learns {
        lines += "no anomaly is known: the detector was fitted on normal rows alone\n";
    }
    if done.known > 0 && !learns {
        lines += &format!("{name} does not learn from known anomalies: they were left out of training\n");
    }
    if let Some(e) = &done.evaluation {
        lines += &e.text("on held-out rows");
    }
    lines
}

/// The fields of the JSON summary.
pub(super) fn fields(args: &Fit, columns: &Columns<'_>, done: &Fitted) -> Value {
    json!({
        "detector": args.detector,
        "data": args.data.display().to_string(),
        "model": args.out.display().to_string(),
        "rows": done.rows,
        "training_rows": done.training_rows,
        "columns": columns.json(),
        "known_anomalies": done.known,
        "calibration_scores": done.calibration(),
        "evaluation": done.evaluation.as_ref().map_or(Value::Null, |e| e.json()),
        "seed": args.seed,
    })
}

//! Fitting, and the evaluation on held-out rows.

use crate::args::Fit;
use crate::detect::evaluation::Evaluation;
use crate::detect::method::method;
use crate::detect::table::{Data, part};
use anyhow::{Result, bail};
use sconce_anomaly::methods::uses_known;
use sconce_anomaly::protocol::stratified_split;
use sconce_anomaly::{Calibrated, Detector, Method, TrainingRows};
use sconce_tensor_core::Rng;
use serde_json::Value;

/// A fitted detector.
pub(super) struct Fitted {
    pub(super) detector: Box<dyn Detector>,
    /// All rows of the table.
    pub(super) rows: usize,
    /// Those that were not held out for the evaluation.
    pub(super) training_rows: usize,
    /// Known anomalies among them.
    pub(super) known: usize,
    /// `None` where no rows were held out.
    pub(super) evaluation: Option<Evaluation>,
}

impl Fitted {
    /// The number of held-out normal rows whose scores are saved.
    pub(super) fn calibration(&self) -> usize {
        self.detector.calibration().map_or(0, |c| c.scores().len())
    }
}

/// Fits a detector and evaluates it on held-out rows.
///
/// # Errors
/// Labels that are all anomalies; those of the method.
pub(super) fn fit(args: &Fit, changes: &Value, data: &Data) -> Result<Fitted> {
    let Data { table, labels, .. } = data;
    let method = method(&args.detector, changes, &args.preprocessing, table.schema())?;
    let (x, rows) = (table.tensor()?, table.rows());
    let label = |i: &u32| labels.as_ref().and_then(|l| l[*i as usize]);
    let anomalies = (0..rows as u32).filter(|i| label(i) == Some(true)).count();
    if anomalies == rows {
        bail!("labels: all {rows} rows are anomalies");
    }
    let rng = Rng::new(args.seed);
    // Without anomalies there is nothing to evaluate with; the only one goes to a method that learns from it.
    let share = if anomalies > usize::from(uses_known(&args.detector)) { args.test } else { 0.0 };
    let anomaly: Vec<bool> = (0..rows as u32).map(|i| label(&i) == Some(true)).collect();
    let (test, train) = stratified_split(&anomaly, share, &rng.stream("test"))?;
    let known: Vec<bool> = train.iter().map(|i| label(i) == Some(true)).collect();
    let calibrated = Calibrated::new(method, args.calibration)?;
    let detector = calibrated.fit(&TrainingRows::new(&part(&x, &train)?, Some(&known)), &rng)?;
    let evaluate = || {
        let scores = detector.score(&part(&x, &test)?)?.to_vec1::<f64>()?;
        Evaluation::new(&scores, &test.iter().map(label).collect::<Vec<_>>(), args.seed)
    };
    let evaluation = (!test.is_empty()).then(evaluate).transpose()?;
    let known = known.iter().filter(|k| **k).count();
    Ok(Fitted { detector, rows, training_rows: train.len(), known, evaluation })
}

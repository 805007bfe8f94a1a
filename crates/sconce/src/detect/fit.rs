//! `fit`.

use super::args::{FitArgs, PreprocessingArgs, changes};
use super::data::{Data, read};
use super::evaluation;
use crate::protocol::random_split;
use crate::{Calibrated, Encoded, Error, Method, Result, Scaled, TrainingRows, methods, save};
use candle_core::{Device, Tensor};
use sconce_tensor_core::Rng;
use sconce_tensor_core::table::{Column, Kind, Schema};
use serde_json::{Value, json};

/// A method with the preprocessing of its features.
pub(super) fn preprocessed(
    method: Box<dyn Method>,
    preprocessing: &PreprocessingArgs,
    schema: &Schema,
) -> Box<dyn Method> {
    let missing = preprocessing.missing();
    match preprocessing.scale() {
        Some(scale) => Box::new(Encoded::new(Scaled::new(method, scale), schema.clone(), missing)),
        None => Box::new(Encoded::new(method, schema.clone(), missing)),
    }
}

/// The changes to a configuration, with a default size of an autoencoder's code: a third of the features, at most 20. A code with
/// room for all features would learn to copy them.
pub(super) fn with_code_size(name: &str, changes: Value, schema: &Schema) -> Value {
    let codes = matches!(name, "abc" | "lrc" | "autoencoder" | "denoising-autoencoder" | "vae");
    if !codes || changes.pointer("/network/hidden").is_some() {
        return changes;
    }
    let width = |c: &Column| match &c.kind {
        Kind::Number => 1,
        Kind::Category(names) => names.len(),
    };
    let code = (schema.columns().iter().map(width).sum::<usize>() / 3).clamp(1, 20);
    let mut changes = if changes.is_object() { changes } else { json!({}) };
    // A `network` that is not a table is an error of the method's constructor.
    if changes.get("network").is_none() {
        changes["network"] = json!({});
    }
    if let Some(network) = changes["network"].as_object_mut() {
        network.insert("hidden".to_owned(), json!([300, 100, code]));
    }
    changes
}

/// Some rows of a table.
pub(super) fn part(x: &Tensor, rows: &[u32]) -> Result<Tensor> {
    Ok(x.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?)
}

/// Fits and saves a detector, and evaluates it on held-out rows; returns a summary in lines of text.
///
/// # Errors
/// An invalid table, label, configuration or share; those of the method.
pub fn fit(args: &FitArgs) -> Result<String> {
    let Data { table, labels } = read(&args.data, &args.table, &args.preprocessing)?;
    let changes = with_code_size(&args.detector, changes(&args.set)?, table.schema());
    let method = preprocessed(methods::method(&args.detector, &changes)?, &args.preprocessing, table.schema());
    let (x, n) = (table.tensor()?, table.rows());
    let known: Vec<bool> = match &labels {
        Some(l) => l.iter().map(|l| *l == Some(true)).collect(),
        None => vec![false; n],
    };
    if !(0.0..1.0).contains(&args.test) {
        return Err(Error::config("--test", format!("must be in [0, 1), got {}", args.test)));
    }
    let anomalies = known.iter().filter(|k| **k).count();
    if anomalies == n {
        return Err(Error::value("labels", format!("all {n} rows are anomalies")));
    }
    let rng = Rng::new(args.seed);
    // Without anomalies there is nothing to evaluate with.
    let share = if anomalies > 0 { args.test } else { 0.0 };
    let (test, train) = random_split(n, share, &rng.stream("test"))?;
    let known_in_training: Vec<bool> = train.iter().map(|i| known[*i as usize]).collect();
    let in_training = known_in_training.iter().filter(|k| **k).count();
    let calibrated = Calibrated::new(method, args.calibration)?;
    let fitted = calibrated.fit(&TrainingRows::new(&part(&x, &train)?, Some(&known_in_training)), &rng)?;
    save(&*fitted, &args.out)?;
    let mut lines = format!(
        "{} fitted on {} rows of {} columns, {in_training} of them known anomalies; the scores of {} held-out normal rows are saved\n",
        args.detector,
        train.len(),
        table.schema().columns().len(),
        fitted.calibration().map_or(0, |c| c.scores().len()),
    );
    if in_training == 0 && methods::uses_known(&args.detector) {
        lines += "no anomaly is known: the detector was fitted on normal rows alone\n";
    }
    if in_training > 0 && !methods::uses_known(&args.detector) {
        lines += &format!("{} does not learn from known anomalies: they were left out of training\n", args.detector);
    }
    if !test.is_empty() {
        let scores = fitted.score(&part(&x, &test)?)?.to_vec1::<f64>()?;
        let labels = test.iter().map(|i| labels.as_ref().and_then(|l| l[*i as usize]));
        lines += &evaluation("on held-out rows", &scores, &labels.collect::<Vec<_>>(), args.seed)?;
    }
    Ok(lines + &format!("saved to {}\n", args.out.display()))
}

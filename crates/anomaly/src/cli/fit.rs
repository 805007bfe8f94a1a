//! `fit`.

use super::args::{Fit, Preparing, changes};
use super::data::{Data, read};
use super::judged;
use crate::protocol::halves;
use crate::{Calibrated, Encoded, Error, Method, Result, Scaled, Training, methods, save};
use candle_core::{Device, Tensor};
use sconce_tensor_core::Rng;
use sconce_tensor_core::table::{Column, Kind, Schema};
use serde_json::{Value, json};

/// A method behind the preparation of its features.
pub(super) fn prepared(method: Box<dyn Method>, preparing: &Preparing, schema: &Schema) -> Box<dyn Method> {
    let missing = preparing.missing();
    match preparing.scale() {
        Some(scale) => Box::new(Encoded::new(Scaled::new(method, scale), schema.clone(), missing)),
        None => Box::new(Encoded::new(method, schema.clone(), missing)),
    }
}

/// The configuration's changes, with a code that is a third of the features, at most 20, where nothing else is asked for: an
/// autoencoder whose code has room for all of them learns to copy.
pub(super) fn sized(name: &str, changes: Value, schema: &Schema) -> Value {
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
    // A network that is no table is refused where the method is made.
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

/// Fits, saves and judges; what was found, in lines for people.
///
/// # Errors
/// A table, a label, a configuration or a share that is wrong; the method's own.
pub fn fit(args: &Fit) -> Result<String> {
    let Data { table, labels } = read(&args.data, &args.reading, &args.preparing)?;
    let changes = sized(&args.detector, changes(&args.set)?, table.schema());
    let method = prepared(methods::method(&args.detector, &changes)?, &args.preparing, table.schema());
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
    // Without anomalies there is nothing to judge by.
    let share = if anomalies > 0 { args.test } else { 0.0 };
    let (test, train) = halves(n, share, &rng.stream("test"))?;
    let seen: Vec<bool> = train.iter().map(|i| known[*i as usize]).collect();
    let in_training = seen.iter().filter(|k| **k).count();
    let calibrated = Calibrated::new(method, args.calibration)?;
    let fitted = calibrated.fit(&Training { x: &part(&x, &train)?, known: Some(&seen) }, &rng)?;
    save(&*fitted, &args.out)?;
    let mut lines = format!(
        "{} fitted on {} rows of {} columns, {in_training} of them known anomalies; the scores of {} normal rows are kept\n",
        args.detector,
        train.len(),
        table.schema().columns().len(),
        fitted.calibration().map_or(0, |c| c.scores().len()),
    );
    if in_training == 0 && methods::uses_known(&args.detector) {
        lines += "no anomaly is known: it has learned from normal rows alone\n";
    }
    if in_training > 0 && !methods::uses_known(&args.detector) {
        lines += &format!("{} makes no use of the known anomalies beyond leaving them out\n", args.detector);
    }
    if !test.is_empty() {
        let scores = fitted.score(&part(&x, &test)?)?.to_vec1::<f64>()?;
        let truth = test.iter().map(|i| labels.as_ref().and_then(|l| l[*i as usize]));
        lines += &judged("on rows kept apart", &scores, &truth.collect::<Vec<_>>(), args.seed)?;
    }
    Ok(lines + &format!("saved to {}\n", args.out.display()))
}

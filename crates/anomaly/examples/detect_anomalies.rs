//! Fits ABC and an isolation forest on a table with a few labelled anomalies, calibrates both, and evaluates them on new rows with
//! the known and an unknown kind of anomaly.
//!
//! `cargo run --release -p sconce-anomaly --example detect_anomalies`
#![allow(clippy::print_stdout)] // an example prints

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Tensor};
use sconce_anomaly::metrics::auroc;
use sconce_anomaly::{
    Calibrated, IsolationForest, Method, NetworkConfig, Reconstruction, ReconstructionConfig, ReconstructionObjective,
    Scale, Scaled, TrainingRows,
};
use sconce_tensor_core::Rng;

/// Normal rows have 8 features that depend on 2 hidden factors.
fn normal_rows(n: usize, rng: &Rng) -> Result<Tensor> {
    let normal = |name: &str, shape| rng.stream(name).normal(shape, 0.0, 1.0, DType::F64, &Device::Cpu);
    let mixing = Rng::new(0).normal((2, 8), 0.0, 1.0, DType::F64, &Device::Cpu)?;
    Ok((normal("factors", (n, 2))?.matmul(&mixing)? + (normal("noise", (n, 8))? * 0.1)?)?)
}

/// The known anomalies: the first feature is shifted.
fn known_anomalies(n: usize, rng: &Rng) -> Result<Tensor> {
    let shift = Tensor::new(&[[4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]], &Device::Cpu)?;
    Ok(normal_rows(n, &rng.stream("known"))?.broadcast_add(&shift)?)
}

/// The unknown anomalies: the features have the usual range, but do not depend on the factors.
fn unknown_anomalies(n: usize, rng: &Rng) -> Result<Tensor> {
    Ok(rng.stream("unknown").normal((n, 8), 0.0, 1.5, DType::F64, &Device::Cpu)?)
}

fn main() -> Result<()> {
    // 600 normal rows and 20 labelled anomalies for training, new rows for the evaluation.
    let rng = Rng::new(1);
    let train = Tensor::cat(&[&normal_rows(600, &rng)?, &known_anomalies(20, &rng)?], 0)?;
    let known: Vec<bool> = (0..620).map(|i| i >= 600).collect();
    let rng = Rng::new(2);
    let normal = normal_rows(300, &rng)?;
    let anomalies = [("known", known_anomalies(100, &rng)?), ("unknown", unknown_anomalies(100, &rng)?)];

    let network = NetworkConfig { hidden: vec![32, 2], epochs: 100, lr: 3e-3, ..Default::default() };
    let abc = ReconstructionConfig { network, ..Default::default() };
    let methods: [(&str, Box<dyn Method>); 2] = [
        ("ABC", Box::new(Reconstruction::new(ReconstructionObjective::Abc, abc)?)),
        ("isolation forest", Box::new(IsolationForest::default())),
    ];
    for (name, method) in methods {
        // Features are scaled, and a fifth of the normal rows is held out for p-values.
        let method = Calibrated::new(Scaled::new(method, Scale::Standard), 0.2)?;
        let detector = method.fit(&TrainingRows::new(&train, Some(&known)), &Rng::new(3))?;
        let normal_scores = detector.score(&normal)?.to_vec1::<f64>()?;
        for (kind, rows) in &anomalies {
            let scores = [&normal_scores[..], &detector.score(rows)?.to_vec1::<f64>()?].concat();
            let labels: Vec<bool> = (0..scores.len()).map(|i| i >= normal_scores.len()).collect();
            let area = auroc(&scores, &labels)?;
            println!("{name}: AUROC {area:.3} on {kind} anomalies");
            ensure!(area > if name == "ABC" { 0.95 } else { 0.6 }, "{name}: AUROC {area} on {kind} anomalies");
        }
        let Some(calibration) = detector.calibration() else { anyhow::bail!("{name} kept no held-out scores") };
        let p_values = normal_scores.iter().map(|s| calibration.p_value(*s)).collect::<Result<Vec<_>, _>>()?;
        let flagged = p_values.iter().filter(|p| **p <= 0.05).count() as f64 / p_values.len() as f64;
        println!("{name}: {:.1} % of the normal rows have a p-value of at most 0.05", 100.0 * flagged);
        ensure!(flagged < 0.12, "{name} flags {flagged} of the normal rows");
    }
    Ok(())
}

//! Detectors on as many rows as the http service of KDD'99 has.

use super::{Exchange, Work};
use anyhow::Result;
use candle_core::DType;
use sconce_anomaly::{
    Method, NetworkConfig, Reconstruction, ReconstructionConfig, ReconstructionObjective, Scale, Scaled, TrainingRows,
};
use sconce_tensor_core::Rng;

const ROWS: usize = 567_498;
const FEATURES: usize = 3;

/// Scores all rows by an autoencoding binary classifier that was fitted on some of them before.
pub fn detect_abc(out: &mut Exchange) -> Result<Work> {
    let x = out.normal("x", &[ROWS, FEATURES], 1.0)?.to_dtype(DType::F64)?;
    let network = NetworkConfig { hidden: vec![64, 32], epochs: 1, ..Default::default() };
    let abc =
        Reconstruction::new(ReconstructionObjective::Abc, ReconstructionConfig { network, ..Default::default() })?;
    let fitted = Scaled::new(abc, Scale::Standard).fit(&TrainingRows::normal(&x.narrow(0, 0, 2000)?), &Rng::new(0))?;
    let step = move || Ok(fitted.score(&x)?.mean_all()?.to_scalar::<f64>()?);
    Ok(Work { flops: 0.0, step: Box::new(step) })
}

/// Fits and scores; the mean score stands for the loss.
pub fn detect(out: &mut Exchange, method: impl Method + 'static) -> Result<Work> {
    let x = out.normal("x", &[ROWS, FEATURES], 1.0)?.to_dtype(DType::F64)?;
    let step = move || {
        let fitted = method.fit(&TrainingRows::normal(&x), &Rng::new(0))?;
        Ok(fitted.score(&x)?.mean_all()?.to_scalar::<f64>()?)
    };
    Ok(Work { flops: 0.0, step: Box::new(step) })
}

//! Detectors without a network on as many rows as the http service of KDD'99 has: fitted, then all rows scored.

use super::{Exchange, Work};
use anyhow::Result;
use candle_core::DType;
use sconce_anomaly::{Method, Training};
use sconce_tensor_core::Rng;

const ROWS: usize = 567_498;
const FEATURES: usize = 3;

/// Fits and scores; the mean score stands for the loss.
pub fn detect(out: &mut Exchange, method: impl Method + 'static) -> Result<Work> {
    let x = out.normal("x", &[ROWS, FEATURES], 1.0)?.to_dtype(DType::F64)?;
    let step = move || {
        let fitted = method.fit(&Training::normal(&x), &Rng::new(0))?;
        Ok(fitted.score(&x)?.mean_all()?.to_scalar::<f64>()?)
    };
    Ok(Work { flops: 0.0, step: Box::new(step) })
}

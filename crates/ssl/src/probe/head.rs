//! A linear map of standardised features.

use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::stats::Proportion;
use sconce_tensor_core::{Error, Result, ops};

/// Features as rows (N, D) in f64 on the host.
pub(super) fn rows(x: &Tensor) -> Result<Tensor> {
    let flat = if x.rank() == 2 { x.clone() } else { x.flatten_from(1)? };
    Ok(flat.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.contiguous()?)
}

/// The mean of each feature and the inverse of its standard deviation (divisor N); 0 for a feature that has one value in all rows.
#[derive(Clone, Debug)]
pub(super) struct Standardizer {
    pub(super) mean: Tensor,
    pub(super) scale: Tensor,
}

impl Standardizer {
    /// The statistics of rows (N, D).
    pub(super) fn fit(rows: &Tensor) -> Result<Self> {
        let (n, d) = rows.dims2()?;
        let values = rows.flatten_all()?.to_vec1::<f64>()?;
        let first = values.get(..d).ok_or_else(|| Error::shape("features", "(N, D), at least one row", rows.dims()))?;
        let (mut mean, mut constant) = (vec![0.0; d], vec![true; d]);
        for row in values.chunks_exact(d) {
            for (j, v) in row.iter().enumerate() {
                mean[j] += v / n as f64;
                constant[j] &= *v == first[j];
            }
        }
        let mut var = vec![0.0; d];
        for row in values.chunks_exact(d) {
            row.iter().zip(&mean).zip(&mut var).for_each(|((v, m), s)| *s += (v - m).powi(2) / n as f64);
        }
        let scale = var.iter().zip(&constant).map(|(v, c)| if *c { 0.0 } else { 1.0 / v.sqrt() });
        let scale: Vec<f64> = scale.collect();
        Ok(Self { mean: Tensor::new(mean, &Device::Cpu)?, scale: Tensor::new(scale, &Device::Cpu)? })
    }

    /// `(x - mean) scale` of rows (N, D).
    pub(super) fn apply(&self, rows: &Tensor) -> Result<Tensor> {
        let (d, got) = (self.mean.elem_count(), rows.dims());
        if got.len() != 2 || got[1] != d {
            return Err(Error::shape("features", format!("(N, {d}), as many as the probe was fitted on"), got));
        }
        Ok(rows.broadcast_sub(&self.mean)?.broadcast_mul(&self.scale)?)
    }
}

/// A linear classifier of features: `weight ((x - mean) / sd) + bias`, with the mean and the standard deviation of each feature over the
/// probe's training examples. A feature that is constant there is left out.
#[derive(Clone, Debug)]
pub struct LinearHead {
    weight: Tensor,
    bias: Tensor,
}

impl LinearHead {
    /// Folds the standardisation into a map of standardised features, weight (K, D) and bias (K,) in f64 on the host:
    /// `weight scale` and `bias - weight scale mean`.
    pub(super) fn fold(weight: &Tensor, bias: &Tensor, by: &Standardizer) -> Result<Self> {
        let weight = weight.broadcast_mul(&by.scale)?;
        let moved = ops::linear(&by.mean.unsqueeze(0)?, &weight, None)?.squeeze(0)?;
        Ok(Self { bias: (bias - moved)?, weight })
    }

    /// The number of classes, K.
    pub fn classes(&self) -> usize {
        self.bias.elem_count()
    }

    /// The weight (K, D) and bias (K,) of the map from features as they are, in f64 on the host.
    pub fn folded(&self) -> (&Tensor, &Tensor) {
        (&self.weight, &self.bias)
    }

    /// The scores before any softmax, in f64.
    ///
    /// # Shapes
    /// (N, ...) with D features for each example -> (N, K).
    ///
    /// # Errors
    /// Another number of features.
    pub fn logits(&self, features: &Tensor) -> Result<Tensor> {
        ops::linear(&rows(features)?, &self.weight, Some(&self.bias))
    }

    /// The class of the largest score of each example; the smaller one at a tie.
    ///
    /// # Errors
    /// As [`LinearHead::logits`].
    pub fn predict(&self, features: &Tensor) -> Result<Vec<u32>> {
        let logits = self.logits(features)?;
        Ok(logits.to_vec2::<f64>()?.iter().map(|row| largest(row)).collect())
    }

    /// How many examples it classifies as labelled.
    ///
    /// # Errors
    /// As [`LinearHead::logits`].
    pub fn accuracy(&self, data: &Labelled) -> Result<Proportion> {
        agreement(&self.predict(data.x())?, data)
    }
}

/// The index of the largest value, the first of equal ones.
pub(super) fn largest(row: &[f64]) -> u32 {
    let better = |best: usize, i: usize| if row[i] > row[best] { i } else { best };
    (0..row.len()).fold(0, better) as u32
}

/// How many predictions are as labelled.
pub(super) fn agreement(found: &[u32], data: &Labelled) -> Result<Proportion> {
    let hits = found.iter().zip(data.labels()?).filter(|(p, y)| **p == *y).count();
    Ok(Proportion { hits, total: found.len() })
}

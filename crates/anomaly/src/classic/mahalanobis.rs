//! The Mahalanobis distance.

use super::spectrum::Axes;
use super::{part_rows, score_rows};
use crate::rows::Rows;
use crate::{Detector, Loaded, Method, Result, State, TrainingRows};
use candle_core::Tensor;
use sconce_tensor_core::{Rng, error::require};
use serde::{Deserialize, Serialize};

/// Configuration of [`Mahalanobis`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `ridge` | 0 | added to each variance, as a share of their mean | finite, >= 0 |
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MahalanobisConfig {
    /// Added to each variance, as a share of their mean.
    pub ridge: f64,
}

/// The score is the squared Mahalanobis distance to the mean, `(x - m)^T C^+ (x - m)`, with the covariance C over n. Without a
/// ridge, directions in which the training examples do not vary are ignored (C^+ is the pseudo-inverse).
///
/// Source: Mahalanobis (1936).
#[derive(Clone, Copy, Debug, Default)]
pub struct Mahalanobis {
    cfg: MahalanobisConfig,
}

impl Mahalanobis {
    /// Validates the configuration.
    ///
    /// # Errors
    /// A ridge that is negative or not finite.
    pub fn new(cfg: MahalanobisConfig) -> Result<Self> {
        require("MahalanobisConfig.ridge", cfg.ridge.is_finite() && cfg.ridge >= 0.0, "finite and >= 0", cfg.ridge)?;
        Ok(Self { cfg })
    }
}

#[derive(Debug)]
struct Fitted {
    cfg: MahalanobisConfig,
    axes: Axes,
    /// The reciprocal variance of each axis; 0 for an ignored axis.
    weights: Vec<f64>,
}

impl Fitted {
    fn new(cfg: MahalanobisConfig, axes: Axes) -> Self {
        let ridge = cfg.ridge * axes.variances.iter().sum::<f64>() / axes.variances.len() as f64;
        let rank = if ridge > 0.0 { axes.variances.len() } else { axes.rank() };
        let weight = |(i, v): (usize, &f64)| if i < rank { 1.0 / (v + ridge) } else { 0.0 };
        Self { cfg, weights: axes.variances.iter().enumerate().map(weight).collect(), axes }
    }
}

impl Method for Mahalanobis {
    fn fit(&self, train: &TrainingRows<'_>, _: &Rng) -> Result<Box<dyn Detector>> {
        Ok(Box::new(Fitted::new(self.cfg, Axes::of(&Rows::of(&train.normals()?)?)?)))
    }
}

pub(crate) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    Ok(Box::new(Fitted::new(from.values()?, Axes::restore(from)?)))
}

impl Detector for Fitted {
    fn name(&self) -> &'static str {
        "mahalanobis"
    }

    fn features(&self) -> usize {
        self.axes.mean.len()
    }

    fn score(&self, x: &Tensor) -> Result<Tensor> {
        score_rows(x, self.features(), |row| self.axes.along(row).zip(&self.weights).map(|(a, w)| a * a * w).sum())
    }

    fn contributions(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let d = self.features();
        part_rows(x, d, |row| {
            // (x - m) times C^+ (x - m), feature by feature.
            let mut parts = vec![0.0; d];
            let axes = self.axes.along(row).zip(&self.weights).zip(self.axes.axes.chunks_exact(d));
            axes.for_each(|((a, w), axis)| parts.iter_mut().zip(axis).for_each(|(p, v)| *p += a * w * v));
            parts.iter_mut().zip(row.iter().zip(&self.axes.mean)).for_each(|(p, (v, m))| *p *= v - m);
            parts
        })
    }

    fn state(&self) -> Result<State> {
        State::new(&self.cfg, self.axes.tensors()?)
    }
}

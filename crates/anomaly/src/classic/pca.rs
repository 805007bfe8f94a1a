//! Principal component analysis.

use super::score_rows;
use super::spectrum::Axes;
use crate::rows::Rows;
use crate::{Detector, Loaded, Method, Result, State, TrainingRows};
use candle_core::Tensor;
use sconce_tensor_core::{Rng, error::require};
use serde::{Deserialize, Serialize};

/// Configuration of [`Pca`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `variance` | 0.9 | components are kept until they hold this share of the variance | in (0, 1] |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PcaConfig {
    /// Share of the variance that is kept.
    pub variance: f64,
}

impl Default for PcaConfig {
    fn default() -> Self {
        Self { variance: 0.9 }
    }
}

/// The score is the reconstruction error of the first principal components: the squared distance to the subspace that they
/// span. Features are not scaled: standardise them first if their units differ.
///
/// PyOD's PCA is a different method: it sums the distances to the eigenvectors as points.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pca {
    cfg: PcaConfig,
}

impl Pca {
    /// Validates the configuration.
    ///
    /// # Errors
    /// A share outside (0, 1].
    pub fn new(cfg: PcaConfig) -> Result<Self> {
        require("PcaConfig.variance", cfg.variance > 0.0 && cfg.variance <= 1.0, "in (0, 1]", cfg.variance)?;
        Ok(Self { cfg })
    }
}

#[derive(Debug)]
struct Fitted {
    cfg: PcaConfig,
    axes: Axes,
    kept: usize,
}

impl Fitted {
    fn new(cfg: PcaConfig, axes: Axes) -> Self {
        let total: f64 = axes.variances.iter().sum();
        let mut held = 0.0;
        // Because of rounding the sum of all shares may stay below 1.
        let enough = cfg.variance * total * (1.0 - 1e-12);
        let reached = axes.variances.iter().position(|v| {
            held += v;
            held >= enough
        });
        Self { cfg, kept: reached.map_or(axes.variances.len(), |i| i + 1), axes }
    }
}

impl Method for Pca {
    fn fit(&self, train: &TrainingRows<'_>, _: &Rng) -> Result<Box<dyn Detector>> {
        Ok(Box::new(Fitted::new(self.cfg, Axes::of(&Rows::of(&train.normals()?)?)?)))
    }
}

pub(crate) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    Ok(Box::new(Fitted::new(from.values()?, Axes::restore(from)?)))
}

impl Detector for Fitted {
    fn name(&self) -> &'static str {
        "pca"
    }

    fn features(&self) -> usize {
        self.axes.mean.len()
    }

    fn score(&self, x: &Tensor) -> Result<Tensor> {
        score_rows(x, self.features(), |row| self.axes.along(row).skip(self.kept).map(|a| a * a).sum())
    }

    fn state(&self) -> Result<State> {
        State::new(&self.cfg, self.axes.tensors()?)
    }
}

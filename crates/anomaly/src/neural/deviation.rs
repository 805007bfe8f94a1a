//! Deviation networks: scores in units of the standard deviation of a prior.

use super::network::{Batches, NetworkConfig, examples, fit_on, require_known};
use super::scalar::{Config, Scalar};
use crate::{Detector, Loaded, Method, Result, TrainingRows};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Rng, ops};
use serde::{Deserialize, Serialize};

/// Configuration of [`DevNet`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `network` | hidden 20, ReLU | sizes and training; `hidden` lists all hidden layers | |
/// | `margin` | 5 | target of known anomalies, in standard deviations above the prior's mean | finite, > 0 |
/// | `references` | 5000 | draws from the prior, for its mean and standard deviation | >= 2 |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevNetConfig {
    /// Sizes and training.
    pub network: NetworkConfig,
    /// Target of known anomalies, in standard deviations above the mean.
    pub margin: f64,
    /// Draws from the prior.
    pub references: usize,
}

impl Default for DevNetConfig {
    fn default() -> Self {
        let network = NetworkConfig { hidden: vec![20], activation: super::Activation::Relu, ..Default::default() };
        Self { network, margin: 5.0, references: 5000 }
    }
}

/// A network with one output s, the score. With m and d the mean and the standard deviation of draws from a standard normal
/// prior, and `z = (s - m) / d`, it minimises `|z|` over normal examples and `max(0, margin - z)` over known anomalies. Each
/// batch is half normal examples, half known anomalies.
///
/// The paper uses RMSprop with an L2 penalty of 0.01; this implementation uses Adam without a penalty.
///
/// Source: Pang, Shen, van den Hengel (arXiv 1911.08623), equations 4 to 6.
#[derive(Clone, Debug)]
pub struct DevNet {
    cfg: DevNetConfig,
}

impl DevNet {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(cfg: DevNetConfig) -> Result<Self> {
        cfg.network.validate()?;
        require("DevNetConfig.margin", cfg.margin.is_finite() && cfg.margin > 0.0, "finite and > 0", cfg.margin)?;
        require("DevNetConfig.references", cfg.references >= 2, "at least 2", cfg.references)?;
        Ok(Self { cfg })
    }
}

impl Config for DevNetConfig {
    const NAME: &'static str = "devnet";

    fn network(&self) -> &NetworkConfig {
        &self.network
    }
}

/// Mean and standard deviation (over n) of draws from the prior.
fn prior(draws: &[f64]) -> (f64, f64) {
    let n = draws.len() as f64;
    let mean = draws.iter().sum::<f64>() / n;
    (mean, (draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
}

impl Method for DevNet {
    fn fit(&self, train: &TrainingRows<'_>, rng: &Rng) -> Result<Box<dyn Detector>> {
        let rows = examples(train, self)?;
        require_known(&rows.known, "a deviation network")?;
        let fitted = Scalar::new(&self.cfg, rows.x.dim(1)?, rng, rows.x.device())?;
        let (mean, deviation) = prior(&rng.stream("prior").normals(self.cfg.references));
        fit_on(Batches::Balanced, &fitted.net.params, &rows, &self.cfg.network, rng, |x, known, _| {
            let z = ((fitted.train(x)? - mean)? / deviation)?;
            let short = ops::relu(&z.affine(-1.0, self.cfg.margin)?)?;
            Ok(known.gt(0.5)?.where_cond(&short, &z.abs()?)?)
        })?;
        Ok(Box::new(fitted))
    }
}

pub(crate) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    Scalar::<DevNetConfig>::restore(from)
}

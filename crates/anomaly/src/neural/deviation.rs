//! Deviation networks: scores that are counted in standard deviations of a prior.

use super::network::{Batches, Mlp, NetworkConfig, examples, fit_on, require_known, score};
use crate::{Detector, Loaded, Method, Result, State, Training};
use candle_core::Device;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Mode, Rng, ops};
use serde::{Deserialize, Serialize};

/// Configuration of [`DevNet`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `network` | hidden 20, ReLU | sizes and training; `hidden` are all hidden layers | |
/// | `margin` | 5 | standard deviations that a known anomaly is to lie above the prior's mean | finite, > 0 |
/// | `references` | 5000 | draws of the prior that its mean and deviation are taken from | >= 2 |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevNetConfig {
    /// Sizes and training.
    pub network: NetworkConfig,
    /// Standard deviations above the mean.
    pub margin: f64,
    /// Draws of the prior.
    pub references: usize,
}

impl Default for DevNetConfig {
    fn default() -> Self {
        let network = NetworkConfig { hidden: vec![20], activation: super::Activation::Relu, ..Default::default() };
        Self { network, margin: 5.0, references: 5000 }
    }
}

/// A network with one output s, the score. With m and d the mean and the standard deviation of draws from a standard normal
/// prior, and `z = (s - m) / d`, it minimises `|z|` over normal examples and `max(0, margin - z)` over known anomalies, in
/// batches that are half the one and half the other.
///
/// The paper's optimiser is RMSprop with a penalty of 0.01 on the squared weights; here it is Adam without one.
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

#[derive(Debug)]
struct Fitted {
    values: Values,
    net: Mlp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Values {
    cfg: DevNetConfig,
    width: usize,
}

impl Values {
    fn net(&self, rng: &Rng, device: &Device) -> Result<Mlp> {
        Mlp::scalar(self.width, &self.cfg.network, rng, device)
    }
}

/// Mean and standard deviation (over n) of draws from the prior.
fn prior(draws: &[f64]) -> (f64, f64) {
    let n = draws.len() as f64;
    let mean = draws.iter().sum::<f64>() / n;
    (mean, (draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
}

impl Method for DevNet {
    fn fit(&self, train: &Training<'_>, rng: &Rng) -> Result<Box<dyn Detector>> {
        let (x, known) = examples(train)?;
        require_known(&known, "a deviation network")?;
        let values = Values { cfg: self.cfg.clone(), width: x.dim(1)? };
        let net = values.net(rng, x.device())?;
        let (mean, deviation) = prior(&rng.stream("prior").normals(self.cfg.references));
        fit_on(Batches::Balanced, &net.params, (&x, &known), &self.cfg.network, rng, |x, known, _| {
            let z = ((net.forward(x, Mode::Train)?.squeeze(1)? - mean)? / deviation)?;
            let short = ops::relu(&z.affine(-1.0, self.cfg.margin)?)?;
            Ok(known.gt(0.5)?.where_cond(&short, &z.abs()?)?)
        })?;
        Ok(Box::new(Fitted { values, net }))
    }
}

pub(super) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    let values: Values = from.values()?;
    let net = values.net(&Rng::new(0), from.device())?;
    net.restore(from)?;
    Ok(Box::new(Fitted { values, net }))
}

impl Detector for Fitted {
    fn name(&self) -> &'static str {
        "devnet"
    }

    fn features(&self) -> usize {
        self.values.width
    }

    fn score(&self, x: &candle_core::Tensor) -> Result<candle_core::Tensor> {
        score(x, self.values.width, &self.net.params, |x| Ok(self.net.forward(x, Mode::Frozen)?.squeeze(1)?))
    }

    fn state(&self) -> Result<State> {
        State::of(&self.values, &self.net.params)
    }
}

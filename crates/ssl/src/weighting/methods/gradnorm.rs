//! GradNorm: weighted gradients of norms that follow the tasks' training rates.

use super::scalars::{load, require_tasks, save};
use crate::Result;
use crate::weighting::contract::require_positive;
use crate::weighting::{Step, Weighting, Weights};
use sconce_tensor_core::error::require;
use sconce_tensor_core::store::State;
use serde::{Deserialize, Serialize};

/// Configuration of [`GradNorm`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `alpha` | 1.5 | strength with which slow tasks are favoured | finite, >= 0 |
/// | `lr` | 0.025 | learning rate of the weights, by SGD | finite, > 0 |
/// | `floor` | 0.01 (chosen by us) | least weight before the weights are normalised: a step of SGD could make it negative | (0, 1) |
/// | `initial_losses` | empty | the losses that training rates refer to, such as ln K of a classification; empty for those of the first step | positive |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GradNormConfig {
    /// Strength with which slow tasks are favoured.
    pub alpha: f64,
    /// Learning rate of the weights.
    pub lr: f64,
    /// Least weight before normalisation.
    pub floor: f64,
    /// Losses of an untrained network; empty for those of the first step.
    pub initial_losses: Vec<f64>,
}

impl Default for GradNormConfig {
    fn default() -> Self {
        Self { alpha: 1.5, lr: 0.025, floor: 0.01, initial_losses: Vec::new() }
    }
}

/// GradNorm (Chen et al. 2018): `sum |w_i |g_i| - mean(w |g|) r_i^alpha|` is reduced over w, where `r_i` is `L_i / L_i(0)` over its mean, and the
/// target is constant; then w is rescaled to sum to T.
///
/// The first step has the weights 1. Each step uses the weights that the steps before have learned. The paper takes the gradients of the last
/// shared layer; here they are the ones given. Losses must be positive.
#[derive(Clone, Debug, PartialEq)]
pub struct GradNorm {
    cfg: GradNormConfig,
    learned: Option<Learned>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Learned {
    weights: Vec<f64>,
    initial_losses: Vec<f64>,
}

impl GradNorm {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(cfg: GradNormConfig) -> Result<Self> {
        require("GradNormConfig.alpha", cfg.alpha.is_finite() && cfg.alpha >= 0.0, "finite and >= 0", cfg.alpha)?;
        require("GradNormConfig.lr", cfg.lr.is_finite() && cfg.lr > 0.0, "finite and > 0", cfg.lr)?;
        require("GradNormConfig.floor", cfg.floor > 0.0 && cfg.floor < 1.0, "in (0, 1)", cfg.floor)?;
        let bad = cfg.initial_losses.iter().find(|l| !(l.is_finite() && **l > 0.0));
        require("GradNormConfig.initial_losses", bad.is_none(), "finite and > 0", bad.copied().unwrap_or_default())?;
        Ok(Self { cfg, learned: None })
    }
}

impl Weighting for GradNorm {
    fn name(&self) -> &'static str {
        "gradnorm"
    }

    fn describe(&self) -> String {
        format!("{:?}", self.cfg)
    }

    fn weights(&mut self, step: &Step<'_>) -> Result<Weights> {
        let (norms, losses, t) = (step.gram("gradnorm")?.norms(), step.positive_losses("gradnorm")?, step.tasks());
        let initial =
            || if self.cfg.initial_losses.is_empty() { losses.to_vec() } else { self.cfg.initial_losses.clone() };
        let mut learned =
            self.learned.clone().unwrap_or_else(|| Learned { weights: vec![1.0; t], initial_losses: initial() });
        require_tasks(learned.weights.len(), t)?;
        require_tasks(learned.initial_losses.len(), t)?;
        let now = Weights::new("gradnorm", learned.weights.clone())?;
        let mean = |v: &[f64]| v.iter().sum::<f64>() / t as f64;
        let weighted: Vec<f64> = norms.iter().zip(&learned.weights).map(|(n, w)| n * w).collect();
        let ratio: Vec<f64> = losses.iter().zip(&learned.initial_losses).map(|(l, first)| l / first).collect();
        let (size, rate) = (mean(&weighted), mean(&ratio));
        for (i, w) in learned.weights.iter_mut().enumerate() {
            let above = weighted[i] - size * (ratio[i] / rate).powf(self.cfg.alpha);
            let slope = if above == 0.0 { 0.0 } else { above.signum() * norms[i] };
            *w = (*w - self.cfg.lr * slope).max(self.cfg.floor);
        }
        let scale = 1.0 / mean(&learned.weights);
        learned.weights.iter_mut().for_each(|w| *w *= scale);
        self.learned = Some(learned);
        Ok(now)
    }

    fn state(&self) -> Result<State> {
        save(&self.learned)
    }

    fn restore(&mut self, state: State) -> Result<()> {
        let learned: Option<Learned> = load(self, &state)?;
        if let Some(l) = &learned {
            require_tasks(l.weights.len(), l.initial_losses.len())?;
            require_positive("gradnorm", &l.initial_losses)?;
        }
        self.learned = learned;
        Ok(())
    }
}

//! FAMO: fast adaptive multitask optimization.

use super::rlw::softmax;
use super::scalars::{Scalars, load, require_tasks, save};
use crate::weighting::contract::{require_losses, require_positive};
use crate::weighting::{Step, Weighting, Weights};
use crate::{Error, Result};
use sconce_tensor_core::error::require;
use sconce_tensor_core::store::State;
use serde::{Deserialize, Serialize};

/// Configuration of [`Famo`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lr` | 0.025 | learning rate of Adam for the logits | finite, > 0 |
/// | `weight_decay` | 0.001 (LibMTL's) | coupled weight decay of the logits | finite, >= 0 |
/// | `eps` | 1e-8 | added to losses before a logarithm | finite, > 0 |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FamoConfig {
    /// Learning rate of the logits.
    pub lr: f64,
    /// Coupled weight decay of the logits.
    pub weight_decay: f64,
    /// Added to losses before a logarithm.
    pub eps: f64,
}

impl Default for FamoConfig {
    fn default() -> Self {
        Self { lr: 0.025, weight_decay: 1e-3, eps: 1e-8 }
    }
}

/// FAMO (Liu et al. 2023): logits learn to make all losses fall at the same relative rate, without gradients of single tasks.
///
/// `z = softmax(xi)`, `w_i = c z_i / L_i` with c such that the weights sum to 1. After the update of the network the losses L' of the same
/// batch are needed ([`Weighting::after_update`]): xi moves by Adam against `J' (log L - log L')`, J the Jacobian of the softmax. A step
/// without that is an error, and so are losses that are not positive.
///
/// The first step of Adam moves every logit by `lr`, whatever the losses did.
#[derive(Clone, Debug, PartialEq)]
pub struct Famo {
    cfg: FamoConfig,
    learned: Learned,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Learned {
    logits: Option<Scalars>,
    /// The losses of the last step, while those after the update are awaited.
    before: Option<Vec<f64>>,
}

impl Famo {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: FamoConfig) -> Result<Self> {
        require("FamoConfig.lr", cfg.lr.is_finite() && cfg.lr > 0.0, "finite and > 0", cfg.lr)?;
        let decay = cfg.weight_decay;
        require("FamoConfig.weight_decay", decay.is_finite() && decay >= 0.0, "finite and >= 0", decay)?;
        require("FamoConfig.eps", cfg.eps.is_finite() && cfg.eps > 0.0, "finite and > 0", cfg.eps)?;
        Ok(Self { cfg, learned: Learned::default() })
    }
}

impl Weighting for Famo {
    fn name(&self) -> &'static str {
        "famo"
    }

    fn describe(&self) -> String {
        format!("{:?}", self.cfg)
    }

    fn needs_gradients(&self) -> bool {
        false
    }

    fn needs_losses_after_update(&self) -> bool {
        true
    }

    fn weights(&mut self, step: &Step<'_>) -> Result<Weights> {
        if self.learned.before.is_some() {
            return Err(Error::value(
                "famo",
                "needs the losses after the last update: call `after_update` after each step",
            ));
        }
        let losses = step.positive_losses("famo")?;
        let logits = self.learned.logits.clone().unwrap_or_else(|| Scalars::new(losses.len(), 0.0));
        require_tasks(logits.values.len(), losses.len())?;
        let share: Vec<f64> = softmax(&logits.values).iter().zip(losses).map(|(z, l)| z / (l + self.cfg.eps)).collect();
        let sum: f64 = share.iter().sum();
        let w = Weights::new("famo", share.iter().map(|s| s / sum).collect())?;
        self.learned = Learned { logits: Some(logits), before: Some(losses.to_vec()) };
        Ok(w)
    }

    fn after_update(&mut self, losses: &[f64]) -> Result<()> {
        require_losses(losses)?;
        require_positive("famo", losses)?;
        let (Some(logits), Some(before)) = (&self.learned.logits, &self.learned.before) else {
            return Err(Error::value("famo", "got losses after an update without a step before it"));
        };
        require_tasks(before.len(), losses.len())?;
        let log = |l: &f64| (l + self.cfg.eps).ln();
        let fall: Vec<f64> = before.iter().zip(losses).map(|(b, l)| log(b) - log(l)).collect();
        let z = softmax(&logits.values);
        let mean: f64 = z.iter().zip(&fall).map(|(z, f)| z * f).sum();
        let mut logits = logits.clone();
        logits.descend(self.cfg.lr, self.cfg.weight_decay, |i, _| z[i] * (fall[i] - mean));
        self.learned = Learned { logits: Some(logits), before: None };
        Ok(())
    }

    fn state(&self) -> Result<State> {
        save(&self.learned)
    }

    fn restore(&mut self, state: State) -> Result<()> {
        let learned: Learned = load(self, &state)?;
        match &learned {
            Learned { logits: Some(l), before } => {
                l.require_whole()?;
                before.as_ref().map_or(Ok(()), |b| require_tasks(l.values.len(), b.len()))?;
            }
            Learned { before: Some(_), .. } => return Err(Error::value("state", "`famo` has losses and no logits")),
            _ => {}
        }
        self.learned = learned;
        Ok(())
    }
}

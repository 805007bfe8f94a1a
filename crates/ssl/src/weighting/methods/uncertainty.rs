//! Uncertainty weighting.

use super::scalars::{Scalars, load, require_tasks, save};
use crate::Result;
use crate::weighting::{Step, Weighting, Weights};
use sconce_tensor_core::error::require;
use sconce_tensor_core::store::State;
use serde::{Deserialize, Serialize};

/// Configuration of [`Uncertainty`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lr` | 0.01 (chosen by us) | learning rate of Adam for s | finite, > 0 |
/// | `initial` | 0 | the first s; LibMTL starts at -0.5 | finite |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UncertaintyConfig {
    /// Learning rate of s.
    pub lr: f64,
    /// The first s of every task.
    pub initial: f64,
}

impl Default for UncertaintyConfig {
    fn default() -> Self {
        Self { lr: 0.01, initial: 0.0 }
    }
}

/// UW (Kendall, Gal and Cipolla 2018): `sum e^-s_i L_i / 2 + s_i / 2` is minimised over the weights of the network and over
/// `s_i = log sigma_i^2`. The weights are `e^-s_i / 2`; s moves towards log L.
///
/// s is learned here by an Adam of its own, after the weights of the step were taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Uncertainty {
    cfg: UncertaintyConfig,
    s: Option<Scalars>,
}

impl Uncertainty {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(cfg: UncertaintyConfig) -> Result<Self> {
        require("UncertaintyConfig.lr", cfg.lr.is_finite() && cfg.lr > 0.0, "finite and > 0", cfg.lr)?;
        require("UncertaintyConfig.initial", cfg.initial.is_finite(), "finite", cfg.initial)?;
        Ok(Self { cfg, s: None })
    }
}

impl Weighting for Uncertainty {
    fn name(&self) -> &'static str {
        "uw"
    }

    fn describe(&self) -> String {
        format!("{:?}", self.cfg)
    }

    fn needs_gradients(&self) -> bool {
        false
    }

    fn weights(&mut self, step: &Step<'_>) -> Result<Weights> {
        let mut s = self.s.clone().unwrap_or_else(|| Scalars::new(step.tasks(), self.cfg.initial));
        require_tasks(s.values.len(), step.tasks())?;
        let w = Weights::new("uw", s.values.iter().map(|s| 0.5 * (-s).exp()).collect())?;
        s.descend(self.cfg.lr, 0.0, |i, s| slope(s, step.losses()[i]));
        self.s = Some(s);
        Ok(w)
    }

    fn state(&self) -> Result<State> {
        save(&self.s)
    }

    fn restore(&mut self, state: State) -> Result<()> {
        let s: Option<Scalars> = load(self, &state)?;
        s.as_ref().map_or(Ok(()), Scalars::require_whole)?;
        self.s = s;
        Ok(())
    }
}

/// The derivative of `e^-s L / 2 + s / 2` by s.
fn slope(s: f64, loss: f64) -> f64 {
    0.5 - 0.5 * (-s).exp() * loss
}

#[cfg(test)]
mod tests {
    use super::slope;

    /// shared/specs/scripts/ssl_golden.py.
    #[test]
    fn golden_slopes() {
        let found = [slope(0.0, 0.5), slope(0.5, 1.2), slope(-1.0, 3.0)];
        let want = [0.25, 0.136_081_604, -3.577_422_743];
        assert!(found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
        assert!(slope(3f64.ln(), 3.0).abs() < 1e-15);
    }
}

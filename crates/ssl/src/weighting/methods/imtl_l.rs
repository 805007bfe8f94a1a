//! IMTL-L: losses of equal scale.

use super::scalars::{Scalars, load, require_tasks, save};
use crate::Result;
use crate::weighting::{Step, Weighting, Weights};
use sconce_tensor_core::error::require;
use sconce_tensor_core::store::State;
use serde::{Deserialize, Serialize};

/// Configuration of [`ImtlL`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lr` | 0.01 (chosen by us) | learning rate of Adam for s | finite, > 0 |
/// | `initial` | 0 | the first s | finite |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImtlLConfig {
    /// Learning rate of s.
    pub lr: f64,
    /// The first s of every task.
    pub initial: f64,
}

impl Default for ImtlLConfig {
    fn default() -> Self {
        Self { lr: 0.01, initial: 0.0 }
    }
}

/// IMTL-L (Liu et al. 2021, "Towards impartial multi-task learning"): `sum e^s_i L_i - s_i` is minimised over the weights of the network and
/// over s. The weights are `e^s_i`; s moves towards -log L, where all weighted losses are 1.
///
/// s is learned here by an Adam of its own, after the weights of the step were taken.
#[derive(Clone, Debug, PartialEq)]
pub struct ImtlL {
    cfg: ImtlLConfig,
    s: Option<Scalars>,
}

impl ImtlL {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(cfg: ImtlLConfig) -> Result<Self> {
        require("ImtlLConfig.lr", cfg.lr.is_finite() && cfg.lr > 0.0, "finite and > 0", cfg.lr)?;
        require("ImtlLConfig.initial", cfg.initial.is_finite(), "finite", cfg.initial)?;
        Ok(Self { cfg, s: None })
    }
}

impl Weighting for ImtlL {
    fn name(&self) -> &'static str {
        "imtl-l"
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
        let w = Weights::new("imtl-l", s.values.iter().map(|s| s.exp()).collect())?;
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

/// The derivative of `e^s L - s` by s.
fn slope(s: f64, loss: f64) -> f64 {
    s.exp() * loss - 1.0
}

#[cfg(test)]
mod tests {
    use super::slope;

    /// shared/specs/scripts/ssl_golden.py.
    #[test]
    fn golden_slopes() {
        let found = [slope(0.0, 0.5), slope(0.5, 1.2), slope(-1.0, 3.0)];
        let want = [-0.5, 0.978_465_525, 0.103_638_324];
        assert!(found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
        assert!(slope(-(3f64.ln()), 3.0).abs() < 1e-15);
    }
}

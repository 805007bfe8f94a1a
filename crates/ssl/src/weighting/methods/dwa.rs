//! Dynamic weight average.

use super::rlw::softmax;
use super::scalars::{load, require_tasks, save};
use crate::weighting::{Step, Weighting, Weights};
use crate::{Error, Result};
use sconce_tensor_core::error::require;
use sconce_tensor_core::store::State;
use serde::{Deserialize, Serialize};

/// Configuration of [`Dwa`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `temperature` | 2 | softness of the weights: a large one makes them equal | finite, > 0 |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DwaConfig {
    /// Softness of the weights.
    pub temperature: f64,
}

impl Default for DwaConfig {
    fn default() -> Self {
        Self { temperature: 2.0 }
    }
}

/// DWA (Liu, Johns and Davison 2019): `w = T softmax(r / temperature)` with `r_i` the mean loss of the last epoch over that of the epoch
/// before. The weights sum to T; they are 1 in the first two epochs.
///
/// The mean loss of an epoch is the mean over its steps. [`Weighting::end_epoch`] must be called; a mean that is not positive is an error
/// there.
#[derive(Clone, Debug, PartialEq)]
pub struct Dwa {
    cfg: DwaConfig,
    seen: Seen,
}

/// Losses of past epochs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    /// Sums over the steps of this epoch.
    sums: Vec<f64>,
    steps: u64,
    /// Means of at most two epochs, the older first.
    epochs: Vec<Vec<f64>>,
}

impl Dwa {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: DwaConfig) -> Result<Self> {
        let good = cfg.temperature.is_finite() && cfg.temperature > 0.0;
        require("DwaConfig.temperature", good, "finite and > 0", cfg.temperature)?;
        Ok(Self { cfg, seen: Seen::default() })
    }
}

impl Weighting for Dwa {
    fn name(&self) -> &'static str {
        "dwa"
    }

    fn describe(&self) -> String {
        format!("{:?}", self.cfg)
    }

    fn needs_gradients(&self) -> bool {
        false
    }

    fn weights(&mut self, step: &Step<'_>) -> Result<Weights> {
        let t = step.tasks();
        self.seen.epochs.first().map_or(Ok(()), |e| require_tasks(e.len(), t))?;
        let w = match &self.seen.epochs[..] {
            [older, newer] => {
                let r: Vec<f64> = newer.iter().zip(older).map(|(n, o)| n / o / self.cfg.temperature).collect();
                softmax(&r).iter().map(|w| w * t as f64).collect()
            }
            _ => vec![1.0; t],
        };
        let w = Weights::new("dwa", w)?;
        if self.seen.steps == 0 {
            self.seen.sums = vec![0.0; t];
        }
        require_tasks(self.seen.sums.len(), t)?;
        self.seen.sums.iter_mut().zip(step.losses()).for_each(|(s, l)| *s += l);
        self.seen.steps += 1;
        Ok(w)
    }

    fn end_epoch(&mut self) -> Result<()> {
        if self.seen.steps == 0 {
            return Err(Error::value("dwa", "an epoch ended without a step"));
        }
        let means: Vec<f64> = self.seen.sums.iter().map(|s| s / self.seen.steps as f64).collect();
        if let Some(i) = means.iter().position(|m| !(m.is_finite() && *m > 0.0)) {
            return Err(Error::value("dwa", format!("needs positive mean losses; task {i} has {}", means[i])));
        }
        if self.seen.epochs.len() == 2 {
            self.seen.epochs.remove(0);
        }
        self.seen.epochs.push(means);
        (self.seen.sums, self.seen.steps) = (Vec::new(), 0);
        Ok(())
    }

    fn state(&self) -> Result<State> {
        save(&self.seen)
    }

    fn restore(&mut self, state: State) -> Result<()> {
        let seen: Seen = load(self, &state)?;
        if seen.epochs.len() > 2 {
            return Err(Error::value("state", format!("`dwa` keeps two epochs, not {}", seen.epochs.len())));
        }
        if let [older, newer] = &seen.epochs[..] {
            require_tasks(older.len(), newer.len())?;
        }
        self.seen = seen;
        Ok(())
    }
}

//! Keeping the weights of the best epoch, and stopping when there is no better one.

use crate::error::require;
use crate::store::State;
use crate::{Error, Params, Result};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// Which epoch is the best: by a metric, ties by the next one; of equals the earliest.
///
/// ```
/// use sconce_tensor_core::train::KeepBest;
/// let rule = KeepBest::highest("accuracy").then_lowest("loss").stop_after(5)?;
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct KeepBest {
    /// Metrics, and whether higher is better.
    by: Vec<(String, bool)>,
    patience: Option<usize>,
}

impl KeepBest {
    /// By the highest value of a metric.
    pub fn highest(metric: impl Into<String>) -> Self {
        Self { by: vec![(metric.into(), true)], patience: None }
    }

    /// By the lowest value of a metric.
    pub fn lowest(metric: impl Into<String>) -> Self {
        Self { by: vec![(metric.into(), false)], patience: None }
    }

    /// Ties go to the highest value of another metric.
    #[must_use]
    pub fn then_highest(mut self, metric: impl Into<String>) -> Self {
        self.by.push((metric.into(), true));
        self
    }

    /// Ties go to the lowest value of another metric.
    #[must_use]
    pub fn then_lowest(mut self, metric: impl Into<String>) -> Self {
        self.by.push((metric.into(), false));
        self
    }

    /// Ends training when this many epochs in a row were not the best (early stopping).
    ///
    /// # Errors
    /// [`Error::Config`] for 0 epochs.
    pub fn stop_after(mut self, epochs: usize) -> Result<Self> {
        require("KeepBest.stop_after", epochs >= 1, "at least 1", epochs)?;
        self.patience = Some(epochs);
        Ok(self)
    }
}

/// The best epoch so far, with its weights.
#[derive(Clone, Debug)]
pub struct Best {
    rule: KeepBest,
    found: Option<Found>,
    weights: Vec<(String, Tensor)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Found {
    epoch: usize,
    /// Negated where lower is better.
    values: Vec<f64>,
}

impl Best {
    /// None yet.
    pub fn new(rule: KeepBest) -> Self {
        Self { rule, found: None, weights: Vec::new() }
    }

    /// The rule.
    pub fn rule(&self) -> &KeepBest {
        &self.rule
    }

    /// The best epoch, counted as it was given.
    pub fn epoch(&self) -> Option<usize> {
        self.found.as_ref().map(|f| f.epoch)
    }

    /// Compares an epoch with the best, and keeps a copy of the parameters where it is better. Returns whether training should
    /// end.
    ///
    /// # Errors
    /// [`Error::Config`] where a metric of the rule is missing, with those that there are.
    pub fn consider(&mut self, epoch: usize, metrics: &[(String, f64)], params: &Params) -> Result<bool> {
        let value = |(name, up): &(String, bool)| match metrics.iter().find(|m| m.0 == *name) {
            Some((_, v)) => Ok(if *up { *v } else { -v }),
            None => {
                let names: Vec<&str> = metrics.iter().map(|m| m.0.as_str()).collect();
                Err(Error::config("KeepBest.metric", format!("no metric `{name}`; there are {names:?}")))
            }
        };
        let values: Vec<f64> = self.rule.by.iter().map(value).collect::<Result<_>>()?;
        let best = match &self.found {
            // A comparison with a NaN is none, so a NaN is never better.
            Some(f) => values.partial_cmp(&f.values) == Some(std::cmp::Ordering::Greater),
            None => true,
        };
        if best {
            self.weights = params.snapshot()?;
            self.found = Some(Found { epoch, values });
        }
        let waited = epoch - self.found.as_ref().map_or(epoch, |f| f.epoch);
        Ok(self.rule.patience.is_some_and(|p| waited >= p))
    }

    /// Puts the best epoch's parameters in place; nothing happens before there is one.
    ///
    /// # Errors
    /// Parameters of another shape.
    pub fn restore_weights(&self, params: &Params) -> Result<()> {
        match self.found {
            Some(_) => params.restore(&self.weights.iter().cloned().collect()),
            None => Ok(()),
        }
    }

    /// The best epoch and its weights.
    ///
    /// # Errors
    /// candle's only.
    pub fn state(&self) -> Result<State> {
        State::new(&self.found, self.weights.iter().cloned())
    }

    /// Takes back what [`Best::state`] gave.
    ///
    /// # Errors
    /// [`Error::Value`] where weights are missing.
    pub fn restore(&mut self, params: &Params, state: State) -> Result<()> {
        let found: Option<Found> = state.values()?;
        let mut tensors = state.into_tensors();
        let mut weights = Vec::new();
        for p in params.iter().filter(|_| found.is_some()) {
            let t = tensors.remove(p.name());
            let t = t.ok_or_else(|| Error::value("best weights", format!("`{}` is missing", p.name())))?;
            weights.push((p.name().to_owned(), t));
        }
        (self.found, self.weights) = (found, weights);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;
    use candle_core::Device;

    #[test]
    fn the_earliest_of_equals_is_kept_and_patience_ends() -> Result<()> {
        let mut params = Params::new();
        let w = params.add("w", Role::Weight, &Tensor::new(&[0f64], &Device::Cpu)?)?;
        let mut best = Best::new(KeepBest::highest("accuracy").then_lowest("loss").stop_after(2)?);
        let mut stops = Vec::new();
        let epochs = [(0.5, 1.0), (0.7, 0.9), (0.7, 0.8), (0.7, 0.8), (0.6, 0.1)];
        for (i, (accuracy, loss)) in epochs.into_iter().enumerate() {
            w.set(&Tensor::new(&[i as f64], &Device::Cpu)?)?;
            let metrics = [("accuracy".to_owned(), accuracy), ("loss".to_owned(), loss)];
            stops.push(best.consider(i + 1, &metrics, &params)?);
        }
        assert_eq!((best.epoch(), stops), (Some(3), vec![false, false, false, false, true]));
        let mut again = Best::new(KeepBest::highest("accuracy"));
        again.restore(&params, best.state()?)?;
        again.restore_weights(&params)?;
        assert_eq!(w.to_vec1::<f64>()?, [2.0]);
        let missing = Best::new(KeepBest::lowest("los")).consider(1, &[("loss".to_owned(), 1.0)], &params);
        assert!(missing.is_err_and(|e| e.to_string().contains("no metric `los`; there are [\"loss\"]")));
        assert!(KeepBest::highest("x").stop_after(0).is_err());
        Ok(())
    }
}

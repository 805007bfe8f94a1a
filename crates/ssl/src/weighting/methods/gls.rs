//! The geometric mean of the losses.

use crate::Result;
use crate::weighting::{Step, Weighting, Weights};

/// GLS (geometric loss strategy, Chennupati et al. 2019): the loss is `(prod L_i)^(1/T)`, whose gradient has the weights
/// `w_i = (prod L)^(1/T) / (T L_i)`.
///
/// Losses must be positive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gls;

impl Weighting for Gls {
    fn name(&self) -> &'static str {
        "gls"
    }

    fn describe(&self) -> String {
        format!("{self:?}")
    }

    fn needs_gradients(&self) -> bool {
        false
    }

    fn weights(&mut self, step: &Step<'_>) -> Result<Weights> {
        let (losses, t) = (step.positive_losses("gls")?, step.tasks() as f64);
        let log_mean = losses.iter().map(|l| l.ln()).sum::<f64>() / t;
        Weights::new("gls", losses.iter().map(|l| (log_mean - l.ln()).exp() / t).collect())
    }
}

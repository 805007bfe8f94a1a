//! Equal weights.

use crate::Result;
use crate::weighting::{Step, Weighting, Weights};

/// `w_i = 1/T`: the mean of the losses, the baseline.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Equal;

impl Weighting for Equal {
    fn name(&self) -> &'static str {
        "equal"
    }

    fn describe(&self) -> String {
        format!("{self:?}")
    }

    fn needs_gradients(&self) -> bool {
        false
    }

    fn weights(&mut self, step: &Step<'_>) -> Result<Weights> {
        Weights::new("equal", vec![1.0 / step.tasks() as f64; step.tasks()])
    }
}

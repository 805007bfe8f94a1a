//! The smallest successful perturbation that a search has found so far.

use crate::probe::Row;

/// The smallest perturbation that fooled the model, and the perturbed input.
pub(crate) struct SmallestSuccess {
    pub(crate) length: f64,
    row: Option<Row>,
}

impl SmallestSuccess {
    pub(crate) fn none() -> Self {
        Self { length: f64::INFINITY, row: None }
    }

    /// Records a success that is not larger than the smallest one so far.
    pub(crate) fn record(&mut self, at: &[f64], length: f64) {
        if length <= self.length {
            self.length = length;
            self.row = Some(at.to_vec());
        }
    }

    pub(crate) fn found(&self) -> bool {
        self.row.is_some()
    }

    /// The perturbed input, or `x` if there was no success.
    pub(crate) fn or_input(self, x: Row) -> Row {
        self.row.unwrap_or(x)
    }
}

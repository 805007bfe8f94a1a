//! The smallest success of a search, so far.

use crate::probe::Row;

/// The shortest perturbation that fooled the model, and where it leads.
pub(crate) struct Smallest {
    pub(crate) length: f64,
    row: Option<Row>,
}

impl Smallest {
    pub(crate) fn none() -> Self {
        Self { length: f64::INFINITY, row: None }
    }

    /// Takes a success that is no longer than the last.
    pub(crate) fn offer(&mut self, at: &[f64], length: f64) {
        if length <= self.length {
            self.length = length;
            self.row = Some(at.to_vec());
        }
    }

    pub(crate) fn found(&self) -> bool {
        self.row.is_some()
    }

    /// The point found, or the input where there was none.
    pub(crate) fn or(self, x: Row) -> Row {
        self.row.unwrap_or(x)
    }
}

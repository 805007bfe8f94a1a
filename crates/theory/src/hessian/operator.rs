//! A symmetric matrix that is known by its products.

use crate::{Error, Result};

/// A symmetric linear map of vectors of one length.
pub trait Operator {
    /// The length.
    fn dim(&self) -> usize;

    /// The product with a vector of that length.
    ///
    /// # Errors
    /// Another length; whatever the product meets.
    fn apply(&self, v: &[f64]) -> Result<Vec<f64>>;
}

/// A symmetric matrix in memory, row after row.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    values: Vec<f64>,
    d: usize,
}

impl Matrix {
    /// Takes D x D values, row after row; they are to be symmetric.
    ///
    /// # Errors
    /// [`Error::Value`] for another number of values or one that is not finite.
    pub fn new(values: Vec<f64>, d: usize) -> Result<Self> {
        match d > 0 && values.len() == d * d && values.iter().all(|v| v.is_finite()) {
            true => Ok(Self { values, d }),
            false => Err(Error::value("matrix", format!("{} values, not {d} x {d} finite ones", values.len()))),
        }
    }
}

/// Refuses a vector of another length.
pub(super) fn fits(v: &[f64], dim: usize) -> Result<()> {
    match v.len() == dim {
        true => Ok(()),
        false => Err(Error::value("vector", format!("has {} values, the operator takes {dim}", v.len()))),
    }
}

impl Operator for Matrix {
    fn dim(&self) -> usize {
        self.d
    }

    fn apply(&self, v: &[f64]) -> Result<Vec<f64>> {
        fits(v, self.d)?;
        Ok(self.values.chunks_exact(self.d).map(|row| crate::dense::dot(row, v)).collect())
    }
}

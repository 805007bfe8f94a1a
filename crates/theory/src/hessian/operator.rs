//! Symmetric operators, given by their products with vectors.

use crate::{Error, Result};

/// A symmetric linear operator.
pub trait Operator {
    /// The dimension.
    fn dim(&self) -> usize;

    /// The product with a vector.
    ///
    /// # Errors
    /// A vector of the wrong length; errors in computing the product.
    fn apply(&self, v: &[f64]) -> Result<Vec<f64>>;

    /// The relative error of a product, about. Where it is that of 32 bits, the vectors that a method keeps of its products take 32 bits
    /// for each number, otherwise 64.
    fn precision(&self) -> f64 {
        f64::EPSILON
    }
}

/// A symmetric matrix in memory, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    values: Vec<f64>,
    d: usize,
}

impl Matrix {
    /// From D x D values in row-major order; the caller makes sure that they are symmetric.
    ///
    /// # Errors
    /// [`Error::Value`] for a wrong number of values or a value that is not finite.
    pub fn new(values: Vec<f64>, d: usize) -> Result<Self> {
        match d > 0 && values.len() == d * d && values.iter().all(|v| v.is_finite()) {
            true => Ok(Self { values, d }),
            false => Err(Error::value("matrix", format!("{} values, not {d} x {d} finite ones", values.len()))),
        }
    }
}

/// Checks the length of a vector.
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

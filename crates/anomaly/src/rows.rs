//! A table of features on the host: what the classical detectors work on.

use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};

/// Rows of finite features in f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    values: Vec<f64>,
    width: usize,
}

impl Rows {
    /// Takes a tensor (N, D).
    ///
    /// # Errors
    /// Another shape, an empty axis, a value that is not finite with its row and column.
    pub fn of(x: &Tensor) -> Result<Self> {
        let &[n, d] = x.dims() else { return Err(Error::shape("examples", "(N, D)", x.dims())) };
        if n * d == 0 {
            return Err(Error::shape("examples", "(N, D), neither of them 0", x.dims()));
        }
        let values = x.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        Self::new(values, d)
    }

    /// Takes values, row after row.
    ///
    /// # Errors
    /// As [`Rows::of`].
    pub fn new(values: Vec<f64>, width: usize) -> Result<Self> {
        if width == 0 || values.is_empty() || !values.len().is_multiple_of(width) {
            return Err(Error::value("examples", format!("{} values do not make rows of {width}", values.len())));
        }
        match values.iter().position(|v| !v.is_finite()) {
            Some(i) => {
                Err(Error::value("examples", format!("{} at row {}, column {}", values[i], i / width, i % width)))
            }
            None => Ok(Self { values, width }),
        }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Never true; there is at least one row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many features.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One row.
    pub fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.width..][..self.width]
    }

    /// All rows in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, f64> {
        self.values.chunks_exact(self.width)
    }

    /// One feature of all rows.
    pub fn column(&self, j: usize) -> Vec<f64> {
        self.values.iter().skip(j).step_by(self.width).copied().collect()
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Refuses another number of features.
    ///
    /// # Errors
    /// [`Error::Shape`] with both numbers.
    pub fn require_width(&self, width: usize) -> Result<()> {
        if self.width == width {
            return Ok(());
        }
        let expected = format!("(N, {width}): the features that the detector was fitted on");
        Err(Error::shape("examples", expected, &[self.len(), self.width]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_what_is_wrong_with_them() {
        let r = Rows::new(vec![1.0, 2.0, 3.0, 4.0], 2).unwrap();
        assert_eq!((r.len(), r.row(1), r.column(1)), (2, &[3.0, 4.0][..], vec![2.0, 4.0]));
        let message = |r: Result<Rows>| r.unwrap_err().to_string();
        assert!(message(Rows::new(vec![1.0, 2.0, 3.0, f64::NAN], 2)).contains("NaN at row 1, column 1"));
        assert!(message(Rows::new(vec![1.0; 3], 2)).contains("3 values"));
        let e = r.require_width(3).unwrap_err().to_string();
        assert!(e.contains("(N, 3)") && e.contains("[2, 2]"), "{e}");
        assert!(Rows::of(&Tensor::zeros((0, 3), DType::F32, &Device::Cpu).unwrap()).is_err());
    }
}

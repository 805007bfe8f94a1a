//! A table of features on the host, for detectors without a network.

use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};

/// Rows of finite features in f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    values: Vec<f64>,
    width: usize,
}

/// Rows that are copied at a time where the whole table is not needed at once.
pub(crate) const BLOCK: usize = 1 << 14;

fn shape(x: &Tensor) -> Result<(usize, usize)> {
    match *x.dims() {
        [n, d] if n * d > 0 => Ok((n, d)),
        [_, _] => Err(Error::shape("examples", "(N, D), neither of them 0", x.dims())),
        _ => Err(Error::shape("examples", "(N, D)", x.dims())),
    }
}

/// Applies `f` to blocks of rows and concatenates the results; `f` also gets the number of the block's first row.
pub(crate) fn in_blocks(x: &Tensor, f: impl Fn(&Tensor, usize) -> Result<Tensor>) -> Result<Tensor> {
    let (n, _) = shape(x)?;
    let part = |from: usize| f(&x.narrow(0, from, BLOCK.min(n - from))?, from);
    let parts = (0..n).step_by(BLOCK).map(part).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&parts, 0)?)
}

/// The values as f64 on the host.
fn host(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

/// Checks that all values are finite; `first` is the number of the first row, for messages.
fn finite(values: &[f64], width: usize, first: usize) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(i) => {
            let (row, column) = (first + i / width, i % width);
            Err(Error::value("examples", format!("{} at row {row}, column {column}", values[i])))
        }
        None => Ok(()),
    }
}

impl Rows {
    /// Copies a tensor (N, D).
    ///
    /// # Errors
    /// A shape that is not (N, D), an empty axis; a value that is not finite, with its row and column.
    pub fn of(x: &Tensor) -> Result<Self> {
        let (_, width) = shape(x)?;
        Self::new(host(x)?, width)
    }

    /// Blocks of at most `most` rows of a tensor (N, D), each with the number of its first row, so that work on single rows
    /// needs no copy of the whole table.
    ///
    /// # Errors
    /// As [`Rows::of`], when the iterator reaches the block.
    pub fn blocks(x: &Tensor, most: usize) -> Result<impl Iterator<Item = Result<(usize, Self)>>> {
        let (n, width) = shape(x)?;
        Ok((0..n).step_by(most.max(1)).map(move |from| {
            let values = host(&x.narrow(0, from, most.min(n - from))?)?;
            finite(&values, width, from)?;
            Ok((from, Self { values, width }))
        }))
    }

    /// Checks a tensor as [`Rows::of`] and [`Rows::require_width`] do, block by block.
    ///
    /// # Errors
    /// As [`Rows::of`] and [`Rows::require_width`].
    pub fn check(x: &Tensor, width: usize) -> Result<()> {
        Self::blocks(x, BLOCK)?.try_for_each(|block| block?.1.require_width(width))
    }

    /// The numbers of rows and features, after a check that all values are finite.
    ///
    /// # Errors
    /// As [`Rows::of`].
    pub fn checked(x: &Tensor) -> Result<(usize, usize)> {
        let (n, width) = shape(x)?;
        Self::check(x, width)?;
        Ok((n, width))
    }

    /// The columns of a tensor (N, D).
    ///
    /// # Errors
    /// As [`Rows::of`].
    pub fn columns(x: &Tensor) -> Result<Vec<Vec<f64>>> {
        let (n, width) = shape(x)?;
        let mut columns: Vec<Vec<f64>> = (0..width).map(|_| Vec::with_capacity(n)).collect();
        for block in Self::blocks(x, BLOCK)? {
            for row in block?.1.iter() {
                columns.iter_mut().zip(row).for_each(|(c, v)| c.push(*v));
            }
        }
        Ok(columns)
    }

    /// Rows from their values in row-major order.
    ///
    /// # Errors
    /// As [`Rows::of`].
    pub fn new(values: Vec<f64>, width: usize) -> Result<Self> {
        if width == 0 || values.is_empty() || !values.len().is_multiple_of(width) {
            return Err(Error::value("examples", format!("{} values do not make rows of {width}", values.len())));
        }
        finite(&values, width, 0)?;
        Ok(Self { values, width })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Always false; there is at least one row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The number of features.
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

    /// All values in row-major order.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Checks the number of features.
    ///
    /// # Errors
    /// [`Error::Shape`] with both numbers.
    pub fn require_width(&self, width: usize) -> Result<()> {
        if self.width == width {
            return Ok(());
        }
        let expected = format!("(N, {width}), the number of features that the detector was fitted on");
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
        let x = Tensor::new(&[[1f64, 2.0], [3.0, 4.0], [5.0, f64::INFINITY]], &Device::Cpu).unwrap();
        let blocks: Vec<_> = Rows::blocks(&x, 2).unwrap().collect();
        assert_eq!(blocks[0].as_ref().unwrap().1, r);
        assert!(blocks[1].as_ref().unwrap_err().to_string().contains("inf at row 2, column 1"));
        assert_eq!(Rows::columns(&x.narrow(0, 0, 2).unwrap()).unwrap(), [[1.0, 3.0], [2.0, 4.0]]);
        assert!(Rows::columns(&x).unwrap_err().to_string().contains("row 2"));
        assert!(Rows::of(&Tensor::zeros((0, 3), DType::F32, &Device::Cpu).unwrap()).is_err());
    }
}

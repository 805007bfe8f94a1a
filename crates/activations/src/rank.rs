//! The rank of a matrix of log-probabilities.

use crate::{Error, Result};
use candle_core::{DType, Tensor};

/// The singular values of a matrix in f64, in descending order.
///
/// A numerical rank is the number of singular values above a tolerance: report the tolerance, and show the spectrum. Rows
/// computed in f32 have full rank because of rounding: compute them with a forward pass in f64.
///
/// ```
/// use candle_core::{DType, Device};
/// use sconce_activations::{Output, OutputFunction, Spectrum};
/// use sconce_tensor_core::Rng;
/// // Logits of rank 3 with 20 classes.
/// let normal = |name, shape| Rng::new(0).stream(name).normal(shape, 0.0, 1.0, DType::F64, &Device::Cpu);
/// let z = normal("h", (50, 3))?.matmul(&normal("w", (3, 20))?)?;
/// assert_eq!(Spectrum::of(&Output::Softmax.log_prob(&z)?)?.rank(), 4);
/// assert_eq!(Spectrum::of(&Output::Sigsoftmax.log_prob(&z)?)?.rank(), 20);
/// # Ok::<(), sconce_activations::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    values: Vec<f64>,
    longest: usize,
}

impl Spectrum {
    /// The spectrum of a matrix (N, M), by faer's singular value decomposition.
    ///
    /// # Errors
    /// A tensor that is not a matrix, an empty axis, a value that is not finite (with its row and column), or a decomposition
    /// that does not converge.
    pub fn of(matrix: &Tensor) -> Result<Self> {
        let &[n, m] = matrix.dims() else {
            return Err(Error::shape("spectrum of a matrix", "(N, M)", matrix.dims()));
        };
        if n * m == 0 {
            return Err(Error::shape("spectrum of a matrix", "(N, M), neither of them 0", matrix.dims()));
        }
        let flat = matrix.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        if let Some(i) = flat.iter().position(|v| !v.is_finite()) {
            let reason = format!("{} at row {}, column {}", flat[i], i / m, i % m);
            return Err(Error::value("spectrum of a matrix", reason));
        }
        let view = faer::mat::MatRef::from_row_major_slice(&flat, n, m);
        let values = view
            .singular_values()
            .map_err(|e| Error::value("spectrum of a matrix", format!("the decomposition failed: {e:?}")))?;
        Ok(Self { values, longest: n.max(m) })
    }

    /// The singular values in descending order.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The tolerance of [`Spectrum::rank`]: the largest singular value times the longer side times 2^-52, as in numpy.
    pub fn tolerance(&self) -> f64 {
        self.values.first().copied().unwrap_or(0.0) * self.longest as f64 * f64::EPSILON
    }

    /// The number of singular values above [`Spectrum::tolerance`].
    pub fn rank(&self) -> usize {
        self.rank_above(self.tolerance())
    }

    /// The number of singular values above a tolerance.
    pub fn rank_above(&self, tolerance: f64) -> usize {
        self.values.iter().filter(|v| **v > tolerance).count()
    }
}

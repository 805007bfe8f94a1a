//! Standardised features with their classes, and the products and systems that linear probes share.

use faer::linalg::solvers::{Llt, Solve};
use sconce_tensor_core::candle_core::{Device, Tensor};
use sconce_tensor_core::{Error, Result, ops};

/// Standardised features and a column of ones, (N, D + 1), with classes. Parameters are (K, D + 1) in one vector: the weights of a class, then
/// its bias.
pub(super) struct Design {
    x: Tensor,
    transposed: Tensor,
    pub(super) y: Vec<u32>,
    pub(super) classes: usize,
}

impl Design {
    /// Of standardised features (N, D).
    pub(super) fn new(features: &Tensor, y: Vec<u32>, classes: usize) -> Result<Self> {
        let ones = Tensor::ones((y.len(), 1), features.dtype(), features.device())?;
        let x = Tensor::cat(&[features, &ones], 1)?.contiguous()?;
        Ok(Self { transposed: x.t()?.contiguous()?, x, y, classes })
    }

    /// The number of examples.
    pub(super) fn examples(&self) -> usize {
        self.y.len()
    }

    /// The parameters of a class, D + 1.
    pub(super) fn width(&self) -> Result<usize> {
        Ok(self.x.dim(1)?)
    }

    /// The scores of all examples, (N, K) in one vector.
    pub(super) fn scores(&self, at: &[f64]) -> Result<Vec<f64>> {
        let w = Tensor::from_slice(at, (self.classes, self.width()?), &Device::Cpu)?;
        Ok(ops::linear(&self.x, &w, None)?.flatten_all()?.to_vec1()?)
    }

    /// `R X / N` for `R` (K, N), as parameters.
    pub(super) fn mean_product(&self, r: Vec<f64>) -> Result<Vec<f64>> {
        let n = self.examples();
        let r = Tensor::from_vec(r, (self.classes, n), &Device::Cpu)?;
        Ok((ops::matmul(&r, &self.x)? / n as f64)?.flatten_all()?.to_vec1()?)
    }

    /// The Cholesky factor of `X' diag(row weights) X / N` with `ridge` added for each weight and `bias_ridge` for the bias.
    pub(super) fn system(&self, rows: Option<Vec<f64>>, ridge: f64, bias_ridge: f64) -> Result<Llt<f64>> {
        let (n, d) = (self.examples(), self.width()?);
        let left = match rows {
            Some(a) => self.transposed.broadcast_mul(&Tensor::from_vec(a, (1, n), &Device::Cpu)?)?,
            None => self.transposed.clone(),
        };
        let gram = ops::matmul(&left, &self.x)?.flatten_all()?.to_vec1::<f64>()?;
        let diagonal = |i: usize| if i + 1 == d { bias_ridge } else { ridge };
        let entry = |i: usize, j: usize| gram[i * d + j] / n as f64 + if i == j { diagonal(i) } else { 0.0 };
        let factor = faer::Mat::from_fn(d, d, entry).llt(faer::Side::Lower);
        let failed =
            |e| Error::value("linear probe", format!("covariance of the features: {e:?}; use a larger strength"));
        factor.map_err(failed)
    }

    /// `strength` times the weights, and 0 for the biases.
    pub(super) fn penalty_slope(&self, strength: f64, at: &[f64]) -> Result<Vec<f64>> {
        let d = self.width()?;
        let slope = |(i, w): (usize, &f64)| if (i + 1) % d == 0 { 0.0 } else { strength * w };
        Ok(at.iter().enumerate().map(slope).collect())
    }
}

/// The inverse of a factored matrix (D, D) times each row of `v` (K, D).
pub(super) fn solve(factor: &Llt<f64>, v: &[f64], d: usize) -> Vec<f64> {
    // The rows of a matrix, one after the other, are the columns of its transpose.
    let solved = factor.solve(faer::MatRef::from_column_major_slice(v, d, v.len() / d));
    (0..v.len()).map(|i| solved[(i % d, i / d)]).collect()
}

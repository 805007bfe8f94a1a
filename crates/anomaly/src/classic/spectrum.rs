//! Mean and principal axes of training examples.

use super::{column, matrix};
use crate::rows::Rows;
use crate::{Error, Loaded, Result};
use candle_core::Tensor;

/// The mean, and the eigenvalues and eigenvectors of the covariance, the largest eigenvalue first.
#[derive(Clone, Debug)]
pub(super) struct Axes {
    pub(super) mean: Vec<f64>,
    pub(super) variances: Vec<f64>,
    /// The axes, one after the other.
    pub(super) axes: Vec<f64>,
}

impl Axes {
    /// The axes of rows, with the covariance over n.
    pub(super) fn of(rows: &Rows) -> Result<Self> {
        let (n, d) = (rows.len() as f64, rows.width());
        let mut mean = vec![0.0; d];
        rows.iter().for_each(|r| mean.iter_mut().zip(r).for_each(|(m, v)| *m += v / n));
        let mut covariance = faer::Mat::<f64>::zeros(d, d);
        for r in rows.iter() {
            for i in 0..d {
                let a = (r[i] - mean[i]) / n;
                (0..=i).for_each(|j| covariance[(i, j)] += a * (r[j] - mean[j]));
            }
        }
        let eigen = covariance
            .self_adjoint_eigen(faer::Side::Lower)
            .map_err(|e| Error::value("covariance", format!("its eigenvalues were not found: {e:?}")))?;
        let (values, vectors) = (eigen.S(), eigen.U());
        // faer returns the smallest eigenvalue first; by rounding an eigenvalue may be below 0.
        let variances = (0..d).rev().map(|i| values[i].max(0.0)).collect();
        let mut axes: Vec<f64> = (0..d).rev().flat_map(|i| (0..d).map(move |j| vectors[(j, i)])).collect();
        // The sign of an axis is free: its largest coordinate is positive, as in scikit-learn.
        for axis in axes.chunks_exact_mut(d) {
            let largest = axis.iter().fold(0.0f64, |l, v| if v.abs() > l.abs() { *v } else { l });
            if largest < 0.0 {
                axis.iter_mut().for_each(|v| *v = -*v);
            }
        }
        Ok(Self { mean, variances, axes })
    }

    /// The tensors of a state.
    pub(super) fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>> {
        let (mean, variances) = (column(self.mean.clone())?, column(self.variances.clone())?);
        Ok(vec![("mean", mean), ("variances", variances), ("axes", matrix(&self.axes, self.mean.len())?)])
    }

    /// Restores the axes from [`Axes::tensors`].
    pub(super) fn restore(from: &Loaded) -> Result<Self> {
        let (mean, variances, axes) = (from.numbers("mean")?, from.numbers("variances")?, from.numbers("axes")?);
        if mean.is_empty() || variances.len() != mean.len() || axes.len() != mean.len() * mean.len() {
            return Err(Error::value("detector", "the sizes of `mean`, `variances` and `axes` do not match"));
        }
        Ok(Self { mean, variances, axes })
    }

    /// The number of variances above the rounding error of the largest.
    pub(super) fn rank(&self) -> usize {
        let least = self.variances[0] * self.mean.len() as f64 * f64::EPSILON;
        self.variances.iter().filter(|v| **v > least).count()
    }

    /// Coordinates of a row along all axes.
    pub(super) fn along<'a>(&'a self, row: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let d = self.mean.len();
        self.axes.chunks_exact(d).map(|a| a.iter().zip(row.iter().zip(&self.mean)).map(|(a, (v, m))| a * (v - m)).sum())
    }
}

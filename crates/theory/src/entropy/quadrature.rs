//! The objective of EntropySGD in one or two dimensions by quadrature, which the optimiser estimates by sampling.

use crate::{Error, Result};
use sconce_tensor_core::error::require;

/// `F(t) = -log integral exp(-L(s) - gamma norm(t - s)^2 / 2) ds` of a loss L on a grid, in one or two dimensions. With q the
/// normalised integrand,
///
/// `grad F = gamma (t - E_q[s])`, `Hess F = gamma I - gamma^2 Cov_q(s)`:
///
/// F has a second derivative wherever L is finite, even if L has kinks.
///
/// Source: Chaudhari et al. (arXiv 1611.01838) for the objective; the Hessian is derived by us.
///
/// ```
/// use sconce_theory::entropy::LocalEntropy;
/// // The kink at 0 becomes smooth.
/// let f = LocalEntropy::line(|s| 3.0 * s.abs(), 1.0, 4001, -20.0..20.0)?;
/// let h = 1e-3;
/// let second = (f.at(&[h])?.gradient[0] - f.at(&[-h])?.gradient[0]) / (2.0 * h);
/// assert!((second - f.at(&[0.0])?.hessian[0]).abs() < 1e-4);
/// # Ok::<(), sconce_theory::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LocalEntropy {
    /// Grid points, with `dims` coordinates each.
    points: Vec<f64>,
    losses: Vec<f64>,
    dims: usize,
    gamma: f64,
    log_cell: f64,
}

/// F and its derivatives at a point.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalEntropyPoint {
    /// F.
    pub value: f64,
    /// The gradient of F.
    pub gradient: Vec<f64>,
    /// The Hessian of F in row-major order.
    pub hessian: Vec<f64>,
    /// The covariance of q in row-major order.
    pub covariance: Vec<f64>,
}

impl LocalEntropy {
    /// In one dimension: `n` equidistant points in a range that contains the mass of the integrand for every point that will be
    /// evaluated.
    ///
    /// # Errors
    /// A gamma that is not positive, fewer than 3 points, an empty range; a loss that is not finite, with its point.
    pub fn line(loss: impl Fn(f64) -> f64, gamma: f64, n: usize, range: std::ops::Range<f64>) -> Result<Self> {
        Self::grid(|s| loss(s[0]), gamma, n, range, 1)
    }

    /// In two dimensions: a square with `n` points per side.
    ///
    /// # Errors
    /// As [`LocalEntropy::line`].
    pub fn square(loss: impl Fn(&[f64]) -> f64, gamma: f64, n: usize, range: std::ops::Range<f64>) -> Result<Self> {
        Self::grid(loss, gamma, n, range, 2)
    }

    fn grid(
        loss: impl Fn(&[f64]) -> f64,
        gamma: f64,
        n: usize,
        range: std::ops::Range<f64>,
        dims: usize,
    ) -> Result<Self> {
        require("LocalEntropy.gamma", gamma.is_finite() && gamma > 0.0, "finite and > 0", gamma)?;
        require("LocalEntropy.n", n >= 3, "at least 3", n)?;
        let width = range.end - range.start;
        require("LocalEntropy.range", width.is_finite() && width > 0.0, "a finite range that is not empty", width)?;
        let step = width / (n - 1) as f64;
        let at = |i: usize| range.start + step * i as f64;
        let points: Vec<f64> = match dims {
            1 => (0..n).map(at).collect(),
            _ => (0..n * n).flat_map(|i| [at(i / n), at(i % n)]).collect(),
        };
        let losses: Vec<f64> = points.chunks_exact(dims).map(&loss).collect();
        match losses.iter().position(|l| !l.is_finite()) {
            Some(i) => {
                let place = &points[i * dims..][..dims];
                Err(Error::value("loss", format!("{} at {place:?}", losses[i])))
            }
            None => Ok(Self { points, losses, dims, gamma, log_cell: dims as f64 * step.ln() }),
        }
    }

    /// F and its derivatives at a point.
    ///
    /// # Errors
    /// A wrong number of dimensions; a point for which the integrand has mass at the edge of the grid (a share above 1e-9 on
    /// the outermost points), because the quadrature would be wrong.
    pub fn at(&self, t: &[f64]) -> Result<LocalEntropyPoint> {
        let k = self.dims;
        if t.len() != k || t.iter().any(|v| !v.is_finite()) {
            return Err(Error::value("point", format!("must be {k} finite numbers, got {t:?}")));
        }
        let far = |s: &[f64]| s.iter().zip(t).map(|(s, t)| (s - t).powi(2)).sum::<f64>();
        let each = self.points.chunks_exact(k).zip(&self.losses);
        let log: Vec<f64> = each.map(|(s, l)| -l - 0.5 * self.gamma * far(s)).collect();
        let top = log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let q: Vec<f64> = log.iter().map(|l| (l - top).exp()).collect();
        let total: f64 = q.iter().sum();
        let edge: f64 = self.edge().map(|i| q[i]).sum();
        if edge > 1e-9 * total {
            let reason = format!("{t:?}: {:.1e} of the mass is at the edge of the grid", edge / total);
            return Err(Error::value("point", reason));
        }
        let weighted =
            |f: &dyn Fn(&[f64]) -> f64| self.points.chunks_exact(k).zip(&q).map(|(s, q)| q * f(s)).sum::<f64>() / total;
        let mean: Vec<f64> = (0..k).map(|i| weighted(&|s| s[i])).collect();
        let covariance: Vec<f64> =
            (0..k * k).map(|e| weighted(&|s| (s[e / k] - mean[e / k]) * (s[e % k] - mean[e % k]))).collect();
        let g = self.gamma;
        let identity = |e: usize| if e / k == e % k { g } else { 0.0 };
        Ok(LocalEntropyPoint {
            value: -(top + total.ln() + self.log_cell),
            gradient: t.iter().zip(&mean).map(|(t, m)| g * (t - m)).collect(),
            hessian: covariance.iter().enumerate().map(|(e, c)| identity(e) - g * g * c).collect(),
            covariance,
        })
    }

    /// The outermost points.
    fn edge(&self) -> Box<dyn Iterator<Item = usize> + '_> {
        let n = self.losses.len();
        match self.dims {
            1 => Box::new([0, n - 1].into_iter()),
            _ => {
                let side = n.isqrt();
                Box::new(
                    (0..n).filter(move |i| [0, side - 1].contains(&(i / side)) || [0, side - 1].contains(&(i % side))),
                )
            }
        }
    }
}

//! A Hessian in units of the weights.

use super::operator::{Operator, fits};
use crate::dense::norm;
use crate::{Error, Result, Weights};

/// `D H D` with D diagonal. With the norm of each weight's filter on the diagonal ([`Rescaled::by_filters`]) its eigenvalues
/// are invariant to rescalings that do not change a ReLU network: a filter is multiplied by a factor, and the weights that read
/// its output are divided by it. The eigenvalues of the raw Hessian are not invariant. With the norm of all weights on the
/// diagonal it is `norm(w)^2 H`.
///
/// Source: the objection to raw sharpness is from Dinh et al. (arXiv 1703.04933); the form is chosen by us, after the filter
/// normalisation of Li et al. (arXiv 1712.09913).
pub struct Rescaled<'a> {
    inner: &'a dyn Operator,
    scale: Vec<f64>,
}

impl std::fmt::Debug for Rescaled<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rescaled operator of {} dimensions", self.scale.len())
    }
}

impl<'a> Rescaled<'a> {
    /// From the diagonal of D.
    ///
    /// # Errors
    /// A wrong length, or a value that is not finite.
    pub fn new(inner: &'a dyn Operator, scale: Vec<f64>) -> Result<Self> {
        fits(&scale, inner.dim())?;
        match scale.iter().position(|v| !v.is_finite()) {
            Some(i) => Err(Error::value("scale", format!("{} at {i}", scale[i]))),
            None => Ok(Self { inner, scale }),
        }
    }

    /// With the norm of the filter that each value belongs to; a bias or another parameter counts as one filter.
    ///
    /// # Errors
    /// As [`Rescaled::new`].
    pub fn by_filters(inner: &'a dyn Operator, weights: &Weights<'_>) -> Result<Self> {
        let w = weights.values()?;
        let mut scale = Vec::with_capacity(w.len());
        for (n, _) in weights.filters() {
            let length = norm(&w[scale.len()..scale.len() + n]);
            scale.resize(scale.len() + n, length);
        }
        Self::new(inner, scale)
    }
}

impl Operator for Rescaled<'_> {
    fn dim(&self) -> usize {
        self.scale.len()
    }

    fn apply(&self, v: &[f64]) -> Result<Vec<f64>> {
        fits(v, self.dim())?;
        let scaled = |v: &[f64]| v.iter().zip(&self.scale).map(|(v, s)| v * s).collect::<Vec<f64>>();
        Ok(scaled(&self.inner.apply(&scaled(v))?))
    }

    fn precision(&self) -> f64 {
        self.inner.precision()
    }
}

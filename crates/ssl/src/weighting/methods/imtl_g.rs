//! IMTL-G: equal projections onto all gradients.

use crate::weighting::linear::eigen;
use crate::weighting::{Step, Weighting, Weights};
use crate::{Error, Result};

/// Largest relative violation of the equations.
const RESIDUAL: f64 = 1e-8;

/// IMTL-G (Liu et al. 2021, "Towards impartial multi-task learning"): the direction with equal projections onto all unit gradients,
/// `w = M^-1 sqrt(diag M)`, normalised to sum to 1.
///
/// Weights can be negative, and then a loss can rise. Linearly dependent gradients are allowed where such a direction exists (all gradients
/// equal, for one): the weights are those of smallest norm on unit gradients. Undefined, an error: a gradient of 0, no such direction, or
/// weights that sum to 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImtlG;

impl Weighting for ImtlG {
    fn name(&self) -> &'static str {
        "imtl-g"
    }

    fn describe(&self) -> String {
        format!("{self:?}")
    }

    fn weights(&mut self, step: &Step<'_>) -> Result<Weights> {
        let gram = step.gram("imtl-g")?;
        gram.require_nonzero("imtl-g")?;
        let (t, norms) = (step.tasks(), gram.norms());
        let (values, vectors) = eigen(t, |i, j| gram.cosine(i, j))?;
        // The pseudo-inverse of the cosines times a vector of ones.
        let least = values[t - 1] * t as f64 * f64::EPSILON;
        let mut b = vec![0.0; t];
        for (value, vector) in values.iter().zip(&vectors).filter(|(v, _)| **v > least) {
            let along = vector.iter().sum::<f64>() / value;
            b.iter_mut().zip(vector).for_each(|(b, v)| *b += along * v);
        }
        let projection = |i: usize| -> f64 { (0..t).map(|j| gram.cosine(i, j) * b[j]).sum() };
        let residual = (0..t).map(|i| (projection(i) - 1.0).abs()).fold(0.0, f64::max);
        if residual.is_nan() || residual > RESIDUAL {
            let reason = format!("no direction has equal projections onto all gradients (violation {residual:e})");
            return Err(Error::value("imtl-g", format!("is undefined: {reason}")));
        }
        let w: Vec<f64> = b.iter().zip(&norms).map(|(b, n)| b / n).collect();
        let (sum, size) = (w.iter().sum::<f64>(), w.iter().map(|w| w.abs()).sum::<f64>());
        if sum.abs() <= RESIDUAL * size {
            return Err(Error::value("imtl-g", "is undefined: its weights sum to 0 and cannot be normalised"));
        }
        Ok(Weights::new("imtl-g", w.iter().map(|w| w / sum).collect())?.with_residual(residual))
    }
}

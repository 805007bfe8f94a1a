//! The Gauss-Newton part of the Hessian.

use super::curvature::Curvature;
use super::operator::{Operator, fits};
use crate::{Error, Result};
use candle_core::{D, Tensor};
use sconce_tensor_core::ops;

/// The Gauss-Newton matrix of the cross-entropy of softmax, `mean J^T (diag(p) - p p^T) J` with J the Jacobian of an example's
/// logits with respect to the weights and p its probabilities. It is positive semi-definite, and equals the Fisher information
/// of the model's predictions.
///
/// `J v` is computed by central differences of the logits, `J^T u` by a backward pass.
pub struct GaussNewton<'a> {
    curvature: &'a Curvature<'a>,
    logits: &'a dyn Fn(usize) -> Result<Tensor>,
    step: f64,
}

impl<'a> GaussNewton<'a> {
    /// `curvature` gives the weights and the number of parts; the `logits` of a part are (N, K) with the weights in the graph.
    /// Parts must have the same number of examples, because all parts have the same weight. `step` as in
    /// [`super::HvpMethod::FiniteDifferences`].
    pub fn new(curvature: &'a Curvature<'a>, logits: &'a dyn Fn(usize) -> Result<Tensor>, step: f64) -> Self {
        Self { curvature, logits, step }
    }
}

impl std::fmt::Debug for GaussNewton<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GaussNewton of {:?}", self.curvature)
    }
}

impl Operator for GaussNewton<'_> {
    fn dim(&self) -> usize {
        self.curvature.dim()
    }

    fn apply(&self, v: &[f64]) -> Result<Vec<f64>> {
        fits(v, self.dim())?;
        let c = self.curvature;
        let mut sum = vec![0.0; self.dim()];
        for i in 0..c.parts() {
            let Some((up, down, h)) = c.around(v, self.step, || Ok((self.logits)(i)?.detach()))? else {
                return Ok(sum);
            };
            let along = ((up - down)? / (2.0 * h))?;
            let z = (self.logits)(i)?;
            if z.rank() != 2 {
                return Err(Error::shape("logits", "(N, K)", z.dims()));
            }
            let p = ops::log_softmax(&z.detach())?.exp()?;
            let inner = (&p * &along)?.sum_keepdim(D::Minus1)?;
            let u = (p * along.broadcast_sub(&inner)?)?;
            let count = (z.dim(0)? * c.parts()) as f64;
            let scalar = ((z * u)?.sum_all()? / count)?;
            sum.iter_mut().zip(c.gradient_of(&scalar)?).for_each(|(s, g)| *s += g);
        }
        Ok(sum)
    }

    fn precision(&self) -> f64 {
        self.curvature.precision()
    }
}

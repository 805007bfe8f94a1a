//! Multinomial logistic regression with an L2 penalty.

use super::design::{Design, solve};
use super::lbfgs::{self, Minimum, Objective, Stop};
use faer::linalg::solvers::Llt;
use sconce_tensor_core::Result;

/// The softmax of a row of scores in place; returns the logarithm of its denominator.
fn softmax(z: &mut [f64]) -> f64 {
    let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    z.iter_mut().for_each(|z| *z = (*z - largest).exp());
    let sum: f64 = z.iter().sum();
    z.iter_mut().for_each(|z| *z /= sum);
    sum.ln() + largest
}

/// `mean_i -log softmax(W x_i + b)[y_i] + strength / 2 |W|^2`.
struct Logistic<'a> {
    design: &'a Design,
    strength: f64,
    factor: Llt<f64>,
}

impl Objective for Logistic<'_> {
    fn at(&self, at: &[f64]) -> Result<(f64, Vec<f64>)> {
        let (design, k, n) = (self.design, self.design.classes, self.design.examples());
        let mut scores = design.scores(at)?;
        let (mut loss, mut residual) = (0.0, vec![0.0; k * n]);
        for (i, (z, y)) in scores.chunks_exact_mut(k).zip(&design.y).enumerate() {
            let y = *y as usize;
            let score = z[y];
            loss += softmax(z) - score;
            z.iter().enumerate().for_each(|(c, p)| residual[c * n + i] = *p);
            residual[y * n + i] -= 1.0;
        }
        let slope = design.penalty_slope(self.strength, at)?;
        let penalty: f64 = slope.iter().zip(at).map(|(s, w)| 0.5 * s * w).sum();
        let gradient = design.mean_product(residual)?.into_iter().zip(slope).map(|(g, s)| g + s);
        Ok((loss / n as f64 + penalty, gradient.collect()))
    }

    fn precondition(&self, v: &[f64]) -> Result<Vec<f64>> {
        Ok(solve(&self.factor, v, self.design.width()?))
    }
}

/// The minimiser, from `start` on. It is unique up to a constant on all biases.
///
/// The preconditioner is the inverse of the Hessian's mean over classes at the start, `X' diag(a) X / N + strength` with
/// `a_i = sum_c p_ic (1 - p_ic) / (K - 1)`; at W = 0 this is the Hessian itself, on vectors whose classes sum to 0.
pub(super) fn minimise(design: &Design, strength: f64, start: Vec<f64>, stop: Stop) -> Result<Minimum> {
    let k = design.classes;
    let mut scores = design.scores(&start)?;
    let curvature = |z: &mut [f64]| {
        softmax(z);
        z.iter().map(|p| p * (1.0 - p)).sum::<f64>() / (k.max(2) - 1) as f64
    };
    let rows = scores.chunks_exact_mut(k).map(curvature).collect();
    let factor = design.system(Some(rows), strength, 1e-2 * strength)?;
    lbfgs::minimise(&Logistic { design, strength, factor }, start, stop)
}

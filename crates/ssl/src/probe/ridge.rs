//! Ridge regression on one-hot labels, in closed form.

use super::design::{Design, solve};
use super::lbfgs::Minimum;
use sconce_tensor_core::Result;

/// The minimiser of `1 / (2 N) sum_i |W x_i + b - e(y_i)|^2 + strength / 2 |W|^2`, by the normal equations.
pub(super) fn minimise(design: &Design, strength: f64) -> Result<Minimum> {
    let (k, n) = (design.classes, design.examples());
    let mut labels = vec![0.0; k * n];
    design.y.iter().enumerate().for_each(|(i, y)| labels[*y as usize * n + i] = 1.0);
    let target = design.mean_product(labels.clone())?;
    let x = solve(&design.system(None, strength, 0.0)?, &target, design.width()?);

    // What is left of each label, for the value and the gradient at the solution.
    let scores = design.scores(&x)?;
    let left: Vec<f64> = (0..k * n).map(|i| scores[(i % n) * k + i / n] - labels[i]).collect();
    let squares = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>();
    let slope = design.penalty_slope(strength, &x)?;
    let penalty: f64 = slope.iter().zip(&x).map(|(s, w)| 0.5 * s * w).sum();
    let value = squares(&left) / (2 * n) as f64 + penalty;
    let gradient: Vec<f64> = design.mean_product(left)?.iter().zip(slope).map(|(g, s)| g + s).collect();
    Ok(Minimum { x, value, gradient_norm: squares(&gradient).sqrt(), steps: 1 })
}

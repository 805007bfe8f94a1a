//! Ridge regression on one-hot labels, in closed form.

use super::lbfgs::Minimum;
use super::logistic::{Design, solve};
use sconce_tensor_core::Result;

/// The minimiser of `1 / (2 N) sum_i |W x_i + b - e(y_i)|^2 + strength / 2 |W|^2` for centred features: the biases are the shares of the
/// classes, and `W = (X' X / N + strength)^-1 X' (Y - b) / N`.
pub(super) fn minimise(design: &Design, strength: f64) -> Result<Minimum> {
    let (k, (n, d)) = (design.classes, design.dims()?);
    let mut bias = vec![0.0; k];
    design.y.iter().for_each(|y| bias[*y as usize] += 1.0 / n as f64);
    let mut centred: Vec<f64> = bias.iter().flat_map(|b| vec![-b; n]).collect();
    design.y.iter().enumerate().for_each(|(i, y)| centred[*y as usize * n + i] += 1.0);
    let scaled = |v: &[f64]| v.iter().map(|v| v / n as f64).collect::<Vec<f64>>();
    let target = design.transposed_product(scaled(&centred))?;
    let weight = solve(&design.factor(1.0, strength)?, &target, d);

    // What is left of each prediction, for the value and the gradient at the solution.
    let product = sconce_tensor_core::ops::linear(
        &design.x,
        &sconce_tensor_core::candle_core::Tensor::from_slice(&weight, (k, d), design.x.device())?,
        None,
    )?;
    let product = product.t()?.flatten_all()?.to_vec1::<f64>()?;
    let left: Vec<f64> = product.iter().zip(&centred).map(|(p, y)| p - y).collect();
    let mut gradient = design.transposed_product(scaled(&left))?;
    gradient.iter_mut().zip(&weight).for_each(|(g, w)| *g += strength * w);
    let squares = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>();
    let value = squares(&left) / (2 * n) as f64 + 0.5 * strength * squares(&weight);
    let gradient_norm = squares(&gradient).sqrt();
    Ok(Minimum { x: [weight, bias].concat(), value, gradient_norm, steps: 1 })
}

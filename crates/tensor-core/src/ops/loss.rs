//! The losses of classification and regression.

use super::cpu::elementwise;
use super::cpu::math::Math;
use super::kernel::{Kernel, apply2, apply3, wanted};
use super::labels::rows;
use super::output::{Output, log_output, output_nll};
use super::own_kernels;
use crate::{Error, Result};
use candle_core::{D, Shape, Tensor};

/// `z - log sum_k exp z_k` over the last axis: [`log_output`] of softmax.
///
/// # Shapes
/// (..., K) -> (..., K).
///
/// # Errors
/// A scalar, or an empty last axis.
pub fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    log_output(logits, Output::Softmax)
}

/// The cross-entropy with class indices of each row, `-log softmax(logits)[n, label[n]]`; the caller
/// takes the mean (training) or the sum (attacks, whose gradients must not depend on the batch).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use sconce_tensor_core::ops::cross_entropy;
/// let z = Tensor::new(&[[0f64, 0.0], [2.0, 0.0]], &Device::Cpu)?;
/// let y = Tensor::new(&[0u32, 0], &Device::Cpu)?;
/// let loss = cross_entropy(&z, &y)?.to_vec1::<f64>()?;
/// assert!((loss[0] - 2f64.ln()).abs() < 1e-12 && (loss[1] - (1.0 + (-2f64).exp()).ln()).abs() < 1e-12);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
///
/// # Shapes
/// `logits` (N, K), `labels` (N,) of type u32 -> (N,).
///
/// # Errors
/// As [`nll`](super::nll).
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    output_nll(logits, labels, Output::Softmax)
}

/// The cross-entropy with soft labels of each row, `-sum_k target[n,k] log softmax(logits)[n,k]`.
/// The rows of the target should sum to 1; this is not checked.
///
/// # Shapes
/// `logits` and `target` (N, K) -> (N,).
///
/// # Errors
/// Shapes that differ or are not (N, K).
pub fn soft_cross_entropy(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    let (n, k) = rows(logits)?;
    if target.dims() != [n, k] {
        return Err(Error::shape("soft labels", format!("({n}, {k})"), target.dims()));
    }
    Ok((log_softmax(logits)? * target)?.sum(D::Minus1)?.neg()?)
}

/// The mean of `(y - target)^2` over all elements.
///
/// Differentiable in `y`, twice; the target is a constant.
///
/// # Shapes
/// Two tensors of one shape -> a scalar.
///
/// # Errors
/// Shapes that differ, or an empty one.
pub fn mse_loss(y: &Tensor, target: &Tensor) -> Result<Tensor> {
    if y.dims() != target.dims() || y.elem_count() == 0 {
        return Err(Error::shape("mse_loss target", format!("{:?}, not empty", y.dims()), target.dims()));
    }
    if own_kernels(y) {
        return Ok(apply2(SquaredError, y, &target.detach())?);
    }
    Ok((super::composed::sum_all(&(y - target.detach())?.sqr()?)? / y.elem_count() as f64)?)
}

/// y, t -> mean (y - t)^2.
struct SquaredError;
/// y, t, a number g -> 2 g (y - t) / n.
struct Difference;

impl Kernel<2> for SquaredError {
    const NAME: &'static str = "sconce-mse";

    fn forward<T: Math>(&self, [y, t]: [&[T]; 2], _: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((vec![T::of_f64(elementwise::squared_distance(y, t) / y.len() as f64)], ().into()))
    }

    fn backward(&self, [y, t]: [&Tensor; 2], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        Ok([wanted(y, || apply3(Difference, y, t, g))?, None])
    }
}

impl Kernel<3> for Difference {
    const NAME: &'static str = "sconce-mse-grad";

    fn forward<T: Math>(&self, [y, t, g]: [&[T]; 3], [shape, ..]: [&Shape; 3]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((elementwise::difference(y, t, T::of_f64(2.0 / y.len() as f64) * g[0]), shape.clone()))
    }

    fn backward(&self, [y, t, g]: [&Tensor; 3], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        let share = 2.0 / y.elem_count() as f64;
        let to_y = wanted(y, || u.broadcast_mul(&(g * share)?))?;
        let to_g = wanted(g, || (super::composed::sum_all(&(u * (y - t)?)?)? * share)?.reshape(g.shape()))?;
        Ok([to_y, None, to_g])
    }
}

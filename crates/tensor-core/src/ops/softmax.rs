//! Softmax as an operation of its own.

use super::cpu::math::Math;
use super::cpu::rows;
use super::kernel::{Kernel, apply1, apply2, wanted};
use super::{composed, own_kernels};
use crate::{Error, Result};
use candle_core::{D, Shape, Tensor};

/// `e^z_k / sum_m e^z_m` over the last axis, computed from z minus its maximum.
///
/// Losses should use [`log_softmax`](super::log_softmax) or [`cross_entropy`](super::cross_entropy), whose gradients do not
/// vanish where a probability underflows.
///
/// # Shapes
/// (..., K) -> (..., K).
///
/// # Errors
/// A scalar, or an empty axis.
pub fn softmax(z: &Tensor) -> Result<Tensor> {
    if z.elem_count() == 0 || z.rank() == 0 {
        return Err(Error::shape("softmax input", "(..., K), no axis of 0", z.dims()));
    }
    if own_kernels(z) { Ok(apply1(Softmax, z)?) } else { composed::softmax(z) }
}

/// z -> y.
struct Softmax;
/// y, g -> y (g - sum y g). It is symmetric in g.
struct SoftmaxGrad;

fn last(shape: &Shape) -> usize {
    shape.dims().last().copied().unwrap_or(1)
}

impl Kernel<1> for Softmax {
    const NAME: &'static str = "sconce-softmax";

    fn forward<T: Math>(&self, [z]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((rows::softmax(z, last(shape)), shape.clone()))
    }

    fn backward(&self, _: [&Tensor; 1], y: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply2(SoftmaxGrad, y, g)?)])
    }
}

impl Kernel<2> for SoftmaxGrad {
    const NAME: &'static str = "sconce-softmax-grad";

    fn forward<T: Math>(&self, [y, g]: [&[T]; 2], [shape, _]: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((rows::softmax_grad(y, g, last(shape)), shape.clone()))
    }

    fn backward(&self, [y, g]: [&Tensor; 2], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        let dot = |a: &Tensor| (a * y)?.sum_keepdim(D::Minus1);
        let to_y = || (u * g.broadcast_sub(&dot(g)?)?)? - g.broadcast_mul(&dot(u)?)?;
        Ok([wanted(y, to_y)?, wanted(g, || apply2(Self, y, u))?])
    }
}

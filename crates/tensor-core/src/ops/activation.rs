//! Activations that are worth a kernel of their own.

use super::cpu::element::Element;
use super::cpu::elementwise;
use super::kernel::{Kernel, apply1, apply2};
use super::own_kernels;
use crate::Result;
use candle_core::{Shape, Tensor};

/// `max(x, 0)`, element by element. The derivative at 0 is 0 (as in PyTorch; candle's own is 1).
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// candle's only.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    if own_kernels(x) {
        return Ok(apply1(Relu, x)?);
    }
    let on = x.gt(0.0)?.to_dtype(x.dtype())?;
    Ok((x * on)?)
}

struct Relu;
/// y, g -> g where y > 0. Piecewise constant in y, linear in g.
struct Mask;

impl Kernel<1> for Relu {
    const NAME: &'static str = "sconce-relu";

    fn forward<T: Element>(&self, [x]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((elementwise::relu(x), shape.clone()))
    }

    fn backward(&self, _: [&Tensor; 1], y: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply2(Mask, &y.detach(), g)?)])
    }
}

impl Kernel<2> for Mask {
    const NAME: &'static str = "sconce-relu-mask";

    fn forward<T: Element>(&self, [y, g]: [&[T]; 2], [shape, _]: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((elementwise::relu_mask(y, g), shape.clone()))
    }

    fn backward(&self, [y, _]: [&Tensor; 2], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        Ok([None, Some(apply2(Self, y, u)?)])
    }
}

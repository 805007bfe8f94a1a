//! Activation functions with their own kernels.

use super::cpu::element::Element;
use super::cpu::elementwise;
use super::cpu::math::Math;
use super::kernel::{Kernel, apply1, apply2, wanted};
use super::{composed, own_kernels};
use crate::{Error, Result, error::require};
use candle_core::{Shape, Tensor};

/// `max(x, 0)`, element by element. The derivative at 0 is 0 (as in PyTorch; candle's own is 1).
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// candle's only.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    leaky_relu(x, 0.0)
}

/// `x` if it is positive, otherwise `slope x`. The derivative at 0 is `slope` (as in PyTorch).
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// [`crate::Error::Config`] for a slope that is negative or not finite.
pub fn leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor> {
    rectify(x, Rectifier::leaky(slope))
}

/// `x` if it is positive, otherwise `slope x`, and at most `cap`: ReLU and its kin, which layers compute in one pass with what precedes them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rectifier {
    /// The slope at negative numbers, at least 0.
    pub slope: f64,
    /// The largest result, above 0; infinite for none.
    pub cap: f64,
}

impl Rectifier {
    /// `max(x, 0)`.
    pub const RELU: Self = Self::leaky(0.0);
    /// `min(max(x, 0), 6)`.
    pub const RELU6: Self = Self { slope: 0.0, cap: 6.0 };

    /// `x` if it is positive, otherwise `slope x`.
    pub const fn leaky(slope: f64) -> Self {
        Self { slope, cap: f64::INFINITY }
    }

    pub(crate) fn check(self) -> Result<()> {
        require("rectifier slope", self.slope >= 0.0 && self.slope.is_finite(), "finite and >= 0", self.slope)?;
        require("rectifier cap", self.cap > 0.0, "> 0", self.cap)
    }
}

/// `x` if it is positive, otherwise `slope x`, and at most `cap`. The derivative at 0 is `slope`, and 0 at the cap (as in PyTorch); NaN stays NaN.
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// [`crate::Error::Config`] for a slope that is negative or not finite, or a cap that is not above 0.
pub fn rectify(x: &Tensor, by: Rectifier) -> Result<Tensor> {
    by.check()?;
    if own_kernels(x) {
        return Ok(apply1(Rectify(by), x)?);
    }
    let y = composed::leaky_relu(x, by.slope)?;
    if by.cap == f64::INFINITY { Ok(y) } else { composed::clamp(&y, f64::NEG_INFINITY, by.cap) }
}

/// `a + b`, element by element.
///
/// # Shapes
/// Two tensors of one shape; the result has the same shape.
///
/// # Errors
/// Shapes that differ.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(if own_kernels(a) && a.dims() == b.dims() { apply2(Add, a, b)? } else { (a + b)? })
}

struct Add;

impl Kernel<2> for Add {
    const NAME: &'static str = "sconce-add";

    fn forward<T: Element>(&self, [a, b]: [&[T]; 2], [shape, _]: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((elementwise::add(a, b), shape.clone()))
    }

    fn backward(&self, [a, b]: [&Tensor; 2], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        Ok([wanted(a, || Ok(g.clone()))?, wanted(b, || Ok(g.clone()))?])
    }
}

/// `max(a + b, 0)` in one pass.
///
/// # Shapes
/// Two tensors of one shape; the result has the same shape.
///
/// # Errors
/// Shapes that differ.
pub fn add_relu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.dims() != b.dims() {
        return Err(Error::shape("add_relu", format!("{:?}", a.dims()), b.dims()));
    }
    if own_kernels(a) {
        return Ok(apply2(AddRectify, a, b)?);
    }
    relu(&(a + b)?)
}

/// `1 / (1 + e^-x)`, element by element, without overflow.
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// candle's only.
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    if own_kernels(x) {
        return Ok(apply1(Sigmoid, x)?);
    }
    Ok((((x * 0.5)?.tanh()? * 0.5)? + 0.5)?)
}

struct Sigmoid;

impl Kernel<1> for Sigmoid {
    const NAME: &'static str = "sconce-sigmoid";

    fn forward<T: Math>(&self, [x]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((elementwise::sigmoid(x), shape.clone()))
    }

    fn backward(&self, _: [&Tensor; 1], y: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply2(SigmoidGrad, y, g)?)])
    }
}

/// y, g -> g y (1 - y).
struct SigmoidGrad;

impl Kernel<2> for SigmoidGrad {
    const NAME: &'static str = "sconce-sigmoid-grad";

    fn forward<T: Element>(&self, [y, g]: [&[T]; 2], [shape, _]: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((elementwise::sigmoid_grad(y, g), shape.clone()))
    }

    fn backward(&self, [y, g]: [&Tensor; 2], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        let to_y = || (u * g)? * y.affine(-2.0, 1.0)?;
        Ok([wanted(y, to_y)?, wanted(g, || apply2(Self, y, u))?])
    }
}

/// a, b -> max(a + b, 0).
struct AddRectify;
/// x -> the rectified x.
struct Rectify(Rectifier);
/// y, g -> g where 0 < y < cap, 0 from the cap on, otherwise slope g. It is piecewise constant in y and linear in g.
#[derive(Clone, Copy)]
pub(super) struct Mask(pub(super) Rectifier);

impl Kernel<1> for Rectify {
    const NAME: &'static str = "sconce-relu";

    fn forward<T: Element>(&self, [x]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((elementwise::rectify(x, self.0), shape.clone()))
    }

    fn backward(&self, _: [&Tensor; 1], y: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply2(Mask(self.0), &y.detach(), g)?)])
    }
}

impl Kernel<2> for AddRectify {
    const NAME: &'static str = "sconce-add-relu";

    fn forward<T: Element>(&self, [a, b]: [&[T]; 2], [shape, _]: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((elementwise::add_rectify(a, b), shape.clone()))
    }

    fn backward(&self, [a, b]: [&Tensor; 2], y: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        let g = apply2(Mask(Rectifier::RELU), &y.detach(), g)?;
        Ok([wanted(a, || Ok(g.clone()))?, wanted(b, || Ok(g.clone()))?])
    }
}

impl Kernel<2> for Mask {
    const NAME: &'static str = "sconce-relu-mask";

    fn forward<T: Element>(&self, [y, g]: [&[T]; 2], [shape, _]: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((elementwise::mask(y, g, self.0), shape.clone()))
    }

    fn backward(&self, [y, _]: [&Tensor; 2], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        Ok([None, Some(apply2(*self, y, u)?)])
    }
}

//! Smooth and piecewise activation functions of one number, each with its exact first and second derivative.

use super::cpu::math::Math;
use super::cpu::unary::{self, Unary};
use super::kernel::{Kernel, apply1, apply2, wanted};
use super::{composed, own_kernels};
use crate::{Result, error::require};
use candle_core::{Shape, Tensor};

/// The form of [`gelu`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Gelu {
    /// `x Phi(x)` with the distribution function of the normal distribution.
    #[default]
    Erf,
    /// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`, an approximation.
    Tanh,
}

/// The Gaussian error linear unit `x Phi(x)`, or its approximation by `tanh`.
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// candle's only.
///
/// Source: Hendrycks and Gimpel (arXiv 1606.08415), Section 2.
pub fn gelu(x: &Tensor, form: Gelu) -> Result<Tensor> {
    match form {
        Gelu::Erf => unary(unary::GeluErf, x, |x| composed::gelu(x, form)),
        Gelu::Tanh => unary(unary::GeluTanh, x, |x| composed::gelu(x, form)),
    }
}

/// `x / (1 + e^-x)`, also called swish.
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// candle's only.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    unary(unary::Silu, x, composed::silu)
}

/// `x min(max(x + 3, 0), 6) / 6`. The derivative is 0 at -3 and 1 at 3, as in PyTorch.
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// candle's only.
///
/// Source: Howard et al. (arXiv 1905.02244), Section 5.2.
pub fn hard_swish(x: &Tensor) -> Result<Tensor> {
    unary(unary::HardSwish, x, composed::hard_swish)
}

/// `min(max(alpha x + beta, 0), 1)`; PyTorch's has `alpha` 1/6 and `beta` 1/2, ONNX's default is 0.2 and 1/2. The derivative
/// is 0 where the result is 0 or 1.
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// [`crate::Error::Config`] for an `alpha` or `beta` that is not finite.
pub fn hard_sigmoid(x: &Tensor, alpha: f64, beta: f64) -> Result<Tensor> {
    require("hard_sigmoid alpha", alpha.is_finite(), "finite", alpha)?;
    require("hard_sigmoid beta", beta.is_finite(), "finite", beta)?;
    unary(unary::HardSigmoid { alpha, beta }, x, |x| composed::hard_sigmoid(x, alpha, beta))
}

/// `x tanh(log(1 + e^x))`.
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// candle's only.
///
/// Source: Misra (arXiv 1908.08681), Section 3.
pub fn mish(x: &Tensor) -> Result<Tensor> {
    unary(unary::Mish, x, composed::mish)
}

/// `log(1 + e^x)`, computed as `max(x, 0) + log(1 + e^-|x|)`, which does not overflow. (PyTorch's returns `x` above 20; the
/// difference is below 3e-9.)
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// candle's only.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    unary(unary::Softplus, x, composed::softplus)
}

/// `x` if it is positive, otherwise `alpha (e^x - 1)`. The derivative at 0 is `alpha`, as in PyTorch.
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// [`crate::Error::Config`] for an `alpha` that is not finite.
///
/// Source: Clevert et al. (arXiv 1511.07289), Equation 15.
pub fn elu(x: &Tensor, alpha: f64) -> Result<Tensor> {
    require("elu alpha", alpha.is_finite(), "finite", alpha)?;
    unary(unary::Elu { alpha, scale: 1.0 }, x, |x| composed::elu(x, alpha))
}

/// `alpha` of [`selu`].
pub(super) const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
/// The scale of [`selu`].
pub(super) const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

/// `1.0507 elu(x)` with `alpha = 1.6733` (16 digits of both).
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// candle's only.
///
/// Source: Klambauer et al. (arXiv 1706.02515), Equation 2.
pub fn selu(x: &Tensor) -> Result<Tensor> {
    unary(unary::Elu { alpha: SELU_ALPHA, scale: SELU_SCALE }, x, composed::selu)
}

/// The hyperbolic tangent.
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// candle's only.
pub fn tanh(x: &Tensor) -> Result<Tensor> {
    unary(unary::Tanh, x, |x| Ok(x.tanh()?))
}

/// The error function `2 / sqrt(pi) int_0^x e^-t^2 dt`, to a relative error of 1e-7 in `f32` and 1e-15 in `f64`.
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// candle's only.
pub fn erf(x: &Tensor) -> Result<Tensor> {
    unary(unary::Erf, x, |x| Ok(x.erf()?))
}

/// `min(max(x, low), high)`. The derivative is 1 strictly between the bounds and 0 at them (as in PyTorch 2.15); NaN stays NaN.
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// [`crate::Error::Config`] for a bound that is NaN, or `low > high`; either may be infinite.
pub fn clamp(x: &Tensor, low: f64, high: f64) -> Result<Tensor> {
    require("clamp low", low <= high, "at most `high`, both of them numbers", format!("{low} and {high}"))?;
    unary(unary::Clamp { low, high }, x, |x| composed::clamp(x, low, high))
}

fn unary<F: Unary>(f: F, x: &Tensor, other: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    if own_kernels(x) { Ok(apply1(Value(f), x)?) } else { other(x) }
}

/// x -> f(x).
struct Value<F>(F);
/// x, g -> g f'(x).
struct Slope<F>(F);
/// x, g -> g f''(x).
struct Bend<F>(F);

impl<F: Unary> Kernel<1> for Value<F> {
    const NAME: &'static str = F::NAME;

    fn forward<T: Math>(&self, [x]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((unary::values(self.0, x), shape.clone()))
    }

    fn backward(&self, [x]: [&Tensor; 1], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply2(Slope(self.0), x, g)?)])
    }
}

impl<F: Unary> Kernel<2> for Slope<F> {
    const NAME: &'static str = F::NAME;

    fn forward<T: Math>(&self, [x, g]: [&[T]; 2], [shape, _]: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((unary::slopes(self.0, x, g), shape.clone()))
    }

    fn backward(&self, [x, g]: [&Tensor; 2], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        Ok([wanted(x, || apply2(Bend(self.0), x, &(u * g)?))?, wanted(g, || apply2(Self(self.0), x, u))?])
    }
}

impl<F: Unary> Kernel<2> for Bend<F> {
    const NAME: &'static str = F::NAME;

    fn forward<T: Math>(&self, [x, g]: [&[T]; 2], [shape, _]: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((unary::bends(self.0, x, g), shape.clone()))
    }

    /// Third derivatives are an error.
    fn backward(&self, [x, g]: [&Tensor; 2], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        let third = || Err(candle_core::Error::BackwardNotSupported { op: F::NAME });
        Ok([wanted(x, third)?, wanted(g, || apply2(Self(self.0), x, u))?])
    }
}

//! A rectifier with a trained slope for each channel.

use super::conv::ChannelSum;
use super::cpu::elementwise;
use super::cpu::math::Math;
use super::kernel::{Kernel, apply1, apply2, apply3, wanted};
use super::{composed, own_kernels};
use crate::{Error, Result};
use candle_core::{Shape, Tensor};

/// `x` if it is positive, otherwise `slope[c] x` for its channel c. The derivative at 0 is the slope, as in PyTorch.
///
/// # Shapes
/// `x` (N, C, ...), `slope` (C,), or (1,) with an `x` of any shape; the result has the shape of `x`.
///
/// # Errors
/// Shapes that do not fit, an empty axis.
///
/// Source: He et al. (arXiv 1502.01852), Equation 1.
pub fn prelu(x: &Tensor, slope: &Tensor) -> Result<Tensor> {
    let channels = slope.elem_count();
    let fits = slope.rank() == 1 && (channels == 1 || x.dims().get(1) == Some(&channels));
    if !fits || x.elem_count() == 0 {
        let expected = format!("(1,), or (C,) for an input (N, C, ...); the input is {:?}", x.dims());
        return Err(Error::shape("prelu slope", expected, slope.dims()));
    }
    if !own_kernels(x) {
        return composed::prelu(x, slope);
    }
    // Elements that share a slope.
    let p = if channels == 1 { x.elem_count() } else { x.dims().iter().skip(2).product() };
    Ok(apply2(Prelu { p, channels }, x, slope)?)
}

/// x, a -> x or a x.
#[derive(Clone, Copy)]
struct Prelu {
    p: usize,
    channels: usize,
}
/// x, a, g -> g or a g: linear in g and in a.
struct Slopes(Prelu);
/// x, g -> 0 or g.
struct Negative;

impl Prelu {
    /// The sum of `g v` over the elements of each channel where x is not positive.
    fn to_slope(self, x: &Tensor, g: &Tensor, v: &Tensor) -> candle_core::Result<Tensor> {
        let all = (apply2(Negative, &x.detach(), g)? * v)?;
        apply1(ChannelSum, &all.reshape(((), self.channels, self.p, 1))?)
    }
}

impl Kernel<2> for Prelu {
    const NAME: &'static str = "sconce-prelu";

    fn forward<T: Math>(&self, [x, a]: [&[T]; 2], [shape, _]: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((elementwise::channel_slopes(x, x, a, self.p), shape.clone()))
    }

    fn backward(&self, [x, a]: [&Tensor; 2], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        Ok([wanted(x, || apply3(Slopes(*self), &x.detach(), a, g))?, wanted(a, || self.to_slope(x, g, x))?])
    }
}

impl Kernel<3> for Slopes {
    const NAME: &'static str = "sconce-prelu-slopes";

    fn forward<T: Math>(&self, [x, a, g]: [&[T]; 3], [shape, ..]: [&Shape; 3]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((elementwise::channel_slopes(x, g, a, self.0.p), shape.clone()))
    }

    fn backward(&self, [x, a, g]: [&Tensor; 3], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        let to_g = || apply3(Self(self.0), x, a, u);
        Ok([None, wanted(a, || self.0.to_slope(x, u, g))?, wanted(g, to_g)?])
    }
}

impl Kernel<2> for Negative {
    const NAME: &'static str = "sconce-prelu-mask";

    fn forward<T: Math>(&self, [x, g]: [&[T]; 2], [shape, _]: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((elementwise::negative(x, g), shape.clone()))
    }

    fn backward(&self, [x, _]: [&Tensor; 2], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        Ok([None, Some(apply2(Self, x, u)?)])
    }
}

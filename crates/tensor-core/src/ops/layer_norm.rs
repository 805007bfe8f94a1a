//! Normalisation of each example over its last axis.

use super::cpu::element::Element;
use super::cpu::{elementwise, rows};
use super::kernel::{Kernel, apply1, apply2, apply3, wanted};
use super::{composed, own_kernels, tape};
use crate::{Error, Result, error::require};
use candle_core::{D, Shape, Tensor};

/// Layer normalisation `y = scale (x - mean) / sqrt(var + eps) + shift`, mean and biased variance over the last axis.
///
/// # Shapes
/// `x` (..., K), `scale` and `shift` (K,); without a scale it is 1, without a shift 0 -> (..., K).
///
/// # Errors
/// Shapes that do not fit, an empty axis, an `eps` that is not positive.
///
/// Source: Ba et al. (arXiv 1607.06450), Equation 4.
pub fn layer_norm(x: &Tensor, scale: Option<&Tensor>, shift: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    require("layer_norm eps", eps.is_finite() && eps > 0.0, "finite and > 0", eps)?;
    let k = match x.dims().last() {
        Some(&k) if x.elem_count() > 0 => k,
        _ => return Err(Error::shape("layer_norm input", "(..., K), no axis of 0", x.dims())),
    };
    if let Some(t) = [scale, shift].into_iter().flatten().find(|t| t.dims() != [k]) {
        return Err(Error::shape("layer_norm scale or shift", format!("({k},)"), t.dims()));
    }
    if !own_kernels(x) {
        return composed::layer_norm(x, scale, shift, eps);
    }
    let scale = scale.map_or_else(|| Tensor::ones(k, x.dtype(), x.device()), |t| Ok(t.clone()))?;
    let shift = shift.map_or_else(|| Tensor::zeros(k, x.dtype(), x.device()), |t| Ok(t.clone()))?;
    Ok(apply3(LayerNorm { eps }, x, &scale, &shift)?)
}

/// x, scale, shift -> y.
#[derive(Clone, Copy)]
struct LayerNorm {
    eps: f64,
}
/// x, scale, g -> the gradient to x.
struct ToInput(LayerNorm);
/// x, g -> the gradient to the scale.
struct ToScale(LayerNorm);
/// g -> the gradient to the shift of k: the sum of its rows.
struct ToShift(usize);

impl LayerNorm {
    /// The gradients of candle's operations, which can be differentiated again.
    fn composed(self, [x, a, b]: [&Tensor; 3], g: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let inverse = (centred.sqr()?.mean_keepdim(D::Minus1)? + self.eps)?.sqrt()?.recip()?;
        let xhat = centred.broadcast_mul(&inverse)?;
        let rows = |t: &Tensor| t.reshape(((), a.elem_count()))?.sum(0);
        let to_x = || {
            let h = g.broadcast_mul(a)?;
            let tilt = xhat.broadcast_mul(&(&h * &xhat)?.mean_keepdim(D::Minus1)?)?;
            (h.broadcast_sub(&h.mean_keepdim(D::Minus1)?)? - tilt)?.broadcast_mul(&inverse)
        };
        Ok([wanted(x, to_x)?, wanted(a, || rows(&(g * &xhat)?))?, wanted(b, || rows(g))?])
    }
}

impl Kernel<3> for LayerNorm {
    const NAME: &'static str = "sconce-layer-norm";

    fn forward<T: Element>(&self, [x, a, b]: [&[T]; 3], [s, ..]: [&Shape; 3]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((rows::layer_norm(x, a, b, self.eps), s.clone()))
    }

    fn backward(&self, [x, a, b]: [&Tensor; 3], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        if !tape::paused() {
            return self.composed([x, a, b], g);
        }
        Ok([
            wanted(x, || apply3(ToInput(*self), x, a, g))?,
            wanted(a, || apply2(ToScale(*self), x, g))?,
            wanted(b, || apply1(ToShift(b.elem_count()), g))?,
        ])
    }
}

impl Kernel<3> for ToInput {
    const NAME: &'static str = "sconce-layer-norm-to-input";

    fn forward<T: Element>(&self, [x, a, g]: [&[T]; 3], [s, ..]: [&Shape; 3]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((rows::layer_norm_to_input(x, a, g, self.0.eps), s.clone()))
    }

    fn backward(&self, _: [&Tensor; 3], _: &Tensor, _: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        Err(candle_core::Error::BackwardNotSupported { op: Self::NAME })
    }
}

impl Kernel<2> for ToScale {
    const NAME: &'static str = "sconce-layer-norm-to-scale";

    fn forward<T: Element>(&self, [x, g]: [&[T]; 2], [s, _]: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        let k = s.dims().last().copied().unwrap_or(1);
        Ok((rows::layer_norm_to_scale(x, g, k, self.0.eps), k.into()))
    }

    fn backward(&self, _: [&Tensor; 2], _: &Tensor, _: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        Err(candle_core::Error::BackwardNotSupported { op: Self::NAME })
    }
}

impl Kernel<1> for ToShift {
    const NAME: &'static str = "sconce-layer-norm-to-shift";

    fn forward<T: Element>(&self, [g]: [&[T]; 1], _: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((elementwise::row_sum(g, self.0).into_iter().map(T::of_f64).collect(), self.0.into()))
    }

    fn backward(&self, _: [&Tensor; 1], _: &Tensor, _: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Err(candle_core::Error::BackwardNotSupported { op: Self::NAME })
    }
}

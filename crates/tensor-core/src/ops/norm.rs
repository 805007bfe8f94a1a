//! Normalisation over the batch.

use super::conv::ChannelSum;
use super::cpu::element::{Element, dispatch};
use super::cpu::norm;
use super::kernel::{Kernel, apply1, apply3, wanted};
use super::{composed, dims4, own_kernels};
use crate::{Error, Result};
use candle_core::Shape;
use candle_core::Tensor;

fn check_channels(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<usize> {
    let (_, c, _, _) = dims4("batch norm input", "(N, C, H, W)", x)?;
    match [scale, shift].into_iter().find(|t| t.dims() != [c]) {
        Some(t) => Err(Error::shape("batch norm scale or shift", format!("({c},)"), t.dims())),
        None => Ok(c),
    }
}

/// Batch normalisation with the batch's own statistics:
/// `y = scale (x - mean) / sqrt(var + eps) + shift`, mean and biased variance over N, H, W.
///
/// The gradient goes through the statistics. Second derivatives are an error on the CPU.
///
/// # Shapes
/// `x` (N, C, H, W), `scale` and `shift` (C,) -> (N, C, H, W).
///
/// # Errors
/// Shapes that do not fit, or a single value per channel, whose variance is not defined.
pub fn batch_norm_train(x: &Tensor, scale: &Tensor, shift: &Tensor, eps: f64) -> Result<Tensor> {
    let c = check_channels(x, scale, shift)?;
    if x.elem_count() == c {
        return Err(Error::shape("batch norm input", "more than one value per channel in training", x.dims()));
    }
    if !own_kernels(x) {
        return composed::batch_norm_train(x, scale, shift, eps);
    }
    Ok(apply3(Train { eps }, x, scale, shift)?)
}

/// Mean and biased variance of each channel over N, H, W, without a graph.
///
/// # Shapes
/// (N, C, H, W) -> two of (C,).
///
/// # Errors
/// An empty axis or another rank.
pub fn channel_moments(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let (_, c, h, w) = dims4("channel_moments input", "(N, C, H, W)", x)?;
    let x = x.detach().contiguous()?;
    if !own_kernels(&x) {
        return composed::channel_moments(&x);
    }
    let (mean, var) = on_host(&x, c, h * w)?;
    let place = |v: Vec<f64>| Tensor::from_vec(v, c, x.device())?.to_dtype(x.dtype());
    Ok((place(mean)?, place(var)?))
}

fn on_host(x: &Tensor, c: usize, positions: usize) -> candle_core::Result<(Vec<f64>, Vec<f64>)> {
    let (storage, layout) = x.storage_and_layout();
    let candle_core::Storage::Cpu(s) = &*storage else { candle_core::bail!("channel_moments: not a CPU tensor") };
    dispatch!(s, "channel_moments", T => Ok(norm::moments(T::slice(s, layout)?, c, positions)))
}

/// `y = scale x + shift` with one scale and shift per channel.
///
/// # Shapes
/// `x` (N, C, H, W), `scale` and `shift` (C,) -> (N, C, H, W).
///
/// # Errors
/// Shapes that do not fit.
pub fn channel_affine(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    let c = check_channels(x, scale, shift)?;
    if own_kernels(x) {
        return Ok(apply3(Affine, x, scale, shift)?);
    }
    let shape = (1, c, 1, 1);
    Ok(x.broadcast_mul(&scale.reshape(shape)?)?.broadcast_add(&shift.reshape(shape)?)?)
}

/// x, scale, shift -> y.
struct Train {
    eps: f64,
}
/// x, scale, shift -> scale x + shift. Its derivatives are of its own kind, and sums.
struct Affine;
/// x, scale, g -> the gradients to x, scale and shift, flattened one after the other.
struct Backward {
    eps: f64,
}

impl Kernel<3> for Train {
    const NAME: &'static str = "sconce-batch-norm";

    fn forward<T: Element>(&self, [x, a, b]: [&[T]; 3], [s, ..]: [&Shape; 3]) -> candle_core::Result<(Vec<T>, Shape)> {
        let (_, _, h, w) = s.dims4()?;
        Ok((norm::forward(x, a, b, h * w, self.eps), s.clone()))
    }

    fn backward(&self, [x, a, b]: [&Tensor; 3], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        let (n, c) = (x.elem_count(), a.elem_count());
        let all = apply3(Backward { eps: self.eps }, x, a, g)?;
        Ok([
            wanted(x, || all.narrow(0, 0, n)?.reshape(x.shape()))?,
            wanted(a, || all.narrow(0, n, c))?,
            wanted(b, || all.narrow(0, n + c, c))?,
        ])
    }
}

impl Kernel<3> for Backward {
    const NAME: &'static str = "sconce-batch-norm-backward";

    fn forward<T: Element>(&self, [x, a, g]: [&[T]; 3], [s, ..]: [&Shape; 3]) -> candle_core::Result<(Vec<T>, Shape)> {
        let (_, _, h, w) = s.dims4()?;
        let out: Vec<T> = norm::backward(x, a, g, h * w, self.eps).concat();
        let len = out.len();
        Ok((out, len.into()))
    }

    fn backward(&self, _: [&Tensor; 3], _: &Tensor, _: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        Err(candle_core::Error::BackwardNotSupported { op: Self::NAME })
    }
}

impl Kernel<3> for Affine {
    const NAME: &'static str = "sconce-channel-affine";

    fn forward<T: Element>(&self, [x, a, b]: [&[T]; 3], [s, ..]: [&Shape; 3]) -> candle_core::Result<(Vec<T>, Shape)> {
        let (_, _, h, w) = s.dims4()?;
        Ok((norm::affine(x, a, b, h * w), s.clone()))
    }

    fn backward(&self, [x, a, b]: [&Tensor; 3], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        Ok([
            wanted(x, || apply3(Self, g, a, &b.zeros_like()?))?,
            wanted(a, || apply1(ChannelSum, &(g * x)?))?,
            wanted(b, || apply1(ChannelSum, g))?,
        ])
    }
}

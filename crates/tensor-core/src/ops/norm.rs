//! Normalisation over the batch.

use super::activation::{Mask, Rectifier};
use super::conv::ChannelSum;
use super::cpu::element::{Element, dispatch};
use super::cpu::norm::{self, Moments};
use super::kernel::{Kernel, Stash, apply1, apply2, apply3, wanted};
use super::{composed, dims4, own_kernels};
use crate::{Error, Result};
use candle_core::Shape;
use candle_core::Tensor;
use std::sync::Arc;

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
    Ok(batch_norm(x, scale, shift, eps, None, None)?.output)
}

/// The result of a [`batch_norm`], and the batch's mean and biased variance, (C,), without a graph.
#[derive(Clone, Debug)]
pub struct Normed {
    /// (N, C, H, W).
    pub output: Tensor,
    /// (C,).
    pub mean: Tensor,
    /// (C,).
    pub var: Tensor,
}

/// [`batch_norm_train`], then optionally `+ residual`, then optionally [`rectify`](super::rectify). The forward pass reads the data twice, and so does the backward pass.
///
/// # Shapes
/// As [`batch_norm_train`]; `residual` has the shape of `x`.
///
/// # Errors
/// As [`batch_norm_train`].
pub fn batch_norm(
    x: &Tensor,
    scale: &Tensor,
    shift: &Tensor,
    eps: f64,
    residual: Option<&Tensor>,
    rectify: Option<Rectifier>,
) -> Result<Normed> {
    let c = check_channels(x, scale, shift)?;
    if let Some(by) = rectify {
        by.check()?;
    }
    if x.elem_count() == c {
        return Err(Error::shape("batch norm input", "more than one value per channel in training", x.dims()));
    }
    if let Some(r) = residual.filter(|r| r.dims() != x.dims()) {
        return Err(Error::shape("batch norm residual", format!("{:?}", x.dims()), r.dims()));
    }
    if !own_kernels(x) {
        let (mut output, mean, var) = composed::batch_norm(x, scale, shift, eps)?;
        if let Some(r) = residual {
            output = (output + r)?;
        }
        return Ok(Normed { output: rectify.map_or(Ok(output.clone()), |by| super::rectify(&output, by))?, mean, var });
    }
    let moments = Arc::new(Stash::new());
    let op = Train { eps, rectify, moments: moments.clone() };
    let output = match residual {
        Some(r) => apply3(WithResidual(op), x, &Tensor::cat(&[scale, shift], 0)?, r)?,
        None => apply3(op, x, scale, shift)?,
    };
    let (mean, var) = moments.with(|m: &Moments| (m.mean.clone(), m.var.clone()))?;
    let place = |v: Vec<f64>| Tensor::from_vec(v, c, x.device())?.to_dtype(x.dtype());
    Ok(Normed { output, mean: place(mean)?, var: place(var)? })
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
    dispatch!(s, "channel_moments", T => {
        let m = norm::moments(T::slice(s, layout)?, c, positions);
        Ok((m.mean, m.var))
    })
}

/// `y = scale x + shift` with one scale and shift per channel.
///
/// # Shapes
/// `x` (N, C, H, W), `scale` and `shift` (C,) -> (N, C, H, W).
///
/// # Errors
/// Shapes that do not fit.
pub fn channel_affine(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    check_channels(x, scale, shift)?;
    if own_kernels(x) {
        return Ok(apply3(Affine, x, scale, shift)?);
    }
    composed::channel_affine(x, scale, shift)
}

/// x, scale, shift -> y.
struct Train {
    eps: f64,
    rectify: Option<Rectifier>,
    moments: Arc<Stash>,
}
/// x, (scale, shift), r -> y + r.
struct WithResidual(Train);
/// x, scale, shift -> scale x + shift. Its derivatives are maps of the same kind, and sums.
struct Affine;
/// x, (scale, shift), g -> the gradients to x, scale and shift, flattened one after the other; `rectify` as in `Train`.
struct Backward {
    eps: f64,
    rectify: Option<Rectifier>,
    moments: Arc<Stash>,
}

impl Train {
    /// The gradients to x and to (scale, shift), from the gradient to the normalised result.
    fn backward(
        &self,
        x: &Tensor,
        ab: &Tensor,
        g: &Tensor,
        rectify: Option<Rectifier>,
    ) -> candle_core::Result<(Tensor, Tensor)> {
        let n = x.elem_count();
        let all = apply3(Backward { eps: self.eps, rectify, moments: self.moments.clone() }, x, ab, g)?;
        Ok((all.narrow(0, 0, n)?.reshape(x.shape())?, all.narrow(0, n, ab.elem_count())?))
    }
}

impl Kernel<3> for Train {
    const NAME: &'static str = "sconce-batch-norm";

    fn forward<T: Element>(&self, [x, a, b]: [&[T]; 3], [s, ..]: [&Shape; 3]) -> candle_core::Result<(Vec<T>, Shape)> {
        let (_, _, h, w) = s.dims4()?;
        let moments = norm::moments(x, a.len(), h * w);
        let y = norm::forward(x, (a, b), None, &moments, h * w, self.eps, self.rectify);
        self.moments.put(moments);
        Ok((y, s.clone()))
    }

    fn backward(&self, [x, a, b]: [&Tensor; 3], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        let c = a.elem_count();
        let (gx, gab) = self.backward(x, &Tensor::cat(&[a, b], 0)?, g, self.rectify)?;
        Ok([wanted(x, || Ok(gx))?, wanted(a, || gab.narrow(0, 0, c))?, wanted(b, || gab.narrow(0, c, c))?])
    }
}

impl Kernel<3> for WithResidual {
    const NAME: &'static str = "sconce-batch-norm-residual";

    fn forward<T: Element>(&self, [x, ab, r]: [&[T]; 3], [s, ..]: [&Shape; 3]) -> candle_core::Result<(Vec<T>, Shape)> {
        let (_, c, h, w) = s.dims4()?;
        let moments = norm::moments(x, c, h * w);
        let y = norm::forward(x, ab.split_at(c), Some(r), &moments, h * w, self.0.eps, self.0.rectify);
        self.0.moments.put(moments);
        Ok((y, s.clone()))
    }

    fn backward(&self, [x, ab, r]: [&Tensor; 3], y: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        let g = match self.0.rectify {
            Some(by) => apply2(Mask(by), &y.detach(), g)?,
            None => g.clone(),
        };
        let (gx, gab) = self.0.backward(x, ab, &g, None)?;
        Ok([wanted(x, || Ok(gx))?, wanted(ab, || Ok(gab))?, wanted(r, || Ok(g))?])
    }
}

impl Kernel<3> for Backward {
    const NAME: &'static str = "sconce-batch-norm-backward";

    fn forward<T: Element>(&self, [x, ab, g]: [&[T]; 3], [s, ..]: [&Shape; 3]) -> candle_core::Result<(Vec<T>, Shape)> {
        let (_, c, h, w) = s.dims4()?;
        let out =
            self.moments.with(|m: &Moments| norm::backward(x, ab.split_at(c), g, m, h * w, self.eps, self.rectify))?;
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

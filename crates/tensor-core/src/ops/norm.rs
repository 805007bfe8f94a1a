//! Normalisation over the batch.

use super::conv::{ChannelSum, wanted};
use super::cpu::element::{Element, dispatch};
use super::cpu::norm;
use super::{composed, dims4, own_kernels};
use crate::{Error, Result};
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor, WithDType};

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
    Ok(x.contiguous()?.apply_op3(&scale.contiguous()?, &shift.contiguous()?, Train { eps })?)
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
        return Ok(x.contiguous()?.apply_op3(&scale.contiguous()?, &shift.contiguous()?, Affine)?);
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

impl CustomOp3 for Train {
    fn name(&self) -> &'static str {
        "sconce-batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, _, h, w) = xl.shape().dims4()?;
        dispatch!(x, "batch norm", T => {
            let y = norm::forward(T::slice(x, xl)?, T::slice(a, al)?, T::slice(b, bl)?, h * w, self.eps);
            Ok((T::to_cpu_storage_owned(y), xl.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (n, c) = (x.elem_count(), scale.elem_count());
        let all = x.apply_op3(scale, &g.contiguous()?, Backward { eps: self.eps })?;
        Ok((
            wanted(x, || all.narrow(0, 0, n)?.reshape(x.shape()))?,
            wanted(scale, || all.narrow(0, n, c))?,
            wanted(shift, || all.narrow(0, n + c, c))?,
        ))
    }
}

impl CustomOp3 for Affine {
    fn name(&self) -> &'static str {
        "sconce-channel-affine"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, _, h, w) = xl.shape().dims4()?;
        dispatch!(x, "channel affine", T => {
            let y = norm::affine(T::slice(x, xl)?, T::slice(a, al)?, T::slice(b, bl)?, h * w);
            Ok((T::to_cpu_storage_owned(y), xl.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let g = g.contiguous()?;
        Ok((
            wanted(x, || g.apply_op3(scale, &shift.zeros_like()?, Self))?,
            wanted(scale, || (&g * x)?.apply_op1(ChannelSum))?,
            wanted(shift, || g.apply_op1(ChannelSum))?,
        ))
    }
}

impl CustomOp3 for Backward {
    fn name(&self) -> &'static str {
        "sconce-batch-norm-backward"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        a: &CpuStorage,
        al: &Layout,
        g: &CpuStorage,
        gl: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, _, h, w) = xl.shape().dims4()?;
        dispatch!(x, "batch norm", T => {
            let out: Vec<T> = norm::backward(T::slice(x, xl)?, T::slice(a, al)?, T::slice(g, gl)?, h * w, self.eps).concat();
            let len = out.len();
            Ok((T::to_cpu_storage_owned(out), len.into()))
        })
    }
}

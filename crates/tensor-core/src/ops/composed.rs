//! The same operations composed of candle's own, for the devices and types without kernels here.
//!
//! They use only what candle differentiates rightly: gathers by index instead of its pooling and
//! reductions instead of its normalisation. They are public so that tests can hold the kernels
//! against them.

use super::{Conv2dSpec, Pool2dSpec};
use crate::{Error, Result};
use candle_core::{DType, Tensor};

/// [`super::conv2d`] on candle's convolution.
///
/// # Errors
/// [`Error::Unsupported`] for strides and dilations that differ by axis, and for strides above 1 on
/// non-square images, whose backward pass candle 0.11 cannot do.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, spec: Conv2dSpec) -> Result<Tensor> {
    let Conv2dSpec { stride, padding, dilation, groups } = spec;
    let (_, _, h, w) = x.dims4()?;
    if stride.0 != stride.1 || dilation.0 != dilation.1 || (stride.0 > 1 && (h, padding.0) != (w, padding.1)) {
        let reason = format!("stride {stride:?}, dilation {dilation:?} on {h}x{w}: candle's needs square ones");
        return Err(Error::Unsupported { what: "conv2d on this device or type", reason });
    }
    // Unequal paddings are added by hand; equal ones are candle's to do.
    let (x, padding) = if padding.0 == padding.1 {
        (x.clone(), padding.0)
    } else {
        (x.pad_with_zeros(2, padding.0, padding.0)?.pad_with_zeros(3, padding.1, padding.1)?, 0)
    };
    let y = x.conv2d(weight, padding, stride.0, dilation.0, groups)?;
    Ok(match bias {
        Some(b) => y.broadcast_add(&b.reshape((1, (), 1, 1))?)?,
        None => y,
    })
}

/// Each tap of the windows as its own (N, C, OH, OW), stacked on a new last axis, `border` outside.
fn taps(x: &Tensor, spec: Pool2dSpec, border: f64) -> Result<Tensor> {
    let Pool2dSpec { kernel, stride, padding } = spec;
    let (n, c, h, w) = x.dims4()?;
    let mut x = x.clone();
    for (axis, p) in [(2, padding.0), (3, padding.1)] {
        if p > 0 {
            let mut shape = x.dims().to_vec();
            shape[axis] = p;
            let edge = Tensor::full(border, shape, x.device())?.to_dtype(x.dtype())?;
            x = Tensor::cat(&[&edge, &x, &edge], axis)?;
        }
    }
    let out = ((h + 2 * padding.0 - kernel.0) / stride.0 + 1, (w + 2 * padding.1 - kernel.1) / stride.1 + 1);
    let index = |from: usize, count: usize, step: usize| {
        Tensor::from_iter((0..count).map(|i| (from + i * step) as u32), x.device())
    };
    let mut all = Vec::with_capacity(kernel.0 * kernel.1);
    for ky in 0..kernel.0 {
        let rows = x.index_select(&index(ky, out.0, stride.0)?, 2)?;
        for kx in 0..kernel.1 {
            all.push(rows.index_select(&index(kx, out.1, stride.1)?, 3)?);
        }
    }
    Ok(Tensor::stack(&all, 4)?.reshape((n, c, out.0, out.1, kernel.0 * kernel.1))?)
}

/// [`super::max_pool2d`] as a gather at each window's arg-max.
///
/// # Errors
/// candle's only.
pub fn max_pool2d(x: &Tensor, spec: Pool2dSpec) -> Result<Tensor> {
    let taps = taps(x, spec, f64::NEG_INFINITY)?.contiguous()?;
    let at = taps.detach().argmax_keepdim(4)?;
    Ok(taps.gather(&at, 4)?.squeeze(4)?)
}

/// [`super::avg_pool2d`] as a mean of taps.
///
/// # Errors
/// candle's only.
pub fn avg_pool2d(x: &Tensor, spec: Pool2dSpec) -> Result<Tensor> {
    Ok(taps(x, spec, 0.0)?.mean(4)?)
}

/// [`super::channel_moments`] by reductions.
///
/// # Errors
/// candle's only.
pub fn channel_moments(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let mean = x.mean((0, 2, 3))?;
    let var = x.broadcast_sub(&mean.reshape((1, (), 1, 1))?)?.sqr()?.mean((0, 2, 3))?;
    Ok((mean, var))
}

/// [`super::batch_norm_train`] by reductions.
///
/// # Errors
/// candle's only.
pub fn batch_norm_train(x: &Tensor, scale: &Tensor, shift: &Tensor, eps: f64) -> Result<Tensor> {
    let full = if matches!(x.dtype(), DType::F16 | DType::BF16) { x.to_dtype(DType::F32)? } else { x.clone() };
    let (mean, var) = channel_moments(&full)?;
    let centred = full.broadcast_sub(&mean.reshape((1, (), 1, 1))?)?;
    let xhat = centred.broadcast_div(&(var + eps)?.sqrt()?.reshape((1, (), 1, 1))?)?.to_dtype(x.dtype())?;
    super::channel_affine(&xhat, scale, shift)
}

//! The same operations composed of candle's operations, for devices and types that have no kernels in this crate.
//!
//! They use only operations that candle differentiates correctly: gathers by index instead of its pooling, and reductions
//! instead of its normalisation. They are public so that tests can compare the kernels with them.

mod elementwise;

pub use elementwise::{clamp, elu, gelu, hard_sigmoid, hard_swish, mish, prelu, selu, silu, softplus};

use super::cpu::pool::{Axis, Windows};
use super::{Conv2dSpec, ConvTranspose2dSpec, Pool2dSpec};
use crate::{Error, Result};
use candle_core::{D, DType, Device, Tensor};

/// [`super::conv2d`] on candle's convolution.
///
/// # Errors
/// [`Error::Unsupported`] for strides and dilations that differ by axis, and for strides above 1 on non-square images, whose
/// backward pass fails in candle 0.11.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, spec: Conv2dSpec) -> Result<Tensor> {
    let Conv2dSpec { stride, padding, dilation, groups } = spec;
    let (_, _, h, w) = x.dims4()?;
    if stride.0 != stride.1 || dilation.0 != dilation.1 || (stride.0 > 1 && (h, padding.0) != (w, padding.1)) {
        let reason = format!("stride {stride:?}, dilation {dilation:?} on {h}x{w}: candle's needs square ones");
        return Err(Error::Unsupported { what: "conv2d on this device or type", reason });
    }
    // Unequal paddings are added here; candle adds equal ones.
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
fn taps(x: &Tensor, windows: &Windows, border: f64) -> Result<Tensor> {
    let (n, c, _, _) = x.dims4()?;
    let mut x = x.clone();
    for (axis, along) in [(2, &windows.rows), (3, &windows.cols)] {
        // The last window may reach past the border.
        let reach = (along.out - 1) * along.stride + (along.kernel - 1) * along.dilation + 1;
        let mut edge = |p: usize, at_end: bool| -> Result<()> {
            if p > 0 {
                let mut shape = x.dims().to_vec();
                shape[axis] = p;
                let edge = Tensor::full(border, shape, x.device())?.to_dtype(x.dtype())?;
                x = if at_end { Tensor::cat(&[&x, &edge], axis)? } else { Tensor::cat(&[&edge, &x], axis)? };
            }
            Ok(())
        };
        edge(along.padding, false)?;
        edge(reach.saturating_sub(along.padding + along.image), true)?;
    }
    let index = |k: usize, along: &Axis| {
        Tensor::from_iter((0..along.out).map(|i| (k * along.dilation + i * along.stride) as u32), x.device())
    };
    let (kh, kw) = (windows.rows.kernel, windows.cols.kernel);
    let mut all = Vec::with_capacity(kh * kw);
    for ky in 0..kh {
        let rows = x.index_select(&index(ky, &windows.rows)?, 2)?;
        for kx in 0..kw {
            all.push(rows.index_select(&index(kx, &windows.cols)?, 3)?);
        }
    }
    Ok(Tensor::stack(&all, 4)?.reshape((n, c, windows.rows.out, windows.cols.out, kh * kw))?)
}

/// [`super::max_pool2d`] as a gather at each window's arg-max.
///
/// # Errors
/// As [`super::max_pool2d`].
pub fn max_pool2d(x: &Tensor, spec: Pool2dSpec) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let taps = taps(x, &spec.windows(h, w, true)?, f64::NEG_INFINITY)?.contiguous()?;
    let at = taps.detach().argmax_keepdim(4)?;
    Ok(taps.gather(&at, 4)?.squeeze(4)?)
}

/// [`super::avg_pool2d`] as a weighted sum of taps.
///
/// # Errors
/// As [`super::avg_pool2d`].
pub fn avg_pool2d(x: &Tensor, spec: Pool2dSpec) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let windows = spec.windows(h, w, !spec.count_include_pad)?;
    let shares = Tensor::from_vec(windows.shares::<f64>(), windows.out(), &Device::Cpu)?;
    let shares = shares.to_dtype(x.dtype())?.to_device(x.device())?;
    Ok(taps(x, &windows, 0.0)?.sum(4)?.broadcast_mul(&shares)?)
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

/// [`super::log_softmax`] of candle's elementwise operations.
///
/// # Errors
/// candle's only.
pub fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    // The shift cancels, so its gradient does too: it must not enter the graph.
    let shifted = logits.broadcast_sub(&logits.detach().max_keepdim(D::Minus1)?)?;
    let lse = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    Ok(shifted.broadcast_sub(&lse)?)
}

/// [`super::softmax`] of candle's elementwise operations.
///
/// # Errors
/// candle's only.
pub fn softmax(z: &Tensor) -> Result<Tensor> {
    // The shift cancels, so its gradient does too: it must not enter the graph.
    let powers = z.broadcast_sub(&z.detach().max_keepdim(D::Minus1)?)?.exp()?;
    Ok(powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)?)
}

/// [`super::layer_norm`] by reductions.
///
/// # Errors
/// candle's only.
pub fn layer_norm(x: &Tensor, scale: Option<&Tensor>, shift: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    let full = if matches!(x.dtype(), DType::F16 | DType::BF16) { x.to_dtype(DType::F32)? } else { x.clone() };
    let centred = full.broadcast_sub(&full.mean_keepdim(D::Minus1)?)?;
    let spread = (centred.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    let mut y = centred.broadcast_div(&spread)?.to_dtype(x.dtype())?;
    if let Some(scale) = scale {
        y = y.broadcast_mul(scale)?;
    }
    if let Some(shift) = shift {
        y = y.broadcast_add(shift)?;
    }
    Ok(y)
}

/// [`super::adaptive_avg_pool2d`] and [`super::adaptive_max_pool2d`], window by window.
///
/// # Errors
/// candle's only.
pub fn adaptive_pool2d(x: &Tensor, (oh, ow): (usize, usize), max: bool) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let range = |i: usize, out: usize, len: usize| (i * len / out, ((i + 1) * len).div_ceil(out) - i * len / out);
    let mut all = Vec::with_capacity(oh * ow);
    for (y, x_) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
        let ((y0, rows), (x0, cols)) = (range(y, oh, h), range(x_, ow, w));
        let window = x.narrow(2, y0, rows)?.narrow(3, x0, cols)?.flatten_from(2)?.contiguous()?;
        all.push(if max { window.gather(&window.detach().argmax_keepdim(2)?, 2)? } else { window.mean_keepdim(2)? });
    }
    Ok(Tensor::cat(&all, 2)?.reshape((n, c, oh, ow))?)
}

/// [`super::resize2d`] as products with the matrices of the two axes.
///
/// # Errors
/// candle's only.
pub fn resample2d(x: &Tensor, rows: &[(usize, usize, f64)], cols: &[(usize, usize, f64)]) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let matrix = |taps: &[(usize, usize, f64)], len: usize| {
        let mut m = vec![0f64; taps.len() * len];
        for (line, &(a, b, weight)) in m.chunks_exact_mut(len).zip(taps) {
            line[a] += 1.0 - weight;
            line[b] += weight;
        }
        Tensor::from_vec(m, (taps.len(), len), &Device::Cpu)?.to_dtype(x.dtype())?.to_device(x.device())
    };
    let wide = x.reshape((n * c * h, w))?.matmul(&matrix(cols, w)?.t()?)?;
    let wide = wide.reshape((n * c, h, cols.len()))?;
    let m = matrix(rows, h)?.unsqueeze(0)?.broadcast_as((n * c, rows.len(), h))?.contiguous()?;
    Ok(m.matmul(&wide)?.reshape((n, c, rows.len(), cols.len()))?)
}

/// [`super::conv_transpose2d`] as a convolution of the input with zeros between its elements.
///
/// # Errors
/// candle's only.
pub fn conv_transpose2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    spec: ConvTranspose2dSpec,
) -> Result<Tensor> {
    let ConvTranspose2dSpec { stride, padding, output_padding, dilation, groups } = spec;
    let (_, c, h, w) = x.dims4()?;
    let (_, og, kh, kw) = weight.dims4()?;
    // Each element followed by stride - 1 zeros, the last ones cut.
    let spread = |x: &Tensor, axis: usize, len: usize, stride: usize| {
        if stride == 1 {
            return Ok(x.clone());
        }
        let wide = x.unsqueeze(axis + 1)?.pad_with_zeros(axis + 1, 0, stride - 1)?.flatten(axis, axis + 1)?;
        wide.narrow(axis, 0, (len - 1) * stride + 1)
    };
    let x = spread(&spread(x, 2, h, stride.0)?, 3, w, stride.1)?;
    let pad = |x: Tensor, axis: usize, k: usize, d: usize, p: usize, extra: usize| {
        let (reach, len) = (d * (k - 1), x.dim(axis)?);
        let x = x.pad_with_zeros(axis, reach.saturating_sub(p), reach.saturating_sub(p) + extra)?;
        let cut = p.saturating_sub(reach);
        x.narrow(axis, cut, if cut > 0 { len + extra - 2 * cut } else { x.dim(axis)? })
    };
    let x = pad(x, 2, kh, dilation.0, padding.0, output_padding.0)?;
    let x = pad(x, 3, kw, dilation.1, padding.1, output_padding.1)?;
    // (groups, c/g, o/g, kh, kw) -> (o, c/g, kh, kw), turned by half a turn.
    let turned = |t: Tensor, axis: usize, len: usize| {
        let at = Tensor::from_iter((0..len as u32).rev(), t.device())?;
        t.contiguous()?.index_select(&at, axis)
    };
    let k = weight.reshape((groups, c / groups, og, kh * kw))?.transpose(1, 2)?.contiguous()?;
    let k = turned(turned(k.reshape((groups * og, c / groups, kh, kw))?, 2, kh)?, 3, kw)?;
    conv2d(&x.contiguous()?, &k, bias, Conv2dSpec { dilation, groups, ..Conv2dSpec::default() })
}

/// [`super::embedding`] by candle's gather of rows.
///
/// # Errors
/// candle's only.
pub fn embedding(weight: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let shape = [ids.dims(), &weight.dims()[1..]].concat();
    Ok(weight.index_select(&ids.flatten_all()?, 0)?.reshape(shape)?)
}

/// [`super::lstm`] step by step.
///
/// # Errors
/// candle's only.
pub fn lstm(
    gates: &Tensor,
    weight: &Tensor,
    h: &Tensor,
    c: &Tensor,
    mask: Option<&Tensor>,
) -> Result<(Tensor, Tensor, Tensor)> {
    let (steps, _, wide) = gates.dims3()?;
    let (mut h, mut c) = (h.clone(), c.clone());
    let sigmoid = |z: &Tensor| ((z * 0.5)?.tanh()? * 0.5)? + 0.5;
    let mut all = Vec::with_capacity(steps);
    for t in 0..steps {
        let fed = match mask {
            Some(m) => (&h * m)?,
            None => h.clone(),
        };
        let z = (gates.get(t)? + fed.matmul(&weight.t()?)?)?;
        let part = |i: usize| z.narrow(1, i * wide / 4, wide / 4);
        let (i, f, g, o) = (sigmoid(&part(0)?)?, sigmoid(&part(1)?)?, part(2)?.tanh()?, sigmoid(&part(3)?)?);
        c = ((f * &c)? + (i * g)?)?;
        h = (o * c.tanh()?)?;
        all.push(h.clone());
    }
    Ok((Tensor::stack(&all, 0)?, h, c))
}

//! Pooling by rearranging: the windows' elements on an axis of their own.

use super::super::Pool2dSpec;
use super::super::cpu::pool::{Axis, Windows};
use super::graft::{Rule, graft1};
use super::indices;
use crate::Result;
use candle_core::{Device, Tensor};

/// Each tap of the windows as its own (N, C, OH, OW), stacked on a new last axis, `border` outside.
fn taps(x: &Tensor, windows: &Windows, border: f64) -> Result<Tensor> {
    let (n, c, _, _) = x.dims4()?;
    let mut x = x.contiguous()?;
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
    let places =
        |k: usize, along: &Axis| (0..along.out).map(|i| k * along.dilation + i * along.stride).collect::<Vec<_>>();
    let (kh, kw) = (windows.rows.kernel, windows.cols.kernel);
    let mut all = Vec::with_capacity(kh * kw);
    for ky in 0..kh {
        let rows = x.index_select(&indices(places(ky, &windows.rows).into_iter(), &x)?, 2)?;
        for kx in 0..kw {
            all.push(rows.index_select(&indices(places(kx, &windows.cols).into_iter(), &x)?, 3)?);
        }
    }
    Ok(Tensor::stack(&all, 4)?.reshape((n, c, windows.rows.out, windows.cols.out, kh * kw))?)
}

/// Whether windows neither overlap nor have gaps or a border: then they are an axis of the reshaped images.
fn tiled(windows: &Windows) -> bool {
    let axis = |a: &Axis| {
        let (len, k) = (a.image, a.kernel);
        let plain = a.padding == 0 && a.dilation == 1 && a.out == len / k;
        plain && (a.stride == k || a.out == 1)
    };
    axis(&windows.rows) && axis(&windows.cols)
}

/// (N, C, H, W) -> (N, C, OH, KH, OW, KW): windows without overlap; what is left of the last row and column is cut.
fn tiles(x: &Tensor, (kh, kw): (usize, usize)) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let (oh, ow) = (h / kh, w / kw);
    let x = x.narrow(2, 0, oh * kh)?.narrow(3, 0, ow * kw)?.contiguous()?;
    Ok(x.reshape(&[n, c, oh, kh, ow, kw])?)
}

/// [`crate::ops::max_pool2d`]: elementwise where windows do not overlap, otherwise a gather at each window's arg-max.
///
/// # Errors
/// As [`crate::ops::max_pool2d`].
pub fn max_pool2d(x: &Tensor, spec: Pool2dSpec) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let windows = spec.windows(h, w, true)?;
    if tiled(&windows) {
        return graft1(Largest { kernel: spec.kernel }, x);
    }
    let taps = taps(x, &windows, f64::NEG_INFINITY)?.contiguous()?;
    let at = taps.detach().argmax_keepdim(4)?;
    Ok(taps.gather(&at, 4)?.squeeze(4)?)
}

/// [`crate::ops::avg_pool2d`] as a weighted sum of taps.
///
/// # Errors
/// As [`crate::ops::avg_pool2d`].
pub fn avg_pool2d(x: &Tensor, spec: Pool2dSpec) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let windows = spec.windows(h, w, !spec.count_include_pad)?;
    if tiled(&windows) {
        return Ok(tiles(x, spec.kernel)?.mean((3, 5))?);
    }
    let shares = Tensor::from_vec(windows.shares::<f64>(), windows.out(), &Device::Cpu)?;
    let shares = shares.to_dtype(x.dtype())?.to_device(x.device())?;
    Ok(taps(x, &windows, 0.0)?.sum(4)?.broadcast_mul(&shares)?)
}

/// x -> the first of the largest elements of each window.
struct Largest {
    kernel: (usize, usize),
}

impl Largest {
    /// The elements of all windows, tap by tap: K tensors of (N, C, OH, OW).
    fn taps(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        let all = tiles(x, self.kernel)?;
        let (n, c, oh, ow) = (all.dim(0)?, all.dim(1)?, all.dim(2)?, all.dim(4)?);
        let all = all.permute(vec![3, 5, 0, 1, 2, 4])?.contiguous()?;
        let all = all.reshape(&[self.kernel.0 * self.kernel.1, n, c, oh, ow])?;
        Ok((0..self.kernel.0 * self.kernel.1).map(|i| all.get(i)).collect::<candle_core::Result<_>>()?)
    }

    /// The largest element of each window, and a mask for each tap but the first: whether it was larger than all before it.
    fn largest(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let taps = self.taps(x)?;
        let mut masks = Vec::with_capacity(taps.len());
        let mut best = taps[0].clone();
        for t in &taps[1..] {
            // A NaN stays the largest, and becomes it.
            let above = (t.gt(&best)? + t.ne(t)?)?;
            best = above.where_cond(t, &best)?;
            masks.push(above);
        }
        Ok((best, masks))
    }
}

impl Rule<1> for Largest {
    const NAME: &'static str = "composed-max-pool";

    fn value(&self, [x]: [&Tensor; 1]) -> Result<Tensor> {
        Ok(self.largest(x)?.0)
    }

    fn gradients(&self, [x]: [&Tensor; 1], _: [bool; 1], _: &Tensor, g: &Tensor) -> Result<[Option<Tensor>; 1]> {
        // The last tap that was larger than all before it takes the gradient.
        let masks = self.largest(&x.detach())?.1;
        let (mut rest, zero) = (g.clone(), g.zeros_like()?.detach());
        let mut parts = Vec::with_capacity(masks.len() + 1);
        for m in masks.iter().rev() {
            parts.push(m.where_cond(&rest, &zero)?);
            rest = m.where_cond(&zero, &rest)?;
        }
        parts.push(rest);
        parts.reverse();
        let (n, c, oh, ow) = g.dims4()?;
        let ((kh, kw), (_, _, h, w)) = (self.kernel, x.dims4()?);
        let all = Tensor::stack(&parts, 0)?.reshape(&[kh, kw, n, c, oh, ow])?;
        let all = all.permute(vec![2, 3, 4, 0, 5, 1])?.contiguous()?.reshape((n, c, oh * kh, ow * kw))?;
        let all = all.pad_with_zeros(2, 0, h - oh * kh)?.pad_with_zeros(3, 0, w - ow * kw)?;
        Ok([Some(all)])
    }
}

/// [`crate::ops::adaptive_avg_pool2d`] and [`crate::ops::adaptive_max_pool2d`], window by window.
///
/// # Errors
/// candle's only.
pub fn adaptive_pool2d(x: &Tensor, (oh, ow): (usize, usize), max: bool) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    if h % oh == 0 && w % ow == 0 {
        let spec = Pool2dSpec { kernel: (h / oh, w / ow), stride: (h / oh, w / ow), ..Pool2dSpec::default() };
        return if max { max_pool2d(x, spec) } else { avg_pool2d(x, spec) };
    }
    let range = |i: usize, out: usize, len: usize| (i * len / out, ((i + 1) * len).div_ceil(out) - i * len / out);
    let mut all = Vec::with_capacity(oh * ow);
    for (y, x_) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
        let ((y0, rows), (x0, cols)) = (range(y, oh, h), range(x_, ow, w));
        let window = x.narrow(2, y0, rows)?.narrow(3, x0, cols)?.flatten_from(2)?.contiguous()?;
        all.push(if max { window.gather(&window.detach().argmax_keepdim(2)?, 2)? } else { window.mean_keepdim(2)? });
    }
    Ok(Tensor::cat(&all, 2)?.reshape((n, c, oh, ow))?)
}

//! Resizing of maps: nearest, bilinear, and any rule with two taps per axis.

use super::cpu::element::Element;
use super::cpu::resample::{Axis, Resample};
use super::kernel::{Kernel, apply1};
use super::{composed, dims4, own_kernels};
use crate::{Result, error::require};
use candle_core::{Shape, Tensor};
use std::sync::Arc;

/// Each output takes the input at `floor(i H / OH)` (PyTorch's mode `nearest`). The gradient of an input is the sum over all
/// outputs that take it. (candle's own operation overwrites a gradient that arrived before.)
///
/// # Shapes
/// (N, C, H, W) -> (N, C, OH, OW), larger or smaller.
///
/// # Errors
/// An empty axis, or an output size of 0.
pub fn upsample_nearest2d(x: &Tensor, out: (usize, usize)) -> Result<Tensor> {
    resize("upsample_nearest2d", x, out, |i, len, out| (i * len / out, i * len / out, 0.0))
}

/// Linear interpolation along both axes. Output i lies at `(i + 1/2) H / OH - 1/2`, not below 0, of the input, or with
/// `align_corners` at `i (H - 1) / (OH - 1)` (PyTorch's conventions).
///
/// # Shapes
/// (N, C, H, W) -> (N, C, OH, OW), larger or smaller; a smaller result is not smoothed.
///
/// # Errors
/// As [`upsample_nearest2d`].
pub fn upsample_bilinear2d(x: &Tensor, out: (usize, usize), align_corners: bool) -> Result<Tensor> {
    resize("upsample_bilinear2d", x, out, |i, len, out| {
        let at = if !align_corners {
            ((i as f64 + 0.5) * len as f64 / out as f64 - 0.5).max(0.0)
        } else if out > 1 {
            i as f64 * (len - 1) as f64 / (out - 1) as f64
        } else {
            0.0
        };
        let a = (at.floor() as usize).min(len - 1);
        let b = (a + 1).min(len - 1);
        (a, b, if a == b { 0.0 } else { at - a as f64 })
    })
}

/// Where one output of an axis comes from: `(a, b, w)` is `(1 - w) x[a] + w x[b]`.
pub type Taps = (usize, usize, f64);

/// Resizing by any rule that takes each output row from two rows of the input, and each output column from two columns:
/// `y[i, j] = sum of the four x[a or b, c or d]` with the weights `1 - v` and `v` of the row's taps `(a, b, v)` times `1 - u` and `u`
/// of the column's `(c, d, u)`. Weights may lie outside of [0, 1].
///
/// ```
/// use candle_core::{Device, Tensor};
/// use sconce_tensor_core::ops::resize2d;
/// let x = Tensor::new(&[[[[0f32, 4.0], [8.0, 12.0]]]], &Device::Cpu)?;
/// let y = resize2d(&x, &[(1, 1, 0.0)], &[(0, 1, 0.25), (1, 0, 0.0)])?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [9.0, 12.0]);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
///
/// # Shapes
/// (N, C, H, W) -> (N, C, OH, OW) for OH row taps and OW column taps.
///
/// # Errors
/// An empty axis, no taps, a row or column that is not there, a weight that is not finite.
pub fn resize2d(x: &Tensor, rows: &[Taps], cols: &[Taps]) -> Result<Tensor> {
    let (_, _, h, w) = dims4("resize2d input", "(N, C, H, W)", x)?;
    for (what, taps, len) in [("resize2d rows", rows, h), ("resize2d cols", cols, w)] {
        require(what, !taps.is_empty(), "not empty", taps.len())?;
        if let Some(tap) = taps.iter().find(|(a, b, weight)| *a >= len || *b >= len || !weight.is_finite()) {
            require(what, false, "places below the input's size with finite weights", format!("{tap:?} for {len}"))?;
        }
    }
    let axis = |from: usize, taps: &[Taps]| Axis { from, taps: taps.to_vec() };
    resample(x, Resample { rows: axis(h, rows), cols: axis(w, cols) })
}

fn resize(
    what: &'static str,
    x: &Tensor,
    out: (usize, usize),
    tap: impl Fn(usize, usize, usize) -> Taps,
) -> Result<Tensor> {
    let (_, _, h, w) = dims4(what, "(N, C, H, W)", x)?;
    require(what, out.0 >= 1 && out.1 >= 1, "given an output of at least 1x1", format!("{}x{}", out.0, out.1))?;
    let axis = |len: usize, out: usize| Axis { from: len, taps: (0..out).map(|i| tap(i, len, out)).collect() };
    resample(x, Resample { rows: axis(h, out.0), cols: axis(w, out.1) })
}

fn resample(x: &Tensor, map: Resample) -> Result<Tensor> {
    if !own_kernels(x) {
        return composed::resample2d(x, &map.rows.taps, &map.cols.taps);
    }
    Ok(apply1(Resize(Arc::new(map)), x)?)
}

/// x -> R x.
struct Resize(Arc<Resample>);
/// g -> R^T g.
struct Adjoint(Arc<Resample>);

fn planes(shape: &Shape, rows: usize, cols: usize) -> candle_core::Result<Shape> {
    let (n, c, _, _) = shape.dims4()?;
    Ok((n, c, rows, cols).into())
}

impl Kernel<1> for Resize {
    const NAME: &'static str = "sconce-resize";

    fn forward<T: Element>(&self, [x]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.0.forward(x), planes(shape, self.0.rows.taps.len(), self.0.cols.taps.len())?))
    }

    fn backward(&self, _: [&Tensor; 1], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply1(Adjoint(self.0.clone()), g)?)])
    }
}

impl Kernel<1> for Adjoint {
    const NAME: &'static str = "sconce-resize-adjoint";

    fn forward<T: Element>(&self, [g]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.0.adjoint(g), planes(shape, self.0.rows.from, self.0.cols.from)?))
    }

    fn backward(&self, _: [&Tensor; 1], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply1(Resize(self.0.clone()), u)?)])
    }
}

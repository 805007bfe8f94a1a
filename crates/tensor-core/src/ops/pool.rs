//! Pooling over windows.

use super::cpu::element::Element;
use super::cpu::pool::{Axis, Windows};
use super::kernel::{Kernel, apply1, apply2};
use super::{composed, dims4, own_kernels};
use crate::{Error, Result, error::require};
use candle_core::{Shape, Tensor};

/// The windows of a pooling; every pair is (height, width).
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `kernel` | (2, 2) | elements of a window | >= 1 |
/// | `stride` | (2, 2) | step between windows | >= 1 |
/// | `padding` | (0, 0) | border above and on the left: it is never a maximum, and adds zeros to an average | < `dilation (kernel - 1) + 1` |
/// | `padding_end` | `None` | border below and on the right; `None`: as `padding` | as `padding` |
/// | `dilation` | (1, 1) | step between the elements of a window | >= 1 |
/// | `ceil_mode` | false | whether a last window may reach past the border; it must start inside the input or the border before it | |
/// | `count_include_pad` | true | whether an average divides by the elements in the border too; those past the border never count | |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool2dSpec {
    /// Elements of a window.
    pub kernel: (usize, usize),
    /// Step between windows.
    pub stride: (usize, usize),
    /// Border above and on the left.
    pub padding: (usize, usize),
    /// Border below and on the right; `None`: as `padding`.
    pub padding_end: Option<(usize, usize)>,
    /// Step between the elements of a window.
    pub dilation: (usize, usize),
    /// Whether a last window may reach past the border.
    pub ceil_mode: bool,
    /// Whether the elements of the border count in an average.
    pub count_include_pad: bool,
}

impl Default for Pool2dSpec {
    fn default() -> Self {
        Self::tiles(2)
    }
}

impl Pool2dSpec {
    /// Square windows that do not overlap and leave no gap.
    pub const fn tiles(size: usize) -> Self {
        Self {
            kernel: (size, size),
            stride: (size, size),
            padding: (0, 0),
            padding_end: None,
            dilation: (1, 1),
            ceil_mode: false,
            count_include_pad: true,
        }
    }

    /// The windows over images of (h, w); with `filled`, each must hold an element of the image.
    pub(super) fn windows(&self, h: usize, w: usize, filled: bool) -> Result<Windows> {
        let axis = |name: &str, image: usize, i: fn((usize, usize)) -> usize| {
            let (kernel, stride, padding, dilation) =
                (i(self.kernel), i(self.stride), i(self.padding), i(self.dilation));
            let padding_end = i(self.padding_end.unwrap_or(self.padding));
            if [kernel, stride, dilation].into_iter().any(|v| v == 0 || v > 1 << 30) {
                let reason = format!(
                    "{name}: kernel {kernel}, stride {stride} and dilation {dilation} must be at least 1 (and at most 2^30)"
                );
                return Err(Error::config("Pool2dSpec", reason));
            }
            let reach = (kernel - 1) * dilation + 1;
            if padding.max(padding_end) >= reach {
                let reason =
                    format!("{name}: must be below the reach {reach} of a window, got {padding} and {padding_end}");
                return Err(Error::config("Pool2dSpec.padding", reason));
            }
            let room = image + padding + padding_end;
            let out = if self.ceil_mode {
                // The last window that is needed, unless it would start past the input.
                let out = (room + stride).saturating_sub(reach).div_ceil(stride);
                if out > 1 && (out - 1) * stride >= image + padding { out - 1 } else { out }
            } else {
                (room + stride).saturating_sub(reach) / stride
            };
            if out == 0 {
                let reason = format!("{name}: a window that reaches {reach} does not fit into {room}");
                return Err(Error::config("Pool2dSpec", reason));
            }
            let axis = Axis { image, out, kernel, stride, padding, padding_end, dilation, adaptive: false };
            match (0..out).find(|&o| filled && axis.count(o) == 0) {
                Some(o) => {
                    let reason = format!("{name}: window {o} holds no element of the input; reduce the padding");
                    Err(Error::config("Pool2dSpec.padding", reason))
                }
                None => Ok(axis),
            }
        };
        let (rows, cols) = (axis("height", h, |p| p.0)?, axis("width", w, |p| p.1)?);
        Ok(Windows { rows, cols, count_padding: self.count_include_pad })
    }
}

/// The largest value of each window. If several elements are equal to the maximum, the first one in row order gets the whole
/// gradient. A NaN in a window is its maximum. (PyTorch does both in the same way.)
///
/// # Shapes
/// (N, C, H, W) -> (N, C, OH, OW) with `OH = (H + padding + padding_end - dilation (kernel - 1) - 1) / stride + 1`, rounded
/// down, or up with `ceil_mode`.
///
/// # Errors
/// An empty axis, a zero kernel, stride or dilation, a window larger than the padded input, a padding as large as a window,
/// a window without an element of the input.
pub fn max_pool2d(x: &Tensor, spec: Pool2dSpec) -> Result<Tensor> {
    let (_, _, h, w) = dims4("max_pool2d input", "(N, C, H, W)", x)?;
    let windows = spec.windows(h, w, true)?;
    Ok(if own_kernels(x) { apply1(Max(windows), x)? } else { composed::max_pool2d(x, spec)? })
}

/// The sum of each window divided by the number of its elements, those of the border as zeros. With
/// `count_include_pad = false` the border does not count; what `ceil_mode` adds past the border never does.
/// (PyTorch's and ONNX's conventions.)
///
/// # Shapes
/// As [`max_pool2d`].
///
/// # Errors
/// As [`max_pool2d`], but a window without an element of the input is 0 if the border counts.
pub fn avg_pool2d(x: &Tensor, spec: Pool2dSpec) -> Result<Tensor> {
    let (_, _, h, w) = dims4("avg_pool2d input", "(N, C, H, W)", x)?;
    let windows = spec.windows(h, w, !spec.count_include_pad)?;
    Ok(if own_kernels(x) { apply1(Mean(windows), x)? } else { composed::avg_pool2d(x, spec)? })
}

/// The mean over all positions of each channel.
///
/// # Shapes
/// (N, C, H, W) -> (N, C).
///
/// # Errors
/// An empty axis or another rank.
pub fn global_avg_pool2d(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = dims4("global_avg_pool2d input", "(N, C, H, W)", x)?;
    let spec = Pool2dSpec { kernel: (h, w), stride: (1, 1), ..Pool2dSpec::default() };
    Ok(avg_pool2d(x, spec)?.reshape((n, c))?)
}

fn adaptive(what: &'static str, x: &Tensor, out: (usize, usize)) -> Result<Windows> {
    let (_, _, h, w) = dims4(what, "(N, C, H, W)", x)?;
    let ok = out.0 >= 1 && out.1 >= 1;
    require(what, ok, "given an output of at least 1x1", format!("{}x{}", out.0, out.1))?;
    let axis = |image, out| Axis {
        image,
        out,
        kernel: image,
        stride: 1,
        padding: 0,
        padding_end: 0,
        dilation: 1,
        adaptive: true,
    };
    Ok(Windows { rows: axis(h, out.0), cols: axis(w, out.1), count_padding: false })
}

/// The means over `OH x OW` windows that cover the input: row i of the output takes rows
/// `floor(i H / OH) .. ceil((i + 1) H / OH)`, columns likewise (PyTorch's adaptive pooling).
///
/// # Shapes
/// (N, C, H, W) -> (N, C, OH, OW); OH and OW may be larger than H and W.
///
/// # Errors
/// An empty axis, or an output size of 0.
pub fn adaptive_avg_pool2d(x: &Tensor, out: (usize, usize)) -> Result<Tensor> {
    let windows = adaptive("adaptive_avg_pool2d", x, out)?;
    Ok(if own_kernels(x) { apply1(Mean(windows), x)? } else { composed::adaptive_pool2d(x, out, false)? })
}

/// The maxima over the windows of [`adaptive_avg_pool2d`], with the gradient of [`max_pool2d`].
///
/// # Shapes
/// As [`adaptive_avg_pool2d`].
///
/// # Errors
/// As [`adaptive_avg_pool2d`].
pub fn adaptive_max_pool2d(x: &Tensor, out: (usize, usize)) -> Result<Tensor> {
    let windows = adaptive("adaptive_max_pool2d", x, out)?;
    Ok(if own_kernels(x) { apply1(Max(windows), x)? } else { composed::adaptive_pool2d(x, out, true)? })
}

/// x -> its maxima.
struct Max(Windows);
/// x, u -> u at the maxima of x. Piecewise constant in x, linear in u.
struct Pick(Windows);
/// x, g -> g put back at the maxima of x: the adjoint of `Pick`.
struct Put(Windows);
/// x -> window means.
struct Mean(Windows);
/// g -> g spread over the windows: the adjoint of `Mean`.
struct Spread(Windows);

impl Windows {
    /// (n, c, h, w) with the last two replaced.
    fn resized(shape: &Shape, (h, w): (usize, usize)) -> candle_core::Result<Shape> {
        let (n, c, _, _) = shape.dims4()?;
        Ok((n, c, h, w).into())
    }
}

impl Kernel<1> for Max {
    const NAME: &'static str = "sconce-max-pool";

    fn forward<T: Element>(&self, [x]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.0.largest(x), Windows::resized(shape, self.0.out())?))
    }

    fn backward(&self, [x]: [&Tensor; 1], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply2(Put(self.0), x, g)?)])
    }
}

impl Kernel<2> for Pick {
    const NAME: &'static str = "sconce-max-pool-pick";

    fn forward<T: Element>(&self, [x, u]: [&[T]; 2], [shape, _]: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.0.pick(x, u), Windows::resized(shape, self.0.out())?))
    }

    fn backward(&self, [x, _]: [&Tensor; 2], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        Ok([None, Some(apply2(Put(self.0), x, g)?)])
    }
}

impl Kernel<2> for Put {
    const NAME: &'static str = "sconce-max-pool-put";

    fn forward<T: Element>(&self, [x, g]: [&[T]; 2], [shape, _]: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.0.put(x, g), shape.clone()))
    }

    fn backward(&self, [x, _]: [&Tensor; 2], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        Ok([None, Some(apply2(Pick(self.0), x, u)?)])
    }
}

impl Kernel<1> for Mean {
    const NAME: &'static str = "sconce-avg-pool";

    fn forward<T: Element>(&self, [x]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.0.mean(x), Windows::resized(shape, self.0.out())?))
    }

    fn backward(&self, _: [&Tensor; 1], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply1(Spread(self.0), g)?)])
    }
}

impl Kernel<1> for Spread {
    const NAME: &'static str = "sconce-avg-pool-adjoint";

    fn forward<T: Element>(&self, [g]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.0.spread(g), Windows::resized(shape, self.0.image())?))
    }

    fn backward(&self, _: [&Tensor; 1], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply1(Mean(self.0), u)?)])
    }
}

//! Pooling over windows.

use super::cpu::element::Element;
use super::cpu::pool::Windows;
use super::kernel::{Kernel, apply1, apply2};
use super::{composed, dims4, own_kernels, slide};
use crate::{Error, Result, error::require};
use candle_core::{Shape, Tensor};

/// The windows of a pooling; every pair is (height, width).
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `kernel` | (2, 2) | size of a window | >= 1 |
/// | `stride` | (2, 2) | step between windows | >= 1 |
/// | `padding` | (0, 0) | border on each side: it is never a maximum, and counts as zeros in an average | <= kernel / 2 |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool2dSpec {
    /// Size of a window.
    pub kernel: (usize, usize),
    /// Step between windows.
    pub stride: (usize, usize),
    /// Border on each side.
    pub padding: (usize, usize),
}

impl Default for Pool2dSpec {
    fn default() -> Self {
        Self::tiles(2)
    }
}

impl Pool2dSpec {
    /// Square windows that do not overlap and leave no gap.
    pub fn tiles(size: usize) -> Self {
        Self { kernel: (size, size), stride: (size, size), padding: (0, 0) }
    }

    fn windows(&self, h: usize, w: usize) -> Result<Windows> {
        let Self { kernel, stride, padding } = *self;
        if padding.0 > kernel.0 / 2 || padding.1 > kernel.1 / 2 {
            let reason = format!("must be at most half the kernel {kernel:?}, got {padding:?}");
            return Err(Error::config("Pool2dSpec.padding", reason));
        }
        let out = (
            slide("Pool2dSpec", "height", (h, kernel.0, stride.0, padding.0, 1))?,
            slide("Pool2dSpec", "width", (w, kernel.1, stride.1, padding.1, 1))?,
        );
        Ok(Windows { image: (h, w), out, kernel, stride, padding, adaptive: false })
    }
}

/// The largest value of each window. If several elements are equal to the maximum, the first one in row order gets the whole
/// gradient. A NaN in a window is its maximum. (PyTorch does both in the same way.)
///
/// # Shapes
/// (N, C, H, W) -> (N, C, OH, OW) with `OH = (H + 2 padding - kernel) / stride + 1`, rounded down.
///
/// # Errors
/// An empty axis, a zero kernel or stride, a window larger than the padded input.
pub fn max_pool2d(x: &Tensor, spec: Pool2dSpec) -> Result<Tensor> {
    let (_, _, h, w) = dims4("max_pool2d input", "(N, C, H, W)", x)?;
    let windows = spec.windows(h, w)?;
    Ok(if own_kernels(x) { apply1(Max(windows), x)? } else { composed::max_pool2d(x, spec)? })
}

/// The sum of each window divided by the kernel's size; padding counts as zeros (PyTorch's
/// `count_include_pad = True`).
///
/// # Shapes
/// As [`max_pool2d`].
///
/// # Errors
/// As [`max_pool2d`].
pub fn avg_pool2d(x: &Tensor, spec: Pool2dSpec) -> Result<Tensor> {
    let (_, _, h, w) = dims4("avg_pool2d input", "(N, C, H, W)", x)?;
    let windows = spec.windows(h, w)?;
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
    let spec = Pool2dSpec { kernel: (h, w), stride: (1, 1), padding: (0, 0) };
    Ok(avg_pool2d(x, spec)?.reshape((n, c))?)
}

fn adaptive(what: &'static str, x: &Tensor, out: (usize, usize)) -> Result<Windows> {
    let (_, _, h, w) = dims4(what, "(N, C, H, W)", x)?;
    let ok = out.0 >= 1 && out.1 >= 1;
    require(what, ok, "given an output of at least 1x1", format!("{}x{}", out.0, out.1))?;
    let image = (h, w);
    Ok(Windows { image, out, kernel: image, stride: (1, 1), padding: (0, 0), adaptive: true })
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
        Ok((self.0.largest(x), Windows::resized(shape, self.0.out)?))
    }

    fn backward(&self, [x]: [&Tensor; 1], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply2(Put(self.0), x, g)?)])
    }
}

impl Kernel<2> for Pick {
    const NAME: &'static str = "sconce-max-pool-pick";

    fn forward<T: Element>(&self, [x, u]: [&[T]; 2], [shape, _]: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.0.pick(x, u), Windows::resized(shape, self.0.out)?))
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
        Ok((self.0.mean(x), Windows::resized(shape, self.0.out)?))
    }

    fn backward(&self, _: [&Tensor; 1], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply1(Spread(self.0), g)?)])
    }
}

impl Kernel<1> for Spread {
    const NAME: &'static str = "sconce-avg-pool-adjoint";

    fn forward<T: Element>(&self, [g]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.0.spread(g), Windows::resized(shape, self.0.image)?))
    }

    fn backward(&self, _: [&Tensor; 1], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply1(Mean(self.0), u)?)])
    }
}

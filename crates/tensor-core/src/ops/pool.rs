//! Pooling over windows.

use super::cpu::element::{Element, dispatch};
use super::cpu::pool::Windows;
use super::{composed, dims4, own_kernels, slide};
use crate::{Error, Result};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor, WithDType};

/// The windows of a pooling; every pair is (height, width).
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `kernel` | (2, 2) | size of a window | >= 1 |
/// | `stride` | (2, 2) | step between windows | >= 1 |
/// | `padding` | (0, 0) | border on each side: never a maximum, zeros of an average | <= kernel / 2 |
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
    /// Square windows side by side.
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
        Ok(Windows { image: (h, w), out, kernel, stride, padding })
    }
}

/// The largest value of each window. Of several equal ones the first, row by row, gets the whole
/// gradient; a NaN in a window is its maximum (both as in PyTorch).
///
/// # Shapes
/// (N, C, H, W) -> (N, C, OH, OW) with `OH = (H + 2 padding - kernel) / stride + 1`, rounded down.
///
/// # Errors
/// An empty axis, a zero kernel or stride, a window larger than the padded input.
pub fn max_pool2d(x: &Tensor, spec: Pool2dSpec) -> Result<Tensor> {
    let (_, _, h, w) = dims4("max_pool2d input", "(N, C, H, W)", x)?;
    let windows = spec.windows(h, w)?;
    Ok(if own_kernels(x) { x.contiguous()?.apply_op1(Max(windows))? } else { composed::max_pool2d(x, spec)? })
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
    Ok(if own_kernels(x) { x.contiguous()?.apply_op1(Mean(windows))? } else { composed::avg_pool2d(x, spec)? })
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

fn resized(l: &Layout, (h, w): (usize, usize)) -> candle_core::Result<Shape> {
    let (n, c, _, _) = l.shape().dims4()?;
    Ok((n, c, h, w).into())
}

macro_rules! one_argument {
    ($op:ident, $name:literal, $size:ident, |$this:ident, $x:ident| $kernel:expr, |$arg:ident, $g:ident| $bwd:expr) => {
        impl CustomOp1 for $op {
            fn name(&self) -> &'static str {
                $name
            }

            fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
                let $this = &self.0;
                dispatch!(s, $name, T => {
                    let $x = T::slice(s, l)?;
                    Ok((T::to_cpu_storage_owned($kernel), resized(l, self.0.$size)?))
                })
            }

            fn bwd(&self, $arg: &Tensor, _res: &Tensor, $g: &Tensor) -> candle_core::Result<Option<Tensor>> {
                let $this = self.0;
                Ok(Some($bwd))
            }
        }
    };
}

one_argument!(Max, "sconce-max-pool", out, |w, x| w.pick(x, x), |arg, g| arg.apply_op2(&g.contiguous()?, Put(w))?);
one_argument!(Mean, "sconce-avg-pool", out, |w, x| w.mean(x), |_arg, g| g.contiguous()?.apply_op1(Spread(w))?);
one_argument!(Spread, "sconce-avg-pool-adjoint", image, |w, x| w.spread(x), |_arg, g| g
    .contiguous()?
    .apply_op1(Mean(w))?);

macro_rules! two_arguments {
    ($op:ident, $name:literal, $size:ident, $kernel:ident, $adjoint:ident) => {
        impl CustomOp2 for $op {
            fn name(&self) -> &'static str {
                $name
            }

            fn cpu_fwd(
                &self,
                x: &CpuStorage,
                xl: &Layout,
                u: &CpuStorage,
                ul: &Layout,
            ) -> candle_core::Result<(CpuStorage, Shape)> {
                dispatch!(x, $name, T => {
                    let y = self.0.$kernel(T::slice(x, xl)?, T::slice(u, ul)?);
                    Ok((T::to_cpu_storage_owned(y), resized(xl, self.0.$size)?))
                })
            }

            fn bwd(
                &self,
                x: &Tensor,
                _u: &Tensor,
                _res: &Tensor,
                g: &Tensor,
            ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
                Ok((None, Some(x.apply_op2(&g.contiguous()?, $adjoint(self.0))?)))
            }
        }
    };
}

two_arguments!(Pick, "sconce-max-pool-pick", out, pick, Put);
two_arguments!(Put, "sconce-max-pool-put", image, put, Pick);

//! Transposed convolution: the adjoint of a convolution, with its own weight and bias.

use super::conv::ToInput;
use super::cpu::conv::Geometry;
use super::kernel::{apply2, apply3};
use super::{composed, dims4, own_kernels};
use crate::{Error, Result};
use candle_core::Tensor;

/// The geometry of a [`conv_transpose2d`]; every pair is (height, width).
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `stride` | (1, 1) | step between the outputs that neighbouring inputs reach | >= 1 |
/// | `padding` | (0, 0) | rows and columns cut from each side of the output | see errors |
/// | `output_padding` | (0, 0) | rows and columns added at the bottom and right | below stride or dilation |
/// | `dilation` | (1, 1) | step between taps | >= 1 |
/// | `groups` | 1 | independent blocks of channels | divides both channel counts |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvTranspose2dSpec {
    /// Step between the outputs that neighbouring inputs reach.
    pub stride: (usize, usize),
    /// Rows and columns cut from each side of the output.
    pub padding: (usize, usize),
    /// Rows and columns added at the bottom and right.
    pub output_padding: (usize, usize),
    /// Step between the kernel's taps.
    pub dilation: (usize, usize),
    /// Independent blocks of channels.
    pub groups: usize,
}

impl Default for ConvTranspose2dSpec {
    fn default() -> Self {
        Self { stride: (1, 1), padding: (0, 0), output_padding: (0, 0), dilation: (1, 1), groups: 1 }
    }
}

/// The adjoint of [`super::conv2d`] with the same weight, stride, padding and dilation, plus `bias`:
/// `y[n, o, i s + u d - p, j s + v d - p] += weight[c, o, u, v] x[n, c, i, j]`, `c` over the group of `o`.
///
/// Differentiable in `x`, `weight` and `bias`, twice.
///
/// # Shapes
/// `x` (N, C, H, W), `weight` (C, O / groups, KH, KW), `bias` (O,) -> (N, O, OH, OW) with
/// `OH = (H - 1) s - 2 p + d (KH - 1) + output_padding + 1`.
///
/// # Cost
/// `2 N C H W (O / groups) KH KW` operations forward, and the same number for each gradient that is needed; by Winograd's method as
/// [`conv2d`](super::conv2d), whose accuracy it has.
///
/// # Errors
/// Shapes that do not fit each other, an empty axis, a zero stride or dilation, a padding that leaves no output, or
/// an output padding that is not below the stride or the dilation.
pub fn conv_transpose2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    spec: ConvTranspose2dSpec,
) -> Result<Tensor> {
    let (n, c, h, w) = dims4("conv_transpose2d input", "(N, C, H, W)", x)?;
    let (wc, og, kh, kw) = dims4("conv_transpose2d weight", "(C, O/groups, KH, KW)", weight)?;
    let ConvTranspose2dSpec { stride, padding, output_padding, dilation, groups } = spec;
    if wc != c {
        return Err(Error::shape("conv_transpose2d weight", format!("({c}, O/groups, KH, KW)"), weight.dims()));
    }
    if groups == 0 || c % groups != 0 {
        return Err(Error::config("ConvTranspose2dSpec.groups", format!("must divide {c} channels, got {groups}")));
    }
    let o = og * groups;
    if let Some(b) = bias.filter(|b| b.dims() != [o]) {
        return Err(Error::shape("conv_transpose2d bias", format!("({o},)"), b.dims()));
    }
    let axis = |name: &str, len: usize, k: usize, s: usize, p: usize, d: usize, extra: usize| {
        if s == 0 || d == 0 {
            let reason = format!("{name}: stride {s} and dilation {d} must be at least 1");
            return Err(Error::config("ConvTranspose2dSpec", reason));
        }
        if extra >= s.max(d) {
            let reason = format!("{name}: {extra} is not below stride {s} or dilation {d}");
            return Err(Error::config("ConvTranspose2dSpec.output_padding", reason));
        }
        let whole = (len - 1) * s + d * (k - 1) + extra + 1;
        match whole.checked_sub(2 * p) {
            Some(out) if out > 0 => Ok(out),
            _ => Err(Error::config("ConvTranspose2dSpec.padding", format!("{name}: {p} on each side of {whole}"))),
        }
    };
    let out = (
        axis("height", h, kh, stride.0, padding.0, dilation.0, output_padding.0)?,
        axis("width", w, kw, stride.1, padding.1, dilation.1, output_padding.1)?,
    );
    if !own_kernels(x) {
        return composed::conv_transpose2d(x, weight, bias, spec);
    }
    // The convolution whose adjoint this is goes from the output to the input.
    let geo = Geometry {
        batch: n,
        groups,
        channels: og,
        out_channels: c / groups,
        image: out,
        kernel: (kh, kw),
        out: (h, w),
        stride,
        padding,
        dilation,
    };
    Ok(match bias {
        Some(b) => apply3(ToInput(geo), x, weight, b)?,
        None => apply2(ToInput(geo), x, weight)?,
    })
}

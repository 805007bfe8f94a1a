//! Two-dimensional convolution.

use super::cpu::conv::Geometry;
use super::cpu::element::Element;
use super::cpu::elementwise;
use super::kernel::{Kernel, apply1, apply2, apply3, wanted};
use super::{composed, dims4, own_kernels, slide};
use crate::{Error, Result};
use candle_core::{Shape, Tensor};

/// How the kernel of a [`conv2d`] slides; every pair is (height, width).
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `stride` | (1, 1) | step between outputs | >= 1 |
/// | `padding` | (0, 0) | zeros on each side | >= 0 |
/// | `dilation` | (1, 1) | step between taps | >= 1 |
/// | `groups` | 1 | independent blocks of channels | divides both channel counts |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dSpec {
    /// Step between outputs.
    pub stride: (usize, usize),
    /// Zeros added on each side.
    pub padding: (usize, usize),
    /// Step between the kernel's taps.
    pub dilation: (usize, usize),
    /// Independent blocks of channels.
    pub groups: usize,
}

impl Default for Conv2dSpec {
    fn default() -> Self {
        Self { stride: (1, 1), padding: (0, 0), dilation: (1, 1), groups: 1 }
    }
}

impl Conv2dSpec {
    /// Stride 1 and the padding that keeps the size of maps under an odd `kernel`.
    pub fn same(kernel: usize) -> Self {
        Self { padding: (kernel / 2, kernel / 2), ..Self::default() }
    }
}

/// Cross-correlation of `x` with `weight`, plus `bias`:
/// `y[n,o,i,j] = bias[o] + sum_{c,u,v} weight[o,c,u,v] x[n, c, i s + u d - p, j s + v d - p]`,
/// with `s`, `p`, `d` of [`Conv2dSpec`], zeros outside of `x`, and `c` over the group of `o`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use sconce_tensor_core::ops::{Conv2dSpec, conv2d};
/// let x = Tensor::arange(0f32, 9f32, &Device::Cpu)?.reshape((1, 1, 3, 3))?;
/// let w = Tensor::ones((1, 1, 2, 2), candle_core::DType::F32, &Device::Cpu)?;
/// let y = conv2d(&x, &w, None, Conv2dSpec::default())?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [8.0, 12.0, 20.0, 24.0]);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
///
/// # Shapes
/// `x` (N, C, H, W), `weight` (O, C / groups, KH, KW), `bias` (O,) -> (N, O, OH, OW) with
/// `OH = (H + 2 p - d (KH - 1) - 1) / s + 1`, rounded down.
///
/// # Cost
/// `2 N O OH OW (C / groups) KH KW` operations forward, and as many for each wanted gradient; scratch memory of
/// one image's patches per thread.
///
/// # Errors
/// Shapes that do not fit each other, an empty axis, a zero stride or dilation, a kernel larger than the
/// padded input, or tensors of different type or device.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, spec: Conv2dSpec) -> Result<Tensor> {
    let (n, c, h, w) = dims4("conv2d input", "(N, C, H, W)", x)?;
    let (o, cg, kh, kw) = dims4("conv2d weight", "(O, C/groups, KH, KW)", weight)?;
    if spec.groups == 0 || c % spec.groups != 0 || o % spec.groups != 0 {
        return Err(Error::config(
            "Conv2dSpec.groups",
            format!("must divide {c} and {o} channels, got {}", spec.groups),
        ));
    }
    if cg != c / spec.groups {
        return Err(Error::shape("conv2d weight", format!("(O, {}, KH, KW)", c / spec.groups), weight.dims()));
    }
    if let Some(b) = bias.filter(|b| b.dims() != [o]) {
        return Err(Error::shape("conv2d bias", format!("({o},)"), b.dims()));
    }
    let axis = |name, len, k, i: fn((usize, usize)) -> usize| {
        slide("Conv2dSpec", name, (len, k, i(spec.stride), i(spec.padding), i(spec.dilation)))
    };
    let out = (axis("height", h, kh, |p| p.0)?, axis("width", w, kw, |p| p.1)?);
    if !own_kernels(x) {
        return composed::conv2d(x, weight, bias, spec);
    }
    let Conv2dSpec { stride, padding, dilation, groups } = spec;
    let geo = Geometry {
        batch: n,
        groups,
        channels: cg,
        out_channels: o / groups,
        image: (h, w),
        kernel: (kh, kw),
        out,
        stride,
        padding,
        dilation,
    };
    Ok(match bias {
        Some(b) => apply3(Conv(geo), x, weight, b)?,
        None => apply2(Conv(geo), x, weight)?,
    })
}

/// x, w [, b] -> y. The three maps are bilinear, and each one's derivative is another of them.
struct Conv(Geometry);
/// gy, w -> gx.
struct ToInput(Geometry);
/// x, gy -> gw.
struct ToWeight(Geometry);
/// y -> its sum over all but the channel.
pub(super) struct ChannelSum;

impl Geometry {
    fn x_shape(&self) -> Shape {
        (self.batch, self.groups * self.channels, self.image.0, self.image.1).into()
    }

    fn y_shape(&self) -> Shape {
        (self.batch, self.groups * self.out_channels, self.out.0, self.out.1).into()
    }

    fn w_shape(&self) -> Shape {
        (self.groups * self.out_channels, self.channels, self.kernel.0, self.kernel.1).into()
    }
}

impl Kernel<2> for Conv {
    const NAME: &'static str = "sconce-conv2d";

    fn forward<T: Element>(&self, [x, w]: [&[T]; 2], _: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.0.forward(x, w, None), self.0.y_shape()))
    }

    fn backward(&self, [x, w]: [&Tensor; 2], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        Ok([wanted(x, || apply2(ToInput(self.0), g, w))?, wanted(w, || apply2(ToWeight(self.0), x, g))?])
    }
}

impl Kernel<3> for Conv {
    const NAME: &'static str = "sconce-conv2d-bias";

    fn forward<T: Element>(&self, [x, w, b]: [&[T]; 3], _: [&Shape; 3]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.0.forward(x, w, Some(b)), self.0.y_shape()))
    }

    fn backward(&self, [x, w, b]: [&Tensor; 3], y: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        let [gx, gw] = Kernel::<2>::backward(self, [x, w], y, g)?;
        Ok([gx, gw, wanted(b, || apply1(ChannelSum, g))?])
    }
}

impl Kernel<2> for ToInput {
    const NAME: &'static str = "sconce-conv2d-to-input";

    fn forward<T: Element>(&self, [gy, w]: [&[T]; 2], _: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.0.input_grad(gy, w), self.0.x_shape()))
    }

    fn backward(&self, [gy, w]: [&Tensor; 2], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        Ok([wanted(gy, || apply2(Conv(self.0), u, w))?, wanted(w, || apply2(ToWeight(self.0), u, gy))?])
    }
}

impl Kernel<2> for ToWeight {
    const NAME: &'static str = "sconce-conv2d-to-weight";

    fn forward<T: Element>(&self, [x, gy]: [&[T]; 2], _: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.0.weight_grad(x, gy), self.0.w_shape()))
    }

    fn backward(&self, [x, gy]: [&Tensor; 2], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        Ok([wanted(x, || apply2(ToInput(self.0), gy, u))?, wanted(gy, || apply2(Conv(self.0), x, u))?])
    }
}

impl Kernel<1> for ChannelSum {
    const NAME: &'static str = "sconce-channel-sum";

    fn forward<T: Element>(&self, [x]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        let (_, c, h, w) = shape.dims4()?;
        Ok((elementwise::channel_sum(x, c, h * w).into_iter().map(T::from_f64).collect(), c.into()))
    }

    fn backward(&self, [x]: [&Tensor; 1], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(g.reshape((1, (), 1, 1))?.broadcast_as(x.shape())?)])
    }
}

//! Two-dimensional convolution.

use super::activation::{Mask, Rectifier};
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
/// `2 N O OH OW (C / groups) KH KW` operations forward, and the same number for each gradient that is needed. The scratch memory
/// is a padded copy of a few images per thread, or where kernels are large or maps small a block of packed columns, about a million numbers.
///
/// In f32 on the CPU, Winograd's method computes kernels of 3x3 and 5x5 with stride 1, and of 4x4 with stride 2, where a group has
/// at least 16 channels on both sides and the map's size fits the method's tiles: a quarter to two thirds of the operations. The kernels
/// are transformed in each call. Their scratch memory, 1.4 to 6 times that of the kernels, stays with the calling thread. Where the
/// stride is 1, the batch has at most 128 tiles, and every thread has a panel of outputs (two vectors), each transforms the kernels that it
/// uses: this takes a megabyte on each thread, and 2 to 9 times the input's memory on the calling one.
///
/// # Accuracy
/// In f32 the root mean square of the error is about `1.5e-8 sqrt(n)` of that of the result for sums of n products, `n = (C / groups)
/// KH KW` forward; with Winograd's method one to three times as much. There the error of a tile spreads over its results: where all
/// products are 0, the result may be 1e-6, at most about 1e-5, of its neighbours instead of 0, and one value that is not finite makes its
/// whole tile so. f64 is always a direct sum.
///
/// # Errors
/// Shapes that do not fit each other, an empty axis, a zero stride or dilation, a kernel larger than the
/// padded input, or tensors of different type or device.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, spec: Conv2dSpec) -> Result<Tensor> {
    convolve(x, weight, bias, spec, None)
}

/// `max(conv2d(x), 0)` in one pass over the result.
///
/// # Shapes
/// As [`conv2d`].
///
/// # Errors
/// As [`conv2d`].
pub fn conv2d_relu(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, spec: Conv2dSpec) -> Result<Tensor> {
    convolve(x, weight, bias, spec, Some(Rectifier::RELU))
}

/// [`rectify`](super::rectify) of a [`conv2d`], in one pass over the result.
///
/// # Shapes
/// As [`conv2d`].
///
/// # Errors
/// As [`conv2d`] and [`rectify`](super::rectify).
pub fn conv2d_rectified(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    spec: Conv2dSpec,
    by: Rectifier,
) -> Result<Tensor> {
    by.check()?;
    convolve(x, weight, bias, spec, Some(by))
}

fn convolve(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    spec: Conv2dSpec,
    rectify: Option<Rectifier>,
) -> Result<Tensor> {
    let x_dims = dims4("conv2d input", "(N, C, H, W)", x)?;
    let w_dims = dims4("conv2d weight", "(O, C/groups, KH, KW)", weight)?;
    let geo = geometry(x_dims, w_dims, spec)?;
    let o = geo.groups * geo.out_channels;
    if let Some(b) = bias.filter(|b| b.dims() != [o]) {
        return Err(Error::shape("conv2d bias", format!("({o},)"), b.dims()));
    }
    if !own_kernels(x) {
        let y = composed::conv2d(x, weight, bias, spec)?;
        return rectify.map_or(Ok(y.clone()), |by| super::rectify(&y, by));
    }
    Ok(match bias {
        Some(b) => apply3(Conv { geo, rectify }, x, weight, b)?,
        None => apply2(Conv { geo, rectify }, x, weight)?,
    })
}

/// Checks the sizes of a convolution and computes the size of the result.
fn geometry(
    (n, c, h, w): (usize, usize, usize, usize),
    (o, cg, kh, kw): (usize, usize, usize, usize),
    spec: Conv2dSpec,
) -> Result<Geometry> {
    let Conv2dSpec { stride, padding, dilation, groups } = spec;
    if groups == 0 || c % groups != 0 || o % groups != 0 {
        return Err(Error::config("Conv2dSpec.groups", format!("must divide {c} and {o} channels, got {groups}")));
    }
    if cg != c / groups {
        return Err(Error::shape("conv2d weight", format!("(O, {}, KH, KW)", c / groups), &[o, cg, kh, kw]));
    }
    let axis = |name, len, k, i: fn((usize, usize)) -> usize| {
        slide("Conv2dSpec", name, (len, k, i(stride), i(padding), i(dilation)))
    };
    let out = (axis("height", h, kh, |p| p.0)?, axis("width", w, kw, |p| p.1)?);
    let (image, kernel) = ((h, w), (kh, kw));
    let (channels, out_channels) = (cg, o / groups);
    Ok(Geometry { batch: n, groups, channels, out_channels, image, kernel, out, stride, padding, dilation })
}

/// The gradient of [`conv2d`] to its input: the adjoint in `x`, a convolution of `gy` with the weight rotated by half a turn.
///
/// Differentiable in `gy` and `weight`, twice. Cost and accuracy are those of [`conv2d`]: by Winograd's method a position that no result
/// depends on may get a gradient of 1e-6 of its neighbours' instead of 0.
///
/// # Shapes
/// `gy` (N, O, OH, OW), `weight` (O, C / groups, KH, KW) -> (N, C, H, W) for `input` = (H, W).
///
/// # Errors
/// Sizes for which [`conv2d`] does not give the shape of `gy`.
pub fn conv2d_input_gradient(gy: &Tensor, weight: &Tensor, input: (usize, usize), spec: Conv2dSpec) -> Result<Tensor> {
    let (n, o, oh, ow) = dims4("conv2d gradient", "(N, O, OH, OW)", gy)?;
    let w_dims = dims4("conv2d weight", "(O, C/groups, KH, KW)", weight)?;
    let geo = geometry((n, w_dims.1 * spec.groups, input.0, input.1), w_dims, spec)?;
    if (o, (oh, ow)) != (w_dims.0, geo.out) {
        let expected = format!("({n}, {}, {}, {})", w_dims.0, geo.out.0, geo.out.1);
        return Err(Error::shape("conv2d gradient", expected, gy.dims()));
    }
    if own_kernels(gy) {
        return Ok(apply2(ToInput(geo), gy, weight)?);
    }
    composed::conv2d_input_gradient(gy, weight, input, spec)
}

/// The gradient of [`conv2d`] to its weight: the adjoint in `weight`.
///
/// Differentiable in `x` and `gy`, twice.
///
/// # Shapes
/// `x` (N, C, H, W), `gy` (N, O, OH, OW) -> (O, C / groups, KH, KW) for `kernel` = (KH, KW).
///
/// # Errors
/// Sizes for which [`conv2d`] does not give the shape of `gy`.
pub fn conv2d_weight_gradient(x: &Tensor, gy: &Tensor, kernel: (usize, usize), spec: Conv2dSpec) -> Result<Tensor> {
    let x_dims = dims4("conv2d input", "(N, C, H, W)", x)?;
    let (n, o, oh, ow) = dims4("conv2d gradient", "(N, O, OH, OW)", gy)?;
    let geo = geometry(x_dims, (o, x_dims.1 / spec.groups.max(1), kernel.0, kernel.1), spec)?;
    if (n, (oh, ow)) != (x_dims.0, geo.out) {
        let expected = format!("({}, {o}, {}, {})", x_dims.0, geo.out.0, geo.out.1);
        return Err(Error::shape("conv2d gradient", expected, gy.dims()));
    }
    if own_kernels(x) {
        return Ok(apply2(ToWeight(geo), x, gy)?);
    }
    composed::conv2d_weight_gradient(x, gy, kernel, spec)
}

/// x, w [, b] -> y, rectified if that is asked. The three maps are bilinear, and the derivative of each is another
/// one of them.
struct Conv {
    geo: Geometry,
    rectify: Option<Rectifier>,
}
/// gy, w [, b] -> gx [+ b].
pub(super) struct ToInput(pub(super) Geometry);
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

impl Conv {
    /// The gradient to the result before the ReLU.
    fn before(&self, y: &Tensor, g: &Tensor) -> candle_core::Result<Tensor> {
        match self.rectify {
            Some(by) => apply2(Mask(by), &y.detach(), g),
            None => Ok(g.clone()),
        }
    }

    fn to_factors(&self, x: &Tensor, w: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        Ok([wanted(x, || apply2(ToInput(self.geo), g, w))?, wanted(w, || apply2(ToWeight(self.geo), x, g))?])
    }
}

impl Kernel<2> for Conv {
    const NAME: &'static str = "sconce-conv2d";

    fn forward<T: Element>(&self, [x, w]: [&[T]; 2], _: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.geo.forward(x, w, None, self.rectify), self.geo.y_shape()))
    }

    fn backward(&self, [x, w]: [&Tensor; 2], y: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        self.to_factors(x, w, &self.before(y, g)?)
    }
}

impl Kernel<3> for Conv {
    const NAME: &'static str = "sconce-conv2d-bias";

    fn forward<T: Element>(&self, [x, w, b]: [&[T]; 3], _: [&Shape; 3]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.geo.forward(x, w, Some(b), self.rectify), self.geo.y_shape()))
    }

    fn backward(&self, [x, w, b]: [&Tensor; 3], y: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        let g = self.before(y, g)?;
        let [gx, gw] = self.to_factors(x, w, &g)?;
        Ok([gx, gw, wanted(b, || apply1(ChannelSum, &g))?])
    }
}

impl Kernel<2> for ToInput {
    const NAME: &'static str = "sconce-conv2d-to-input";

    fn forward<T: Element>(&self, [gy, w]: [&[T]; 2], _: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.0.input_grad(gy, w, None), self.0.x_shape()))
    }

    fn backward(&self, [gy, w]: [&Tensor; 2], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        Ok([
            wanted(gy, || apply2(Conv { geo: self.0, rectify: None }, u, w))?,
            wanted(w, || apply2(ToWeight(self.0), u, gy))?,
        ])
    }
}

impl Kernel<3> for ToInput {
    const NAME: &'static str = "sconce-conv2d-to-input-bias";

    fn forward<T: Element>(&self, [gy, w, b]: [&[T]; 3], _: [&Shape; 3]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.0.input_grad(gy, w, Some(b)), self.0.x_shape()))
    }

    fn backward(&self, [gy, w, b]: [&Tensor; 3], y: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        let [ggy, gw] = Kernel::<2>::backward(self, [gy, w], y, u)?;
        Ok([ggy, gw, wanted(b, || apply1(ChannelSum, u))?])
    }
}

impl Kernel<2> for ToWeight {
    const NAME: &'static str = "sconce-conv2d-to-weight";

    fn forward<T: Element>(&self, [x, gy]: [&[T]; 2], _: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((self.0.weight_grad(x, gy), self.0.w_shape()))
    }

    fn backward(&self, [x, gy]: [&Tensor; 2], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        Ok([
            wanted(x, || apply2(ToInput(self.0), gy, u))?,
            wanted(gy, || apply2(Conv { geo: self.0, rectify: None }, x, u))?,
        ])
    }
}

impl Kernel<1> for ChannelSum {
    const NAME: &'static str = "sconce-channel-sum";

    fn forward<T: Element>(&self, [x]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        let (_, c, h, w) = shape.dims4()?;
        Ok((elementwise::channel_sum(x, c, h * w).into_iter().map(T::of_f64).collect(), c.into()))
    }

    fn backward(&self, [x]: [&Tensor; 1], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(g.reshape((1, (), 1, 1))?.broadcast_as(x.shape())?)])
    }
}

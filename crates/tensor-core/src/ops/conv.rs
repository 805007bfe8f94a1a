//! Two-dimensional convolution.

use super::cpu::conv::Geometry;
use super::cpu::element::{Element, dispatch};
use super::cpu::im2col::Patches;
use super::{composed, dims4, own_kernels, slide};
use crate::{Error, Result};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Shape, Tensor, WithDType};

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
    let patches = Patches { channels: cg, image: (h, w), kernel: (kh, kw), out, stride, padding, dilation };
    let geo = Geometry { batch: n, groups, out_channels: o / groups, patches };
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    Ok(match bias {
        Some(b) => x.apply_op3(&weight, &b.contiguous()?, Conv(geo))?,
        None => x.apply_op2(&weight, Conv(geo))?,
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
        (self.batch, self.groups * self.patches.channels, self.patches.image.0, self.patches.image.1).into()
    }

    fn y_shape(&self) -> Shape {
        (self.batch, self.groups * self.out_channels, self.patches.out.0, self.patches.out.1).into()
    }

    fn w_shape(&self) -> Shape {
        let (kh, kw) = self.patches.kernel;
        (self.groups * self.out_channels, self.patches.channels, kh, kw).into()
    }

    fn apply_conv(self, x: &Tensor, w: &Tensor) -> candle_core::Result<Tensor> {
        x.contiguous()?.apply_op2(&w.contiguous()?, Conv(self))
    }

    fn apply_input_grad(self, gy: &Tensor, w: &Tensor) -> candle_core::Result<Tensor> {
        gy.contiguous()?.apply_op2(&w.contiguous()?, ToInput(self))
    }

    fn apply_weight_grad(self, x: &Tensor, gy: &Tensor) -> candle_core::Result<Tensor> {
        x.contiguous()?.apply_op2(&gy.contiguous()?, ToWeight(self))
    }
}

/// `Some(f())` where the gradient to `arg` is wanted.
pub(super) fn wanted(
    arg: &Tensor,
    f: impl FnOnce() -> candle_core::Result<Tensor>,
) -> candle_core::Result<Option<Tensor>> {
    if arg.track_op() { f().map(Some) } else { Ok(None) }
}

type Two = candle_core::Result<(Option<Tensor>, Option<Tensor>)>;

impl CustomOp2 for Conv {
    fn name(&self) -> &'static str {
        "sconce-conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        dispatch!(x, "conv2d", T => {
            let y = self.0.forward(T::slice(x, xl)?, T::slice(w, wl)?, None);
            Ok((T::to_cpu_storage_owned(y), self.0.y_shape()))
        })
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _y: &Tensor, g: &Tensor) -> Two {
        Ok((wanted(x, || self.0.apply_input_grad(g, w))?, wanted(w, || self.0.apply_weight_grad(x, g))?))
    }
}

impl CustomOp3 for Conv {
    fn name(&self) -> &'static str {
        "sconce-conv2d-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        dispatch!(x, "conv2d", T => {
            let y = self.0.forward(T::slice(x, xl)?, T::slice(w, wl)?, Some(T::slice(b, bl)?));
            Ok((T::to_cpu_storage_owned(y), self.0.y_shape()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        Ok((
            wanted(x, || self.0.apply_input_grad(g, w))?,
            wanted(w, || self.0.apply_weight_grad(x, g))?,
            wanted(b, || g.contiguous()?.apply_op1(ChannelSum))?,
        ))
    }
}

impl CustomOp2 for ToInput {
    fn name(&self) -> &'static str {
        "sconce-conv2d-to-input"
    }

    fn cpu_fwd(
        &self,
        g: &CpuStorage,
        gl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        dispatch!(g, "conv2d", T => {
            let gx = self.0.input_grad(T::slice(g, gl)?, T::slice(w, wl)?);
            Ok((T::to_cpu_storage_owned(gx), self.0.x_shape()))
        })
    }

    fn bwd(&self, gy: &Tensor, w: &Tensor, _gx: &Tensor, u: &Tensor) -> Two {
        Ok((wanted(gy, || self.0.apply_conv(u, w))?, wanted(w, || self.0.apply_weight_grad(u, gy))?))
    }
}

impl CustomOp2 for ToWeight {
    fn name(&self) -> &'static str {
        "sconce-conv2d-to-weight"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        g: &CpuStorage,
        gl: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        dispatch!(x, "conv2d", T => {
            let gw = self.0.weight_grad(T::slice(x, xl)?, T::slice(g, gl)?);
            Ok((T::to_cpu_storage_owned(gw), self.0.w_shape()))
        })
    }

    fn bwd(&self, x: &Tensor, gy: &Tensor, _gw: &Tensor, u: &Tensor) -> Two {
        Ok((wanted(x, || self.0.apply_input_grad(gy, u))?, wanted(gy, || self.0.apply_conv(x, u))?))
    }
}

impl CustomOp1 for ChannelSum {
    fn name(&self) -> &'static str {
        "sconce-channel-sum"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, c, h, w) = l.shape().dims4()?;
        dispatch!(x, "channel sum", T => {
            let sums = super::cpu::elementwise::channel_sum(T::slice(x, l)?, c, h * w);
            Ok((T::to_cpu_storage_owned(sums.into_iter().map(T::from_f64).collect()), c.into()))
        })
    }

    fn bwd(&self, x: &Tensor, _res: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(g.reshape((1, (), 1, 1))?.broadcast_as(x.shape())?))
    }
}

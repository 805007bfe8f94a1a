//! Convolutions on candle's convolution: forward and the two gradients, each the derivative of the others.

use super::super::{Conv2dSpec, ConvTranspose2dSpec};
use super::graft::{Rule, graft2, graft3, wanted};
use super::{channel_sum, indices};
use crate::Result;
use candle_core::Tensor;

/// How a convolution's kernel slides, over what, and how often.
#[derive(Clone, Copy)]
struct Sizes {
    spec: Conv2dSpec,
    image: (usize, usize),
    kernel: (usize, usize),
    /// Rows and columns of the result. The adjoint of a transposed convolution may have fewer than fit.
    out: (usize, usize),
}

/// Rows and columns of a tensor.
fn sides(t: &Tensor) -> Result<(usize, usize)> {
    let (_, _, h, w) = t.dims4()?;
    Ok((h, w))
}

/// [`crate::ops::conv2d`] on candle's convolution.
///
/// # Errors
/// candle's only.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, spec: Conv2dSpec) -> Result<Tensor> {
    let (image, kernel) = (sides(x)?, sides(weight)?);
    let Conv2dSpec { stride, padding, dilation, .. } = spec;
    let out = |len: usize, k: usize, s: usize, p: usize, d: usize| (len + 2 * p - d * (k - 1) - 1) / s + 1;
    let out = (
        out(image.0, kernel.0, stride.0, padding.0, dilation.0),
        out(image.1, kernel.1, stride.1, padding.1, dilation.1),
    );
    let rule = Forward(Sizes { spec, image, kernel, out });
    match bias {
        Some(b) => graft3(rule, x, weight, b),
        None => graft2(rule, x, weight),
    }
}

/// [`crate::ops::conv2d_input_gradient`] as a convolution of the gradient with zeros between its elements.
///
/// # Errors
/// candle's only.
pub fn conv2d_input_gradient(gy: &Tensor, weight: &Tensor, image: (usize, usize), spec: Conv2dSpec) -> Result<Tensor> {
    graft2(ToInput(Sizes { spec, image, kernel: sides(weight)?, out: sides(gy)? }), gy, weight)
}

/// [`crate::ops::conv2d_weight_gradient`] as a convolution of the images, channel by channel, with the gradient as the kernel.
///
/// # Errors
/// candle's only.
pub fn conv2d_weight_gradient(x: &Tensor, gy: &Tensor, kernel: (usize, usize), spec: Conv2dSpec) -> Result<Tensor> {
    graft2(ToWeight(Sizes { spec, image: sides(x)?, kernel, out: sides(gy)? }), x, gy)
}

/// [`crate::ops::conv_transpose2d`] as a convolution of the input with zeros between its elements.
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
    let ((h, w), (kh, kw)) = (sides(x)?, sides(weight)?);
    let whole = |len: usize, k: usize, s: usize, p: usize, d: usize, extra: usize| {
        (len - 1) * s + d * (k - 1) + extra + 1 - 2 * p
    };
    let image = (
        whole(h, kh, stride.0, padding.0, dilation.0, output_padding.0),
        whole(w, kw, stride.1, padding.1, dilation.1, output_padding.1),
    );
    let spec = Conv2dSpec { stride, padding, dilation, groups };
    let rule = ToInput(Sizes { spec, image, kernel: (kh, kw), out: (h, w) });
    match bias {
        Some(b) => graft3(rule, x, weight, b),
        None => graft2(rule, x, weight),
    }
}

/// x, w [, b] -> y.
struct Forward(Sizes);
/// gy, w [, b] -> gx [+ b].
struct ToInput(Sizes);
/// x, gy -> gw.
struct ToWeight(Sizes);

/// One number per channel, added.
fn plus(y: &Tensor, bias: &Tensor) -> Result<Tensor> {
    Ok(y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?)
}

impl Sizes {
    /// The gradients of [`Forward`] to its two factors.
    fn to_factors(self, [x, w]: [&Tensor; 2], needed: [bool; 2], g: &Tensor) -> Result<[Option<Tensor>; 2]> {
        Ok([wanted(needed[0], || graft2(ToInput(self), g, w))?, wanted(needed[1], || graft2(ToWeight(self), x, g))?])
    }

    /// Those of [`ToInput`].
    fn of_input(self, [gy, w]: [&Tensor; 2], needed: [bool; 2], u: &Tensor) -> Result<[Option<Tensor>; 2]> {
        Ok([wanted(needed[0], || graft2(Forward(self), u, w))?, wanted(needed[1], || graft2(ToWeight(self), u, gy))?])
    }
}

impl Rule<2> for Forward {
    const NAME: &'static str = "composed-conv2d";

    fn value(&self, [x, w]: [&Tensor; 2]) -> Result<Tensor> {
        self.0.forward(x, w)
    }

    fn gradients(&self, args: [&Tensor; 2], needed: [bool; 2], _: &Tensor, g: &Tensor) -> Result<[Option<Tensor>; 2]> {
        self.0.to_factors(args, needed, g)
    }
}

impl Rule<3> for Forward {
    const NAME: &'static str = "composed-conv2d-bias";

    fn value(&self, [x, w, b]: [&Tensor; 3]) -> Result<Tensor> {
        plus(&self.0.forward(x, w)?, b)
    }

    fn gradients(
        &self,
        [x, w, _]: [&Tensor; 3],
        [nx, nw, nb]: [bool; 3],
        _: &Tensor,
        g: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let [gx, gw] = self.0.to_factors([x, w], [nx, nw], g)?;
        Ok([gx, gw, wanted(nb, || channel_sum(g))?])
    }
}

impl Rule<2> for ToInput {
    const NAME: &'static str = "composed-conv2d-to-input";

    fn value(&self, [gy, w]: [&Tensor; 2]) -> Result<Tensor> {
        self.0.to_input(gy, w)
    }

    fn gradients(&self, args: [&Tensor; 2], needed: [bool; 2], _: &Tensor, u: &Tensor) -> Result<[Option<Tensor>; 2]> {
        self.0.of_input(args, needed, u)
    }
}

impl Rule<3> for ToInput {
    const NAME: &'static str = "composed-conv2d-to-input-bias";

    fn value(&self, [gy, w, b]: [&Tensor; 3]) -> Result<Tensor> {
        plus(&self.0.to_input(gy, w)?, b)
    }

    fn gradients(
        &self,
        [gy, w, _]: [&Tensor; 3],
        [ny, nw, nb]: [bool; 3],
        _: &Tensor,
        u: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let [gg, gw] = self.0.of_input([gy, w], [ny, nw], u)?;
        Ok([gg, gw, wanted(nb, || channel_sum(u))?])
    }
}

impl Rule<2> for ToWeight {
    const NAME: &'static str = "composed-conv2d-to-weight";

    fn value(&self, [x, gy]: [&Tensor; 2]) -> Result<Tensor> {
        self.0.to_weight(x, gy)
    }

    fn gradients(
        &self,
        [x, gy]: [&Tensor; 2],
        needed: [bool; 2],
        _: &Tensor,
        u: &Tensor,
    ) -> Result<[Option<Tensor>; 2]> {
        Ok([
            wanted(needed[0], || graft2(ToInput(self.0), gy, u))?,
            wanted(needed[1], || graft2(Forward(self.0), x, u))?,
        ])
    }
}

impl Sizes {
    fn forward(self, x: &Tensor, w: &Tensor) -> Result<Tensor> {
        let Conv2dSpec { stride, padding, dilation, groups } = self.spec;
        if self.depthwise(x.dim(1)?, w.dim(0)?) {
            return self.depthwise_forward(x, w);
        }
        let (x, padding) = padded(x, padding)?;
        // candle takes one dilation and one stride.
        let (w, dilation) =
            if dilation.0 == dilation.1 { (w.clone(), dilation.0) } else { (spread_both(w, dilation)?, 1) };
        let w = w.contiguous()?;
        let y = if stride.0 == stride.1 {
            x.conv2d(&w, padding, stride.0, dilation, groups)?
        } else {
            every_both(&x.conv2d(&w, padding, 1, dilation, groups)?, stride)?
        };
        self.cut(&y)
    }

    /// The first `out` rows and columns.
    fn cut(self, y: &Tensor) -> Result<Tensor> {
        Ok(y.narrow(2, 0, self.out.0)?.narrow(3, 0, self.out.1)?)
    }

    fn to_input(self, gy: &Tensor, w: &Tensor) -> Result<Tensor> {
        let Conv2dSpec { stride, padding, dilation, groups } = self.spec;
        let (kh, kw) = self.kernel;
        // (o, c/g, kh, kw) -> (c, o/g, kh, kw), turned by half a turn.
        let (o, cg) = (w.dim(0)?, w.dim(1)?);
        let mut k = w.contiguous()?.reshape((groups, o / groups, cg, kh * kw))?.transpose(1, 2)?.contiguous()?;
        if kh * kw > 1 {
            k = k.index_select(&indices((0..kh * kw).rev(), w)?, 3)?;
        }
        let k = k.reshape((groups * cg, o / groups, kh, kw))?;
        let gy = spread_both(gy, stride)?;
        // How many zeros each end gets (a negative number is cut), so that every element of the image has a window.
        let ends = |axis: usize, len: usize, d: usize, k: usize, p: usize| -> Result<(isize, isize)> {
            let reach = d * (k - 1);
            let first = reach as isize - p as isize;
            Ok((first, (len + reach) as isize - gy.dim(axis)? as isize - first))
        };
        let (above, below) = ends(2, self.image.0, dilation.0, kh, padding.0)?;
        let (left, right) = ends(3, self.image.1, dilation.1, kw, padding.1)?;
        let spec = Conv2dSpec { dilation, groups, ..Conv2dSpec::default() };
        let (gy, spec) = if above == below && left == right && above >= 0 && left >= 0 {
            (gy, Conv2dSpec { padding: (above as usize, left as usize), ..spec })
        } else {
            (fit(&fit(&gy, 2, above, below)?, 3, left, right)?, spec)
        };
        Self { spec, image: sides(&gy)?, kernel: self.kernel, out: self.image }.forward(&gy.contiguous()?, &k)
    }

    fn to_weight(self, x: &Tensor, gy: &Tensor) -> Result<Tensor> {
        let Conv2dSpec { stride, padding, dilation, groups } = self.spec;
        let (c, o) = (x.dim(1)?, gy.dim(1)?);
        if self.depthwise(c, o) {
            return self.depthwise_to_weight(x, gy);
        }
        let (x, padding) = padded(x, padding)?;
        let (gy, steps) = if stride.0 == stride.1 { (gy.clone(), stride.0) } else { (spread_both(gy, stride)?, 1) };
        let mut all = Vec::with_capacity(groups);
        for i in 0..groups {
            let part = |t: &Tensor, len: usize| t.narrow(1, i * len, len)?.transpose(0, 1)?.contiguous();
            let (x, k) = (part(&x, c / groups)?, part(&gy, o / groups)?);
            let gw = if dilation.0 == dilation.1 {
                x.conv2d(&k, padding, dilation.0, steps, 1)?
            } else {
                every_both(&x.conv2d(&k, padding, 1, steps, 1)?, dilation)?
            };
            // Rows and columns of the image that no window reached give taps beyond the kernel.
            all.push(gw.narrow(2, 0, self.kernel.0)?.narrow(3, 0, self.kernel.1)?.transpose(0, 1)?);
        }
        Ok(if groups == 1 { all.remove(0) } else { Tensor::cat(&all, 0)? }.contiguous()?)
    }

    /// Whether every channel has its own kernel: candle would take the groups one by one.
    fn depthwise(self, c: usize, o: usize) -> bool {
        self.spec.groups > 1 && self.spec.groups == c && c == o
    }

    /// For each tap of the kernel, what it meets: (N, C, OH, OW).
    fn met(self, x: &Tensor) -> Result<Vec<Tensor>> {
        let Conv2dSpec { stride, padding, dilation, .. } = self.spec;
        let x = fit(x, 2, padding.0 as isize, padding.0 as isize)?;
        let x = fit(&x, 3, padding.1 as isize, padding.1 as isize)?;
        let reach = |axis: usize, d: usize, k: usize| -> Result<usize> { Ok(x.dim(axis)? - d * (k - 1)) };
        let (rows, cols) = (reach(2, dilation.0, self.kernel.0)?, reach(3, dilation.1, self.kernel.1)?);
        let mut all = Vec::with_capacity(self.kernel.0 * self.kernel.1);
        for u in 0..self.kernel.0 {
            for v in 0..self.kernel.1 {
                let window = x.narrow(2, u * dilation.0, rows)?.narrow(3, v * dilation.1, cols)?;
                all.push(self.cut(&every_both(&window, stride)?)?);
            }
        }
        Ok(all)
    }

    fn depthwise_forward(self, x: &Tensor, w: &Tensor) -> Result<Tensor> {
        let w = w.reshape((w.dim(0)?, self.kernel.0 * self.kernel.1))?;
        let mut sum: Option<Tensor> = None;
        for (i, x) in self.met(x)?.into_iter().enumerate() {
            let part = x.broadcast_mul(&w.narrow(1, i, 1)?.reshape((1, (), 1, 1))?)?;
            sum = Some(match sum {
                Some(s) => (s + part)?,
                None => part,
            });
        }
        sum.ok_or_else(|| crate::Error::shape("conv2d weight", "a kernel of at least one tap", w.dims()))
    }

    fn depthwise_to_weight(self, x: &Tensor, gy: &Tensor) -> Result<Tensor> {
        let taps = self.met(x)?.into_iter().map(|x| channel_sum(&(x * gy)?)).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::stack(&taps, 1)?.reshape((gy.dim(1)?, 1, self.kernel.0, self.kernel.1))?)
    }
}

/// The images with unequal paddings added, and the padding that is left for candle, which adds equal ones.
fn padded(x: &Tensor, padding: (usize, usize)) -> Result<(Tensor, usize)> {
    if padding.0 == padding.1 {
        return Ok((x.contiguous()?, padding.0));
    }
    let x = fit(x, 2, padding.0 as isize, padding.0 as isize)?;
    Ok((fit(&x, 3, padding.1 as isize, padding.1 as isize)?.contiguous()?, 0))
}

/// Adds zeros at the two ends of an axis; a negative number is cut.
fn fit(x: &Tensor, axis: usize, first: isize, last: isize) -> Result<Tensor> {
    let cut = (first.min(0).unsigned_abs(), last.min(0).unsigned_abs());
    let x = if cut == (0, 0) { x.clone() } else { x.narrow(axis, cut.0, x.dim(axis)? - cut.0 - cut.1)? };
    Ok(x.pad_with_zeros(axis, first.max(0) as usize, last.max(0) as usize)?)
}

/// Elements followed by `step - 1` zeros along rows and columns, those after the last left out.
fn spread_both(x: &Tensor, steps: (usize, usize)) -> Result<Tensor> {
    let mut x = x.clone();
    for (axis, step) in [(2, steps.0), (3, steps.1)] {
        if step > 1 {
            let len = x.dim(axis)?;
            let wide = x.unsqueeze(axis + 1)?.pad_with_zeros(axis + 1, 0, step - 1)?.flatten(axis, axis + 1)?;
            x = wide.narrow(axis, 0, (len - 1) * step + 1)?;
        }
    }
    Ok(x)
}

/// Every `step`-th row and column from the first.
fn every_both(x: &Tensor, steps: (usize, usize)) -> Result<Tensor> {
    let mut x = x.clone();
    for (axis, step) in [(2, steps.0), (3, steps.1)] {
        if step > 1 {
            x = x.contiguous()?.index_select(&indices((0..x.dim(axis)?).step_by(step), &x)?, axis)?;
        }
    }
    Ok(x)
}

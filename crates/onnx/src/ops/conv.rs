//! Convolution and its transpose.

use super::window::{Along, STILL, Window, back, planar, two};
use crate::node::{Attributes, Node};
use crate::value::{Args, MOST_ELEMENTS, Run, one, within};
use candle_core::Tensor;
use sconce_tensor_core::ops::{self, Conv2dSpec, ConvTranspose2dSpec};
use sconce_tensor_core::{Error, Result};

/// The size of a kernel's window, which must be the attribute's where it is given.
fn kernel(weight: &Tensor, given: Option<&[i64]>) -> Result<Vec<usize>> {
    let k = weight.dims().get(2..).unwrap_or_default().to_vec();
    match given {
        Some(g) if g.iter().map(|v| usize::try_from(*v).unwrap_or(0)).ne(k.iter().copied()) => {
            Err(Error::value("kernel_shape", format!("{g:?}, but the weight is {:?}", weight.dims())))
        }
        _ => Ok(k),
    }
}

/// What a convolution does, apart from where its tensors come from.
struct Convolution {
    window: Window,
    groups: usize,
    shape: Option<Vec<i64>>,
}

impl Convolution {
    fn read(node: &Node, a: &Attributes<'_>) -> Result<Self> {
        node.only(1)?;
        Ok(Self {
            window: Window::read(a)?,
            groups: a.int("group", 1)?.max(0) as usize,
            shape: a.ints("kernel_shape")?,
        })
    }

    fn run(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        let (x, line) = planar(x)?;
        let k = kernel(weight, self.shape.as_deref())?;
        let along = self.window.along(&x.dims()[if line { 3 } else { 2 }..], &k)?;
        let (h, w) = two(&along, STILL)?;
        let (weight, _) = planar(weight)?;
        let (h, w) = (h.within(x.dim(2)?, weight.dim(2)?), w.within(x.dim(3)?, weight.dim(3)?));
        within(&[x.dim(1)?, x.dim(2)? + h.begin + h.end, x.dim(3)? + w.begin + w.end], MOST_ELEMENTS)?;
        let apart = h.begin != h.end || w.begin != w.end;
        let x = if apart { zeros_around(&x, h, w)? } else { x };
        let padding = if apart { (0, 0) } else { (h.begin, w.begin) };
        let spec = Conv2dSpec {
            stride: (h.stride, w.stride),
            padding,
            dilation: (h.dilation, w.dilation),
            groups: self.groups,
        };
        let convolve = if relu { ops::conv2d_relu } else { ops::conv2d };
        back(convolve(&x, &weight, bias, spec)?, line)
    }
}

/// Zeros around the last two axes.
fn zeros_around(x: &Tensor, h: Along, w: Along) -> Result<Tensor> {
    Ok(x.pad_with_zeros(2, h.begin, h.end)?.pad_with_zeros(3, w.begin, w.end)?)
}

/// `Conv`.
pub(super) fn conv(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    let f = Convolution::read(node, a)?;
    Ok(one(move |args| Ok(f.run(&args.tensor(0)?, &args.tensor(1)?, args.optional(2)?.as_ref(), false)?.into())))
}

/// `Conv` with what follows it: a batch normalisation, whose four tensors are inputs 3 to 6, and ReLU.
///
/// The normalisation is folded into the kernel: `norm(w * x + b) = (slope w) * x + (slope b + offset)`.
pub(crate) fn conv_with(node: &Node, norm: Option<&Node>, relu: bool) -> Result<Run> {
    let a = node.attributes();
    let f = Convolution::read(node, &a)?;
    a.finish()?;
    let eps = norm.map(super::norm::folded).transpose()?;
    let place = node.place();
    let run = move |args: &Args<'_>| -> Result<Tensor> {
        let (x, mut weight, mut bias) = (args.tensor(0)?, args.tensor(1)?, args.optional(2)?);
        if let Some(eps) = eps {
            let (slope, offset) = super::norm::line(args, 3, eps)?;
            let mut shape = vec![1; weight.rank()];
            shape[0] = slope.elem_count();
            weight = weight.broadcast_mul(&slope.reshape(shape)?)?;
            bias = Some(match bias {
                Some(b) => ((b * slope)? + offset)?,
                None => offset,
            });
        }
        f.run(&x, &weight, bias.as_ref(), relu)
    };
    Ok(one(move |args| run(args).map(Into::into).map_err(|e| Error::value(&place, e.to_string()))))
}

/// `ConvTranspose`.
pub(super) fn transpose(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    node.only(1)?;
    let window = Window::read(a)?;
    let groups = a.int("group", 1)?.max(0) as usize;
    let shape = a.ints("kernel_shape")?;
    let list = |name: &'static str| -> Result<Option<Vec<usize>>> {
        a.ints(name)?.map(|v| a.check(name, &v, v.len(), 0)).transpose()
    };
    let (extra, wanted) = (list("output_padding")?, list("output_shape")?);
    Ok(one(move |args| {
        let (x, line) = planar(&args.tensor(0)?)?;
        let weight = args.tensor(1)?;
        let k = kernel(&weight, shape.as_deref())?;
        let (weight, _) = planar(&weight)?;
        let image = &x.dims()[if line { 3 } else { 2 }..];
        let along = window.along(image, &k)?;
        let mut extra = extra.clone().unwrap_or_else(|| vec![0; k.len()]);
        // Output sizes that are asked for have no batch and channels, or both.
        let wanted = wanted.as_ref().map(|w| w[w.len().saturating_sub(k.len())..].to_vec());
        if extra.len() != k.len() || wanted.as_ref().is_some_and(|w| w.len() != k.len()) {
            return Err(Error::value(
                "attributes",
                format!("output_padding and output_shape must have {} axes", k.len()),
            ));
        }
        // Per axis: what is cut from the start and the end of the whole result, and what is added to its end.
        let mut cuts = Vec::new();
        for (i, at) in along.iter().enumerate() {
            let reach = |n: usize, step: usize| (n.max(1) - 1).checked_mul(step).filter(|r| *r < MOST_ELEMENTS);
            let (Some(from), Some(to)) = (reach(image[i], at.stride), reach(k[i], at.dilation)) else {
                return Err(Error::value("strides", format!("the result along axis {i} is too large")));
            };
            let mut whole = from + to + 1 + extra[i];
            let target = match (&wanted, window.same()) {
                (Some(w), _) => Some(w[i]),
                (None, Some(_)) => Some(image[i] * at.stride),
                (None, None) => None,
            };
            let (begin, end) = match target {
                None => (at.begin, at.end),
                Some(t) if t > whole => {
                    // The rest is padding of the output.
                    extra[i] += t - whole;
                    whole = t;
                    (0, 0)
                }
                Some(t) => {
                    let total = whole - t;
                    if window.same() == Some(true) {
                        (total / 2, total - total / 2)
                    } else {
                        (total - total / 2, total / 2)
                    }
                }
            };
            if begin + end >= whole {
                return Err(Error::value("pads", format!("{begin} and {end} leave nothing of {whole} along axis {i}")));
            }
            cuts.push((begin, end, whole));
        }
        let (h, w) = two(&along, STILL)?;
        let spec = ConvTranspose2dSpec {
            stride: (h.stride, w.stride),
            output_padding: two(&extra, 0)?,
            dilation: (h.dilation, w.dilation),
            groups,
            ..ConvTranspose2dSpec::default()
        };
        let (hc, wc) = two(&cuts, (0, 0, 1))?;
        within(&[weight.dim(1)?, groups, hc.2, wc.2], MOST_ELEMENTS)?;
        let bias = args.optional(2)?;
        let y = if hc.0 == hc.1 && wc.0 == wc.1 {
            ops::conv_transpose2d(&x, &weight, bias.as_ref(), ConvTranspose2dSpec { padding: (hc.0, wc.0), ..spec })?
        } else {
            let y = ops::conv_transpose2d(&x, &weight, bias.as_ref(), spec)?;
            y.narrow(2, hc.0, hc.2 - hc.0 - hc.1)?.narrow(3, wc.0, wc.2 - wc.0 - wc.1)?
        };
        Ok(back(y, line)?.into())
    }))
}

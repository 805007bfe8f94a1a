//! Windows that slide over one or two axes: what convolutions and pools share.

use crate::node::Attributes;
use candle_core::Tensor;
use sconce_tensor_core::{Error, Result};

/// Padding at the start and the end of each axis.
#[derive(Clone, Debug)]
pub(super) enum Padding {
    Given(Vec<(usize, usize)>),
    /// So that the output is the input over the stride, rounded up; the odd one at the end (or the start).
    Same {
        upper: bool,
    },
}

/// Strides, dilations and padding; an axis that is not given has 1, 1 and 0.
#[derive(Clone, Debug)]
pub(super) struct Window {
    strides: Option<Vec<usize>>,
    dilations: Option<Vec<usize>>,
    padding: Option<Padding>,
}

/// One axis of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Along {
    pub(super) stride: usize,
    pub(super) dilation: usize,
    pub(super) begin: usize,
    pub(super) end: usize,
}

impl Window {
    pub(super) fn read(a: &Attributes<'_>) -> Result<Self> {
        let list = |name: &'static str| -> Result<Option<Vec<usize>>> {
            a.ints(name)?.map(|v| a.check(name, &v, v.len(), 1)).transpose()
        };
        let (strides, dilations) = (list("strides")?, list("dilations")?);
        let pads = a.ints("pads")?;
        let padding = match a.text("auto_pad", "NOTSET")?.as_str() {
            "NOTSET" => match pads {
                None => None,
                Some(p) => {
                    let p = a.check("pads", &p, p.len() / 2 * 2, 0)?;
                    let (begin, end) = p.split_at(p.len() / 2);
                    Some(Padding::Given(begin.iter().copied().zip(end.iter().copied()).collect()))
                }
            },
            "VALID" => None,
            "SAME_UPPER" => Some(Padding::Same { upper: true }),
            "SAME_LOWER" => Some(Padding::Same { upper: false }),
            other => {
                return Err(a.error(format!("auto_pad {other:?} is not one of NOTSET, VALID, SAME_UPPER, SAME_LOWER")));
            }
        };
        Ok(Self { strides, dilations, padding })
    }

    pub(super) fn same(&self) -> Option<bool> {
        if let Some(Padding::Same { upper }) = self.padding { Some(upper) } else { None }
    }

    /// The axes of a window of some size over an image of some size.
    pub(super) fn along(&self, image: &[usize], kernel: &[usize]) -> Result<Vec<Along>> {
        let rank = image.len();
        let fits = |len: Option<usize>| len.is_none_or(|l| l == rank);
        let given = if let Some(Padding::Given(p)) = &self.padding { Some(p.len()) } else { None };
        let all =
            [self.strides.as_ref().map(Vec::len), self.dilations.as_ref().map(Vec::len), given, Some(kernel.len())];
        if !all.into_iter().all(fits) {
            let reason = format!("strides, dilations, pads and kernel must have {rank} axes each, as the image has");
            return Err(Error::value("attributes", reason));
        }
        let at = |v: &Option<Vec<usize>>, i: usize| v.as_ref().map_or(1, |v| v[i]);
        (0..rank)
            .map(|i| {
                let (stride, dilation) = (at(&self.strides, i), at(&self.dilations, i));
                let (begin, end) = match &self.padding {
                    None => (0, 0),
                    Some(Padding::Given(p)) => p[i],
                    Some(Padding::Same { upper }) => {
                        let reach = (kernel[i].max(1) - 1).saturating_mul(dilation).saturating_add(1);
                        let steps = (image[i].div_ceil(stride).max(1) - 1) * stride;
                        let total = steps.saturating_add(reach).saturating_sub(image[i]);
                        if *upper { (total / 2, total - total / 2) } else { (total - total / 2, total / 2) }
                    }
                };
                if begin.max(end) > 1 << 16 {
                    return Err(Error::value("pads", format!("{} is too large", begin.max(end))));
                }
                Ok(Along { stride, dilation, begin, end })
            })
            .collect()
    }
}

/// An image of one or two axes as one of two; a third is not supported.
pub(super) fn planar(x: &Tensor) -> Result<(Tensor, bool)> {
    match *x.dims() {
        [n, c, l] => Ok((x.reshape((n, c, 1, l))?, true)),
        [_, _, _, _] => Ok((x.clone(), false)),
        ref got => Err(Error::shape("input", "(N, C, L) or (N, C, H, W); images of three axes are not supported", got)),
    }
}

/// Puts a 1 before the sizes of one axis.
pub(super) fn two<T: Copy>(values: &[T], one: T) -> Result<(T, T)> {
    match *values {
        [a] => Ok((one, a)),
        [a, b] => Ok((a, b)),
        _ => Err(Error::value("window", "it must have one or two axes")),
    }
}

impl Along {
    /// The same for an axis of some length and a kernel: a stride beyond the image, and a dilation of one tap, mean nothing.
    pub(super) fn within(self, len: usize, kernel: usize) -> Self {
        let room = len + self.begin + self.end;
        Self { stride: self.stride.min(room.max(1)), dilation: if kernel == 1 { 1 } else { self.dilation }, ..self }
    }
}

/// An axis along which nothing moves.
pub(super) const STILL: Along = Along { stride: 1, dilation: 1, begin: 0, end: 0 };

/// The planar result as one of the input's rank.
pub(super) fn back(y: Tensor, line: bool) -> Result<Tensor> {
    Ok(if line { y.squeeze(2)? } else { y })
}

//! Batches of images on the host: one pass in parallel over examples for moves of pixels and one for changes of colour.

use crate::ops::cpu::element::Element;
use crate::ops::cpu::threads::each_run;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor, WithDType};
use rayon::prelude::*;

/// The sizes of a batch of images.
#[derive(Clone, Copy)]
pub(super) struct Dims {
    pub(super) c: usize,
    pub(super) h: usize,
    pub(super) w: usize,
}

impl Dims {
    fn pixels(self) -> usize {
        self.h * self.w
    }

    fn values(self) -> usize {
        self.c * self.pixels()
    }
}

/// The sizes of `x`, which must be (N, C, H, W) with one of `count` values of `what` for each image.
pub(super) fn dims(x: &Tensor, count: usize, what: &str) -> Result<Dims> {
    match *x.dims() {
        [n, c, h, w] if n == count => Ok(Dims { c, h, w }),
        _ => Err(Error::shape("images", format!("({count}, C, H, W), one image for each of the {what}"), x.dims())),
    }
}

fn unsupported(dtype: DType) -> Error {
    Error::Unsupported {
        what: "augmentation",
        reason: format!("images are of {dtype:?}: convert them to f32 or f64 with `to_dtype`"),
    }
}

fn host<T: WithDType>(x: &Tensor) -> Result<Vec<T>> {
    Ok(x.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?)
}

fn placed<T: WithDType>(values: Vec<T>, like: &Tensor) -> Result<Tensor> {
    Ok(Tensor::from_vec(values, like.shape(), &Device::Cpu)?.to_device(like.device())?)
}

/// Images whose pixel (row, column) of image `i` is the pixel `source(i, row, column)` of the same image, in every
/// channel, or `fill` where that is `None`. Values are copied and not computed with, so NaN and infinities stay.
pub(super) fn move_pixels(
    x: &Tensor,
    d: Dims,
    fill: f64,
    source: impl Fn(usize, usize, usize) -> Option<(usize, usize)> + Sync,
) -> Result<Tensor> {
    match x.dtype() {
        DType::F32 => moved::<f32>(x, d, fill, &source),
        DType::F64 => moved::<f64>(x, d, fill, &source),
        other => Err(unsupported(other)),
    }
}

fn moved<T: Element>(
    x: &Tensor,
    d: Dims,
    fill: f64,
    source: &(impl Fn(usize, usize, usize) -> Option<(usize, usize)> + Sync),
) -> Result<Tensor> {
    let from = host::<T>(x)?;
    let mut to = vec![T::of_f64(fill); from.len()];
    let size = d.values();
    each_run(&mut to, size, &|i, to| {
        let from = &from[i * size..i * size + to.len()];
        for row in 0..d.h {
            for column in 0..d.w {
                if let Some((r, c)) = source(i, row, column) {
                    let (at, of) = (row * d.w + column, r * d.w + c);
                    for plane in (0..d.c).map(|c| c * d.pixels()) {
                        to[plane + at] = from[plane + of];
                    }
                }
            }
        }
    });
    placed(to, x)
}

/// Images changed by `change(i, values)`, where `values` are the (C, H, W) values of image `i` in f64; the results are
/// rounded to the data type of `x` once.
///
/// # Errors
/// [`Error::Shape`] where C is neither 1 nor 3; [`Error::Value`] where a value is not in [0, 1], with the first such value and its place.
pub(super) fn map_colours(
    x: &Tensor,
    d: Dims,
    what: &str,
    change: impl Fn(usize, &mut [f64]) + Sync,
) -> Result<Tensor> {
    if d.c != 1 && d.c != 3 {
        return Err(Error::shape(format!("images of {what}"), "(N, 1, H, W) or (N, 3, H, W)", x.dims()));
    }
    match x.dtype() {
        DType::F32 => coloured::<f32>(x, d, what, &change),
        DType::F64 => coloured::<f64>(x, d, what, &change),
        other => Err(unsupported(other)),
    }
}

fn coloured<T: Element>(
    x: &Tensor,
    d: Dims,
    what: &str,
    change: &(dyn Fn(usize, &mut [f64]) + Sync),
) -> Result<Tensor> {
    let mut values = host::<T>(x)?;
    if let Some(at) = values.par_iter().position_first(|v| !(0.0..=1.0).contains(&v.as_f64())) {
        let (i, rest) = (at / d.values(), at % d.values());
        let place = [i, rest / d.pixels(), rest % d.pixels() / d.w, rest % d.w];
        let reason = format!("value {} at {place:?} is outside [0, 1]: change colours before normalising", values[at]);
        return Err(Error::value(format!("images of {what}"), reason));
    }
    each_run(&mut values, d.values(), &|i, image| {
        let mut wide: Vec<f64> = image.iter().map(|v| v.as_f64()).collect();
        change(i, &mut wide);
        image.iter_mut().zip(&wide).for_each(|(v, w)| *v = T::of_f64(*w));
    });
    placed(values, x)
}

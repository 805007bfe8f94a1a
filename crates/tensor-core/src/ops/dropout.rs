//! Dropout with seeded masks.

use super::cpu::elementwise;
use super::cpu::math::Math;
use super::kernel::{Kernel, apply2};
use super::own_kernels;
use crate::{Error, ExampleRng, Result, Rng, error::require};
use candle_core::{DType, Device, Shape, Tensor};

fn check(p: f64) -> Result<()> {
    require("dropout p", (0.0..1.0).contains(&p), "in [0, 1)", p)
}

/// Sets each element to 0 with probability `p` and divides the others by `1 - p` (inverted dropout). Row i of the
/// batch draws from the stream of its example, so its mask does not depend on the batch.
///
/// Differentiable in `x`: the mask is a constant.
///
/// # Shapes
/// (N, ...) -> the same; `rng` has N rows.
///
/// # Errors
/// A `p` outside [0, 1), or another number of rows.
pub fn dropout(x: &Tensor, p: f64, rng: &ExampleRng) -> Result<Tensor> {
    check(p)?;
    if x.rank() == 0 || x.dim(0)? != rng.examples().len() {
        return Err(crate::Error::shape("dropout input", format!("({}, ...)", rng.examples().len()), x.dims()));
    }
    if p == 0.0 {
        return Ok(x.clone());
    }
    let u = rng.uniform(&x.dims()[1..], 0.0..1.0, DType::F64, &Device::Cpu)?;
    Ok((x * keep(&u, p, x.dtype(), x.device())?)?)
}

/// A mask for [`lstm`](super::lstm) or any product: `1 / (1 - p)` with probability `1 - p`, otherwise 0. One mask for all
/// steps of a sequence is variational dropout (Gal and Ghahramani 2016).
///
/// # Errors
/// A `p` outside [0, 1).
pub fn dropout_mask(shape: &[usize], p: f64, rng: &Rng, dtype: DType, device: &Device) -> Result<Tensor> {
    check(p)?;
    Ok(Tensor::from_vec(rng.keeps(shape.iter().product(), p), shape, &Device::Cpu)?
        .to_dtype(dtype)?
        .to_device(device)?)
}

/// `x` times a constant mask that is repeated over the leading axes: one mask for all steps of a sequence.
///
/// Differentiable in `x`, twice.
///
/// # Shapes
/// `x` (..., S), `mask` S, the last axes of `x` -> the shape of `x`.
///
/// # Errors
/// Shapes that do not fit.
pub fn masked(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    if !x.dims().ends_with(mask.dims()) || mask.elem_count() == 0 {
        return Err(Error::shape("mask", format!("the last axes of {:?}", x.dims()), mask.dims()));
    }
    if own_kernels(x) {
        return Ok(apply2(Masked, x, &mask.detach())?);
    }
    Ok(x.broadcast_mul(&mask.detach())?)
}

/// x, mask -> x mask.
struct Masked;

impl Kernel<2> for Masked {
    const NAME: &'static str = "sconce-masked";

    fn forward<T: Math>(&self, [x, m]: [&[T]; 2], [shape, _]: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((elementwise::times_repeated(x, m), shape.clone()))
    }

    fn backward(&self, [_, m]: [&Tensor; 2], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        Ok([Some(apply2(Self, g, m)?), None])
    }
}

fn keep(u: &Tensor, p: f64, dtype: DType, device: &Device) -> Result<Tensor> {
    let on = u.ge(p)?.to_dtype(DType::F64)?;
    Ok((on * (1.0 / (1.0 - p)))?.to_dtype(dtype)?.to_device(device)?)
}

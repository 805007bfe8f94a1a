//! An optimizer's update on any device.

use crate::Result;
use crate::ops::in_place::{Update, update};
use crate::ops::own_kernels;
use candle_core::{Device, Tensor};

/// `to = f(to, a, b)`: in place on the CPU; on other devices and for other types over the host, in f64.
pub(super) fn apply(to: &Tensor, a: &Tensor, b: &Tensor, f: &impl Update) -> Result<()> {
    if own_kernels(to) {
        return Ok(update(to, a, b, f)?);
    }
    let host = |t: &Tensor| t.to_device(&Device::Cpu)?.to_dtype(candle_core::DType::F64)?.contiguous();
    let (mine, a, b) = (host(to)?.copy()?, host(a)?, host(b)?);
    update(&mine, &a, &b, f)?;
    // Every optimizer's tensors are variables' storage or its own state.
    to.flatten_all()?.slice_set(&mine.to_dtype(to.dtype())?.to_device(to.device())?.flatten_all()?, 0, 0)?;
    Ok(())
}

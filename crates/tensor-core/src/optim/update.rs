//! An optimizer's update on any device.

use crate::Result;
use crate::ops::in_place::{Update, update};
use crate::ops::own_kernels;
use candle_core::{DType, Tensor};

/// `to = f(to, a, b)`: by a kernel on the CPU; on other devices of candle's operations there, and for types of 16 bits in f32.
pub(super) fn apply(to: &Tensor, a: &Tensor, b: &Tensor, f: &impl Update) -> Result<()> {
    if own_kernels(to) {
        return Ok(update(to, a, b, f)?);
    }
    let wide = if to.dtype().size_in_bytes() < 4 { DType::F32 } else { to.dtype() };
    let place = |t: &Tensor| t.detach().to_dtype(wide);
    let new = f.of_tensors(&place(to)?, &place(a)?, &place(b)?)?.to_dtype(to.dtype())?;
    // Every optimizer's tensors are variables' storage or its own state.
    to.flatten_all()?.slice_set(&new.flatten_all()?, 0, 0)?;
    Ok(())
}

/// Panics unless an update of tensors is that of the kernel.
#[cfg(test)]
pub(super) fn assert_one_formula(f: &impl Update) {
    let draw =
        |seed: u64| crate::Rng::new(seed).uniform((7, 5), 0.1..1.0, DType::F64, &candle_core::Device::Cpu).unwrap();
    let (to, a, b) = (draw(1), draw(2), draw(3));
    let by_tensors = f.of_tensors(&to, &a, &b).unwrap();
    update(&to, &a, &b, f).unwrap();
    let far = (by_tensors - &to).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
    assert!(far < 1e-14, "{far}");
}

//! Updates of a tensor in place, for optimizers. They allocate no memory and do not enter the graph.

use super::cpu::element::{Element, dispatch};
use super::cpu::math::vectorized;
use super::cpu::threads::each_run;
use super::own_kernels;
use candle_core::{CpuStorage, DType, InplaceOp3, Layout, Result, Tensor, WithDType};

/// `to = f(to, a, b)`, element by element.
pub(crate) trait Update: Sync {
    fn apply<T: Element>(&self, to: &mut [T], a: &[T], b: &[T]);

    /// `f(to, a, b)` as a new tensor, on any device.
    fn of_tensors(&self, to: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor>;
}

/// Elements that one task handles.
const RUN: usize = 1 << 15;

/// Applies an update on the CPU, on all threads; all three are contiguous and of one shape.
fn update(to: &Tensor, a: &Tensor, b: &Tensor, f: &impl Update) -> Result<()> {
    to.inplace_op3(&a.contiguous()?, &b.contiguous()?, &Op(f))
}

/// `to = f(to, a, b)`: by a kernel on the CPU; on other devices of candle's operations there, and for types of 16 bits in f32.
pub(crate) fn apply(to: &Tensor, a: &Tensor, b: &Tensor, f: &impl Update) -> crate::Result<()> {
    if own_kernels(to) {
        return Ok(update(to, a, b, f)?);
    }
    let wide = if to.dtype().size_in_bytes() < 4 { DType::F32 } else { to.dtype() };
    let place = |t: &Tensor| t.detach().to_dtype(wide);
    let new = f.of_tensors(&place(to)?, &place(a)?, &place(b)?)?.to_dtype(to.dtype())?;
    // It is a variable's storage, or the caller's own.
    to.flatten_all()?.slice_set(&new.flatten_all()?, 0, 0)?;
    Ok(())
}

struct Op<'a, F>(&'a F);

impl<F: Update> InplaceOp3 for Op<'_, F> {
    fn name(&self) -> &'static str {
        "sconce-update"
    }

    fn cpu_fwd(
        &self,
        to: &mut CpuStorage,
        tl: &Layout,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<()> {
        dispatch!(a, "update", T => {
            let (a, b) = (T::slice(a, al)?, T::slice(b, bl)?);
            let Some((from, end)) = tl.contiguous_offsets() else { candle_core::bail!("update of a view") };
            let to = T::slice_mut(to)?.get_mut(from..end).unwrap_or_default();
            if to.len() != a.len() || to.len() != b.len() {
                candle_core::bail!("update: {}, {} and {} elements", to.len(), a.len(), b.len());
            }
            each_run(to, RUN, &|i, to| {
                let at = i * RUN..i * RUN + to.len();
                let (a, b) = (&a[at.clone()], &b[at]);
                vectorized(
                    #[inline(always)]
                    || self.0.apply(to, a, b),
                );
            });
            Ok(())
        })
    }
}

/// The storage's elements.
trait SliceMut: WithDType {
    fn slice_mut(s: &mut CpuStorage) -> Result<&mut [Self]>;
}

impl SliceMut for f32 {
    fn slice_mut(s: &mut CpuStorage) -> Result<&mut [Self]> {
        match s {
            CpuStorage::F32(v) => Ok(v),
            _ => candle_core::bail!("update: two types"),
        }
    }
}

impl SliceMut for f64 {
    fn slice_mut(s: &mut CpuStorage) -> Result<&mut [Self]> {
        match s {
            CpuStorage::F64(v) => Ok(v),
            _ => candle_core::bail!("update: two types"),
        }
    }
}

/// Panics unless an update of tensors is that of the kernel.
#[cfg(test)]
pub(crate) fn assert_one_formula(f: &impl Update) {
    let draw =
        |seed: u64| crate::Rng::new(seed).uniform((7, 5), 0.1..1.0, DType::F64, &candle_core::Device::Cpu).unwrap();
    let (to, a, b) = (draw(1), draw(2), draw(3));
    let by_tensors = f.of_tensors(&to, &a, &b).unwrap();
    update(&to, &a, &b, f).unwrap();
    let far = (by_tensors - &to).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
    assert!(far < 1e-14, "{far}");
}

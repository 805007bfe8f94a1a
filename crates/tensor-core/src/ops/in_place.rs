//! Updates of a tensor in place, for optimizers. They allocate no memory and do not enter the graph.

use super::cpu::element::{Element, dispatch};
use super::cpu::math::vectorized;
use super::cpu::threads::each_run;
use candle_core::{CpuStorage, InplaceOp3, Layout, Result, Tensor, WithDType};

/// `to = f(to, a, b)`, element by element.
pub(crate) trait Update: Sync {
    fn apply<T: Element>(&self, to: &mut [T], a: &[T], b: &[T]);

    /// `f(to, a, b)` as a new tensor, on any device.
    fn of_tensors(&self, to: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor>;
}

/// Elements that one task handles.
const RUN: usize = 1 << 15;

/// Applies an update on the CPU, on all threads; all three are contiguous and of one shape.
pub(crate) fn update(to: &Tensor, a: &Tensor, b: &Tensor, f: &impl Update) -> Result<()> {
    to.inplace_op3(&a.contiguous()?, &b.contiguous()?, &Op(f))
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

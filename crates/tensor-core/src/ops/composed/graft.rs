//! Operations whose values candle computes outside of its graph and whose gradients this crate composes.
//!
//! candle's backward pass of a convolution computes the gradients to both factors, also where only one is asked for, and that of a
//! normalisation is many times as many operations as its formula needs. A [`Rule`] stands in candle's graph as one operation.

use super::super::tape;
use crate::Result;
use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, MetalStorage, Shape, Storage, Tensor,
};
use std::sync::{Mutex, PoisonError};

/// An operation on `N` tensors of any device and type.
pub(super) trait Rule<const N: usize>: Send + Sync + 'static {
    /// The name in messages.
    const NAME: &'static str;

    /// The result, from arguments without a graph.
    fn value(&self, args: [&Tensor; N]) -> Result<Tensor>;

    /// The gradients to those arguments that need one ([`wanted`]), from the result and the gradient to it.
    fn gradients(&self, args: [&Tensor; N], needed: [bool; N], y: &Tensor, g: &Tensor) -> Result<[Option<Tensor>; N]>;
}

/// `Some(f())` if the gradient to `arg` is needed.
pub(super) fn wanted(needed: bool, f: impl FnOnce() -> Result<Tensor>) -> Result<Option<Tensor>> {
    if needed { f().map(Some) } else { Ok(None) }
}

/// The value of a rule, contiguous from the start of its own storage.
fn computed<const N: usize, R: Rule<N>>(rule: &R, args: [&Tensor; N]) -> Result<Tensor> {
    let own = args.map(Tensor::detach);
    let y = rule.value(own.each_ref())?.detach().contiguous()?;
    Ok(if y.layout().start_offset() == 0 { y } else { y.force_contiguous()? })
}

/// Applies a rule to one tensor.
pub(super) fn graft1(rule: impl Rule<1>, a: &Tensor) -> Result<Tensor> {
    let y = computed(&rule, [a])?;
    Ok(if a.track_op() { a.apply_op1(Graft::new(rule, [a], y))? } else { y })
}

/// Applies a rule to two tensors.
pub(super) fn graft2(rule: impl Rule<2>, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let y = computed(&rule, [a, b])?;
    let graph = a.track_op() || b.track_op();
    Ok(if graph { a.apply_op2(b, Graft::new(rule, [a, b], y))? } else { y })
}

/// Applies a rule to three tensors.
pub(super) fn graft3(rule: impl Rule<3>, a: &Tensor, b: &Tensor, c: &Tensor) -> Result<Tensor> {
    let y = computed(&rule, [a, b, c])?;
    let graph = [a, b, c].iter().any(|t| t.track_op());
    Ok(if graph { a.apply_op3(b, c, Graft::new(rule, [a, b, c], y))? } else { y })
}

/// A rule with its value, until candle takes the value over.
struct Graft<const N: usize, R> {
    rule: R,
    needed: [bool; N],
    value: Mutex<Option<Tensor>>,
}

impl<const N: usize, R: Rule<N>> Graft<N, R> {
    fn new(rule: R, args: [&Tensor; N], y: Tensor) -> Self {
        Self { rule, needed: args.map(Tensor::track_op), value: Mutex::new(Some(y)) }
    }

    fn take(&self) -> candle_core::Result<Tensor> {
        match self.value.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(y) => Ok(y),
            None => candle_core::bail!("{}: computed twice", R::NAME),
        }
    }

    fn on_cpu(&self) -> candle_core::Result<(CpuStorage, Shape)> {
        let y = self.take()?;
        let (storage, layout) = y.storage_and_layout();
        let Storage::Cpu(s) = &*storage else { candle_core::bail!("{}: not a CPU tensor", R::NAME) };
        Ok((s.try_clone(layout)?, y.shape().clone()))
    }

    fn on_cuda(&self) -> candle_core::Result<(CudaStorage, Shape)> {
        let y = self.take()?;
        let (storage, layout) = y.storage_and_layout();
        let Storage::Cuda(s) = &*storage else { candle_core::bail!("{}: not a CUDA tensor", R::NAME) };
        Ok((s.try_clone(layout)?, y.shape().clone()))
    }

    fn on_metal(&self) -> candle_core::Result<(MetalStorage, Shape)> {
        let y = self.take()?;
        let (storage, layout) = y.storage_and_layout();
        let Storage::Metal(s) = &*storage else { candle_core::bail!("{}: not a Metal tensor", R::NAME) };
        Ok((s.try_clone(layout)?, y.shape().clone()))
    }

    fn back(&self, args: [&Tensor; N], y: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; N]> {
        // Arguments without a graph: the gradients then build none either.
        let again = tape::differentiates_again()?;
        let own = args.map(|a| if again { a.clone() } else { a.detach() });
        let g = g.contiguous()?;
        self.rule.gradients(own.each_ref(), self.needed, y, &g).map_err(candle_core::Error::wrap)
    }
}

impl<R: Rule<1>> CustomOp1 for Graft<1, R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn metal_fwd(&self, _: &MetalStorage, _: &Layout) -> candle_core::Result<(MetalStorage, Shape)> {
        self.on_metal()
    }

    fn bwd(&self, a: &Tensor, y: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        self.back([a], y, g).map(|[a]| a)
    }
}

impl<R: Rule<2>> CustomOp2 for Graft<2, R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> candle_core::Result<(MetalStorage, Shape)> {
        self.on_metal()
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        y: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        self.back([a, b], y, g).map(Into::into)
    }
}

type Three = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl<R: Rule<3>> CustomOp3 for Graft<3, R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> candle_core::Result<(MetalStorage, Shape)> {
        self.on_metal()
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, c: &Tensor, y: &Tensor, g: &Tensor) -> candle_core::Result<Three> {
        self.back([a, b, c], y, g).map(Into::into)
    }
}

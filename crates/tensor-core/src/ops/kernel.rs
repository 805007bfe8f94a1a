//! From a kernel on slices to a differentiable operation: what candle's three `CustomOp` traits share.

use super::cpu::element::{Element, dispatch};
use super::cpu::math::Math;
use std::any::Any;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, WithDType};

/// An operation on `N` tensors: its kernel on the CPU, and its derivative in operations of this crate.
pub(super) trait Kernel<const N: usize>: Send + Sync + 'static {
    /// The name in candle's messages.
    const NAME: &'static str;

    /// The result from the arguments' elements, all contiguous, and their shapes.
    fn forward<T: Math>(&self, args: [&[T]; N], shapes: [&Shape; N]) -> Result<(Vec<T>, Shape)>;

    /// The gradients to the arguments, those that are [`wanted`], from the gradient `g` to the result.
    fn backward(&self, args: [&Tensor; N], result: &Tensor, g: &Tensor) -> Result<[Option<Tensor>; N]>;
}

/// What a forward kernel keeps for its backward pass: one value, of whatever type it put.
#[derive(Default)]
pub(super) struct Stash(OnceLock<Box<dyn Any + Send + Sync>>);

impl Stash {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Keeps a value; an op runs forward once.
    pub(super) fn put<V: Any + Send + Sync>(&self, value: V) {
        let _ = self.0.set(Box::new(value));
    }

    /// Gives the value to `f`.
    pub(super) fn with<V: Any, R>(&self, f: impl FnOnce(&V) -> R) -> Result<R> {
        match self.0.get().and_then(|v| v.downcast_ref()) {
            Some(v) => Ok(f(v)),
            None => candle_core::bail!("a backward kernel ran before its forward kernel, or in another type"),
        }
    }
}

/// `Some(f())` where the gradient to `arg` is wanted: where it is a variable or depends on one.
pub(super) fn wanted(arg: &Tensor, f: impl FnOnce() -> Result<Tensor>) -> Result<Option<Tensor>> {
    if arg.track_op() { f().map(Some) } else { Ok(None) }
}

/// Applies a kernel to one tensor.
pub(super) fn apply1(k: impl Kernel<1>, a: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op1(Op(k))
}

/// Applies a kernel to two tensors.
pub(super) fn apply2(k: impl Kernel<2>, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op2(&b.contiguous()?, Op(k))
}

/// Applies a kernel to three tensors.
pub(super) fn apply3(k: impl Kernel<3>, a: &Tensor, b: &Tensor, c: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op3(&b.contiguous()?, &c.contiguous()?, Op(k))
}

/// candle's view of a kernel.
struct Op<K>(K);

fn forward<const N: usize, K: Kernel<N>>(
    k: &K,
    storages: [&CpuStorage; N],
    layouts: [&Layout; N],
) -> Result<(CpuStorage, Shape)> {
    dispatch!(storages[0], K::NAME, T => {
        let mut args: [&[T]; N] = [&[]; N];
        for (arg, (s, l)) in args.iter_mut().zip(storages.into_iter().zip(layouts)) {
            *arg = T::slice(s, l)?;
        }
        let (out, shape) = k.forward(args, layouts.map(Layout::shape))?;
        Ok((T::to_cpu_storage_owned(out), shape))
    })
}

impl<K: Kernel<1>> CustomOp1 for Op<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        forward(&self.0, [s], [l])
    }

    fn bwd(&self, a: &Tensor, y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let [ga] = self.0.backward([a], y, &g.contiguous()?)?;
        Ok(ga)
    }
}

impl<K: Kernel<2>> CustomOp2 for Op<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(&self, a: &CpuStorage, al: &Layout, b: &CpuStorage, bl: &Layout) -> Result<(CpuStorage, Shape)> {
        forward(&self.0, [a, b], [al, bl])
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, y: &Tensor, g: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [ga, gb] = self.0.backward([a, b], y, &g.contiguous()?)?;
        Ok((ga, gb))
    }
}

type Three = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl<K: Kernel<3>> CustomOp3 for Op<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
        c: &CpuStorage,
        cl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        forward(&self.0, [a, b, c], [al, bl, cl])
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, c: &Tensor, y: &Tensor, g: &Tensor) -> Result<Three> {
        let [ga, gb, gc] = self.0.backward([a, b, c], y, &g.contiguous()?)?;
        Ok((ga, gb, gc))
    }
}

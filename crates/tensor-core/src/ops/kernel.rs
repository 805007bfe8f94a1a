//! Makes a differentiable operation from a kernel on slices.

use super::cpu::element::{Element, dispatch};
use super::cpu::math::Math;
use super::tape::{self, Node, Step};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor, WithDType};
use std::any::Any;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// An operation on `N` tensors: its kernel on the CPU, and its derivative in operations of this crate.
pub(super) trait Kernel<const N: usize>: Send + Sync + 'static {
    /// The name in messages.
    const NAME: &'static str;

    /// The result from the arguments' elements, all contiguous, and their shapes.
    fn forward<T: Math>(&self, args: [&[T]; N], shapes: [&Shape; N]) -> Result<(Vec<T>, Shape)>;

    /// The gradients to those arguments that need one ([`wanted`]), from the gradient `g` to the result.
    fn backward(&self, args: [&Tensor; N], result: &Tensor, g: &Tensor) -> Result<[Option<Tensor>; N]>;
}

/// What a forward kernel keeps for its backward pass: one value of any type.
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

/// `Some(f())` if the gradient to `arg` is needed, that is if `arg` is a variable or depends on one.
pub(super) fn wanted(arg: &Tensor, f: impl FnOnce() -> Result<Tensor>) -> Result<Option<Tensor>> {
    if arg.track_op() { f().map(Some) } else { Ok(None) }
}

/// Applies a kernel to one tensor.
pub(super) fn apply1(k: impl Kernel<1>, a: &Tensor) -> Result<Tensor> {
    apply(k, [a])
}

/// Applies a kernel to two tensors.
pub(super) fn apply2(k: impl Kernel<2>, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    apply(k, [a, b])
}

/// Applies a kernel to three tensors.
pub(super) fn apply3(k: impl Kernel<3>, a: &Tensor, b: &Tensor, c: &Tensor) -> Result<Tensor> {
    apply(k, [a, b, c])
}

/// Applies a kernel to `N` tensors, of which at most three depend on variables.
pub(super) fn apply<const N: usize>(kernel: impl Kernel<N>, args: [&Tensor; N]) -> Result<Tensor> {
    let mut own = args.map(Clone::clone);
    settle(&mut own)?;
    run(Arc::new(Applied { kernel, args: own }))
}

/// Makes tensors contiguous.
fn settle(args: &mut [Tensor]) -> Result<()> {
    for a in args {
        *a = a.contiguous()?;
    }
    Ok(())
}

/// Puts a step on the tape, or only computes it where no gradient is wanted.
fn run(step: Arc<dyn Step>) -> Result<Tensor> {
    let args = step.args();
    match args.first() {
        Some(first) if tape::paused() || !args.iter().any(Tensor::track_op) => first.apply_op1_no_bwd(&Compute(&*step)),
        _ => Node::new(step).emit(),
    }
}

/// A kernel with its arguments.
struct Applied<const N: usize, K> {
    kernel: K,
    args: [Tensor; N],
}

impl<const N: usize, K: Kernel<N>> Step for Applied<N, K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn args(&self) -> &[Tensor] {
        &self.args
    }

    fn compute(&self) -> Result<(CpuStorage, Shape)> {
        let held: Vec<_> = self.args.iter().map(Tensor::storage_and_layout).collect();
        let parts = on_cpu(&held, K::NAME)?;
        let shapes = std::array::from_fn(|i| parts[i].1.shape());
        dispatch!(parts[0].0, K::NAME, T => {
            let (out, shape) = self.kernel.forward(slices::<T, N>(&parts)?, shapes)?;
            Ok((T::to_cpu_storage_owned(out), shape))
        })
    }

    fn gradients(&self, y: &Tensor, g: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(self.kernel.backward(self.args.each_ref(), y, &g.contiguous()?)?.into())
    }
}

/// The storages on the CPU, each with a tensor's place in it.
fn on_cpu<'a, S: Deref<Target = Storage>>(
    held: &'a [(S, &Layout)],
    name: &str,
) -> Result<Vec<(&'a CpuStorage, &'a Layout)>> {
    held.iter()
        .map(|(s, l)| match &**s {
            Storage::Cpu(s) => Ok((s, *l)),
            _ => candle_core::bail!("{name}: not a CPU tensor"),
        })
        .collect()
}

/// The elements of `N` contiguous tensors.
fn slices<'a, T: Element, const N: usize>(parts: &[(&'a CpuStorage, &Layout)]) -> Result<[&'a [T]; N]> {
    let mut args: [&[T]; N] = [&[]; N];
    for (arg, (s, l)) in args.iter_mut().zip(parts) {
        *arg = T::slice(s, l)?;
    }
    Ok(args)
}

/// A step as an op without a derivative.
struct Compute<'a>(&'a dyn Step);

impl CustomOp1 for Compute<'_> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        tape::aside(|| self.0.compute())
    }
}

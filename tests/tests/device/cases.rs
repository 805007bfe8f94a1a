//! The operations with arguments of several shapes.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::Rng;

type Op = Box<dyn Fn(&[Tensor]) -> Result<Tensor>>;

/// An operation with its arguments on the CPU; the first `differentiable` of them get gradients.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) args: Vec<Tensor>,
    pub(crate) differentiable: usize,
    pub(crate) op: Op,
}

/// Normals of a seed that is the shape's.
pub(crate) fn normal(shape: &[usize]) -> Tensor {
    let rng = Rng::new(shape.iter().fold(7, |h, d| h * 31 + *d as u64));
    rng.normal(shape, 0.0, 1.0, DType::F32, &Device::Cpu).unwrap()
}

/// Normals in f32 that f16 has too.
pub(crate) fn half(shape: &[usize]) -> Tensor {
    normal(shape).to_dtype(DType::F16).unwrap().to_dtype(DType::F32).unwrap()
}

/// Integers below a bound.
pub(crate) fn below(n: usize, bound: u64) -> Tensor {
    Tensor::from_iter(Rng::new(3).below(n, bound).into_iter().map(|v| v as u32), &Device::Cpu).unwrap()
}

/// A case whose float arguments are all differentiable.
pub(crate) fn case(
    name: impl Into<String>,
    args: Vec<Tensor>,
    op: impl Fn(&[Tensor]) -> Result<Tensor> + 'static,
) -> Case {
    let differentiable = args.iter().take_while(|a| a.dtype().is_float()).count();
    Case { name: name.into(), args, differentiable, op: Box::new(op) }
}

/// The same with fewer differentiable arguments.
pub(crate) fn of_first(n: usize, case: Case) -> Case {
    Case { differentiable: n, ..case }
}

/// Several results as one.
pub(crate) fn joined(parts: &[&Tensor]) -> Result<Tensor> {
    let flat = parts.iter().map(|t| t.flatten_all()).collect::<candle_core::Result<Vec<_>>>()?;
    Ok(Tensor::cat(&flat, 0)?)
}

//! Tensors that change in place, as methods with updates of their own need it. They stand outside of every graph.

use super::cpu::element::Element;
use super::in_place::{Elementwise, apply};
use crate::{Error, Result};
use candle_core::Tensor;

/// `to <- to + scale a b`, element by element, in one pass (PyTorch's `addcmul_`). Everything that shares the memory of `to` changes with it.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use sconce_tensor_core::ops::addcmul_in_place;
/// let sum = Tensor::new(&[1f32, 2.0], &Device::Cpu)?;
/// let x = Tensor::new(&[3f32, 4.0], &Device::Cpu)?;
/// addcmul_in_place(&sum, &x, &x, 0.5)?;
/// assert_eq!(sum.to_vec1::<f32>()?, [5.5, 10.0]);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
///
/// # Shapes
/// All of one shape and type; `to` is contiguous, and shares no memory with the others.
///
/// # Errors
/// Shapes that differ; a `to` that is not contiguous or shares its memory; with the CPU's kernels also types that differ.
pub fn addcmul_in_place(to: &Tensor, a: &Tensor, b: &Tensor, scale: f64) -> Result<()> {
    fits("addcmul_in_place", to, [a, b])?;
    apply([to], [&a.detach(), &b.detach()], &AddProduct(scale))
}

/// `to <- to + share (end - to)`, element by element, in one pass (PyTorch's `lerp_`). Everything that shares the memory of `to` changes with
/// it.
///
/// # Shapes
/// All of one shape and type; `to` is contiguous, and shares no memory with the others.
///
/// # Errors
/// Shapes that differ; a `to` that is not contiguous or shares its memory; with the CPU's kernels also types that differ.
pub fn lerp_in_place(to: &Tensor, end: &Tensor, share: &Tensor) -> Result<()> {
    fits("lerp_in_place", to, [end, share])?;
    apply([to], [&end.detach(), &share.detach()], &Toward)
}

fn fits(what: &str, to: &Tensor, others: [&Tensor; 2]) -> Result<()> {
    match others.into_iter().find(|t| t.dims() != to.dims()) {
        Some(other) => Err(Error::shape(what, format!("{:?}, as of what changes", to.dims()), other.dims())),
        None if !to.is_contiguous() => Err(Error::value(what, "what changes must be contiguous: pass a copy")),
        None => Ok(()),
    }
}

/// `to + scale a b`.
struct AddProduct(f64);

impl Elementwise<1, 2> for AddProduct {
    #[inline(always)]
    fn apply<T: Element>(&self, [to]: [&mut [T]; 1], [a, b]: [&[T]; 2]) {
        let scale = T::of_f64(self.0);
        for (to, (a, b)) in to.iter_mut().zip(a.iter().zip(b)) {
            *to += scale * (*a * *b);
        }
    }

    fn of_tensors(&self, [to]: [&Tensor; 1], [a, b]: [&Tensor; 2]) -> candle_core::Result<[Tensor; 1]> {
        Ok([(to + (a * b)?.affine(self.0, 0.0)?)?])
    }
}

/// `to + share (end - to)`.
struct Toward;

impl Elementwise<1, 2> for Toward {
    #[inline(always)]
    fn apply<T: Element>(&self, [to]: [&mut [T]; 1], [end, share]: [&[T]; 2]) {
        for (to, (end, share)) in to.iter_mut().zip(end.iter().zip(share)) {
            *to += *share * (*end - *to);
        }
    }

    fn of_tensors(&self, [to]: [&Tensor; 1], [end, share]: [&Tensor; 2]) -> candle_core::Result<[Tensor; 1]> {
        Ok([(to + (share * (end - to)?)?)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::in_place::assert_one_formula;
    use candle_core::{DType, Device, Var};

    #[test]
    fn updates_of_tensors() {
        assert_one_formula(&AddProduct(-0.3));
        assert_one_formula(&Toward);
    }

    #[test]
    fn a_variable_changes_and_no_graph_grows() -> Result<()> {
        let w = Var::new(&[1f32, 2.0], &Device::Cpu)?;
        let (end, share) = (Tensor::new(&[5f32, 2.0], &Device::Cpu)?, Var::new(&[0.25f32, 1.0], &Device::Cpu)?);
        lerp_in_place(&w.as_detached_tensor(), &end, &share)?;
        assert_eq!(w.to_vec1::<f32>()?, [2.0, 2.0]);
        addcmul_in_place(&w.as_detached_tensor(), &share, &end, -1.0)?;
        assert_eq!(w.to_vec1::<f32>()?, [0.75, 0.0]);
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_refused() -> Result<()> {
        let of = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
        let (square, row) = (of(&[2, 2])?, of(&[2])?);
        assert!(addcmul_in_place(&square, &square.copy()?, &row, 1.0).is_err());
        assert!(lerp_in_place(&square, &row, &square.copy()?).is_err());
        let turned = of(&[2, 3])?.t()?;
        let e = lerp_in_place(&turned, &turned.copy()?, &turned.copy()?).unwrap_err().to_string();
        assert!(e.contains("contiguous"), "{e}");
        Ok(())
    }
}

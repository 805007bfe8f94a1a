//! Sums of tensors with weights, as methods take them of gradients.

use super::cpu::element::Element;
use super::in_place::{Elementwise, apply};
use crate::{Error, Result};
use candle_core::Tensor;

/// `sum_i weights[i] tensors[i]`, added up in this order, without a graph.
///
/// # Shapes
/// All of one shape; the result has the same.
///
/// # Errors
/// No tensors, another number of weights, shapes or types that differ.
pub fn weighted_sum(tensors: &[&Tensor], weights: &[f64]) -> Result<Tensor> {
    let Some(first) = tensors.first() else { return Err(Error::value("weighted sum", "of no tensors")) };
    if tensors.len() != weights.len() {
        let (t, w) = (tensors.len(), weights.len());
        return Err(Error::value("weighted sum", format!("of {t} tensors with {w} weights: pass one for each")));
    }
    if let Some(other) = tensors.iter().find(|t| t.dims() != first.dims()) {
        return Err(Error::shape("weighted sum", format!("{:?}, as of the first", first.dims()), other.dims()));
    }
    let sum = first.detach().zeros_like()?;
    for (tensor, weight) in tensors.iter().zip(weights) {
        let tensor = tensor.detach();
        apply([&sum], [&tensor], &Add(*weight))?;
    }
    Ok(sum)
}

/// `sum <- sum + weight x`.
struct Add(f64);

impl Elementwise<1> for Add {
    #[inline(always)]
    fn apply<T: Element>(&self, [sum]: [&mut [T]; 1], [x]: [&[T]; 1]) {
        let weight = T::of_f64(self.0);
        for (s, x) in sum.iter_mut().zip(x) {
            *s += weight * *x;
        }
    }

    fn of_tensors(&self, [sum]: [&Tensor; 1], [x]: [&Tensor; 1]) -> candle_core::Result<[Tensor; 1]> {
        Ok([(sum + x.affine(self.0, 0.0)?)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::in_place::assert_one_formula;
    use candle_core::{DType, Device};

    #[test]
    fn of_views_in_both_types_and_without_a_graph() -> Result<()> {
        let a = Tensor::new(&[[1.0f64, 2.0], [3.0, -4.0]], &Device::Cpu)?;
        let b = Tensor::new(&[[0.5f64, 1.0], [8.0, 2.0]], &Device::Cpu)?.t()?;
        for dtype in [DType::F32, DType::F64] {
            let (a, b) = (candle_core::Var::from_tensor(&a.to_dtype(dtype)?)?, b.to_dtype(dtype)?);
            let sum = weighted_sum(&[&a, &b, &a], &[2.0, -0.5, 1.0])?;
            assert_eq!(sum.to_dtype(DType::F64)?.to_vec2::<f64>()?, [[2.75, 2.0], [8.5, -13.0]]);
            assert!(!sum.track_op(), "a graph");
        }
        Ok(())
    }

    #[test]
    fn updates_of_tensors() {
        assert_one_formula(&Add(-0.7));
    }

    #[test]
    fn what_does_not_fit_is_refused() -> Result<()> {
        let (a, b) = (Tensor::zeros(3, DType::F32, &Device::Cpu)?, Tensor::zeros(2, DType::F32, &Device::Cpu)?);
        for (tensors, weights) in [(vec![], vec![]), (vec![&a], vec![1.0, 2.0]), (vec![&a, &b], vec![1.0, 2.0])] {
            assert!(weighted_sum(&tensors, &weights).is_err());
        }
        assert!(weighted_sum(&[&a, &a.to_dtype(DType::F64)?], &[1.0, 1.0]).is_err());
        Ok(())
    }
}

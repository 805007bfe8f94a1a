//! Another shape for the same elements.

use super::cpu::elementwise;
use super::cpu::math::Math;
use super::kernel::{Kernel, apply1, wanted};
use super::own_kernels;
use crate::Result;
use candle_core::shape::ShapeWithOneHole;
use candle_core::{Shape, Tensor};

/// The elements in their order, in another shape, of which one size may be left open: `(n, ())`. Where a gradient is wanted they are
/// copied, and the gradient passes between this crate's operations directly; after candle's own reshape it is added to a tensor of zeros first.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use sconce_tensor_core::ops::reshape;
/// let x = Tensor::arange(0f32, 12.0, &Device::Cpu)?.reshape((2, 3, 2))?;
/// assert_eq!(reshape(&x, (2, ()))?.dims(), [2, 6]);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
///
/// # Errors
/// A shape of another number of elements.
pub fn reshape(x: &Tensor, shape: impl ShapeWithOneHole) -> Result<Tensor> {
    let shape = shape.into_shape(x.elem_count())?;
    if own_kernels(x) && x.track_op() && shape.elem_count() == x.elem_count() {
        return Ok(apply1(Reshape(shape), x)?);
    }
    Ok(x.reshape(shape)?)
}

struct Reshape(Shape);

impl Kernel<1> for Reshape {
    const NAME: &'static str = "sconce-reshape";

    fn forward<T: Math>(&self, [x]: [&[T]; 1], _: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((elementwise::copy(x), self.0.clone()))
    }

    fn backward(&self, [x]: [&Tensor; 1], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([wanted(x, || reshape(g, x.shape()).map_err(candle_core::Error::wrap))?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{backward, sigmoid};
    use candle_core::{DType, Device, Var};

    #[test]
    fn values_and_gradients_are_those_of_candle() -> Result<()> {
        let x = Var::from_tensor(&crate::Rng::new(1).uniform((2, 3, 4), -1.0..1.0, DType::F64, &Device::Cpu)?)?;
        let weights = crate::Rng::new(2).uniform((2, 12), -1.0..1.0, DType::F64, &Device::Cpu)?;
        let gradient = |flat: Tensor| -> Result<Vec<f64>> {
            let g = backward(&(flat * &weights)?.sum_all()?)?;
            Ok(g.get(&x).map(|g| g.flatten_all()?.to_vec1()).transpose()?.unwrap_or_default())
        };
        let ours = gradient(reshape(&sigmoid(&x)?, (2, ()))?)?;
        assert_eq!(ours, gradient(sigmoid(&x)?.reshape((2, 12))?)?);
        assert_eq!(ours.len(), 24);
        Ok(())
    }

    #[test]
    fn another_number_of_elements_is_refused() {
        let x = Var::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        assert!(reshape(&x, (2, 2)).is_err() && reshape(&x, (4, ())).is_err());
        assert!(reshape(&x.detach(), (2, 2)).is_err());
    }
}

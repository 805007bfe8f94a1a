//! The control: a softmax that is as steep as sigsoftmax at 0, and no more expressive than softmax.

use candle_core::Tensor;
use sconce_activations::{Output, OutputFunction, Result};

/// Softmax of 1.5 z. At z = 0 the slope of sigsoftmax's `log g` is `2 - sigma(0)` = 1.5: what this arm gains over softmax is a
/// matter of scale, what sigsoftmax gains over this arm is not.
#[derive(Clone, Copy, Debug)]
pub struct SteepSoftmax;

impl SteepSoftmax {
    /// The name in recipes.
    pub const NAME: &'static str = "steep-softmax";
    const FACTOR: f64 = 1.5;
}

impl OutputFunction for SteepSoftmax {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn log_prob(&self, logits: &Tensor) -> Result<Tensor> {
        Output::Softmax.log_prob(&(logits * Self::FACTOR)?)
    }

    fn linear_nll(&self, h: &Tensor, weight: &Tensor, bias: Option<&Tensor>, labels: &Tensor) -> Result<Tensor> {
        // On the short side of the product.
        let bias = bias.map(|b| b * Self::FACTOR).transpose()?;
        Output::Softmax.linear_nll(&(h * Self::FACTOR)?, weight, bias.as_ref(), labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use sconce_tensor_core::{Rng, ops};

    #[test]
    fn the_two_ways_agree() {
        let normal = |s: &str, shape: (usize, usize)| {
            Rng::new(0).stream(s).normal(shape, 0.0, 1.0, DType::F64, &Device::Cpu).unwrap()
        };
        let (h, w, b) = (normal("h", (3, 2)), normal("w", (5, 2)), normal("b", (1, 5)).squeeze(0).unwrap());
        let y = Tensor::new(&[0u32, 4, 2], &Device::Cpu).unwrap();
        let a = SteepSoftmax.linear_nll(&h, &w, Some(&b), &y).unwrap().to_vec1::<f64>().unwrap();
        let z = ops::linear(&h, &w, Some(&b)).unwrap();
        let c = SteepSoftmax.nll(&z, &y).unwrap().to_vec1::<f64>().unwrap();
        assert!(a.iter().zip(c).all(|(a, c)| (a - c).abs() < 1e-12));
    }
}

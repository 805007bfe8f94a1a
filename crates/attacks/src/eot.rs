//! Expectation over transformation (EOT): the mean of a randomised model.

use candle_core::Tensor;
use sconce_tensor_core::classifier::logits;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Bounds, Classifier, Result};

/// A model whose logits are the mean over several passes of a randomised model. Attacks on it use the mean gradient.
/// Compute the attack on the wrapped model and measure the accuracy on the original one.
///
/// Source: Athalye, Engstrom, Ilyas, Kwok (2018), equation 2, with the mean of the logits as the expectation.
pub struct Eot<'a> {
    model: &'a dyn Classifier,
    draws: usize,
}

impl<'a> Eot<'a> {
    /// The mean of `draws` passes.
    ///
    /// # Errors
    /// `draws` is 0.
    pub fn new(model: &'a dyn Classifier, draws: usize) -> Result<Self> {
        require("Eot.draws", draws >= 1, "at least 1", draws)?;
        Ok(Self { model, draws })
    }
}

impl Classifier for Eot<'_> {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let mut sum = logits(self.model, x)?;
        for _ in 1..self.draws {
            sum = (sum + logits(self.model, x)?)?;
        }
        Ok((sum / self.draws as f64)?)
    }

    fn classes(&self) -> usize {
        self.model.classes()
    }

    fn bounds(&self) -> Bounds {
        self.model.bounds()
    }
}

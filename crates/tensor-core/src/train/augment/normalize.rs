//! Normalisation as an augmentation without randomness.

use super::Augment;
use super::images::dims;
use crate::nn::Normalize;
use crate::{ExampleRng, Result};
use candle_core::Tensor;

impl Augment for Normalize {
    /// `(x - mean) / std` for each channel, the same for every example and epoch. NaN and infinities pass through.
    ///
    /// The models of this family normalise inside, so that attacks work in the data's own units; normalise here only
    /// for a model that does not.
    ///
    /// # Errors
    /// Those of [`Normalize::forward`]: another number of channels.
    fn apply(&self, x: &Tensor, rng: &ExampleRng) -> Result<Tensor> {
        dims(x, rng.examples().len(), "examples of `rng`")?;
        self.forward(&x.detach())
    }
}

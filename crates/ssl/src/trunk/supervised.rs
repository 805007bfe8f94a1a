//! A trunk with a classifier on it.

use super::{Trunk, adopted, place, representation, width};
use sconce_tensor_core::candle_core::Tensor;
use sconce_tensor_core::nn::{Builder, Linear};
use sconce_tensor_core::{Mode, Module, Network, Params, Result, Rng, error::require, ops};

/// A trunk with one linear map of the mean over positions of its last feature map: the supervised row of a comparison, trained by
/// [`sconce_tensor_core::train::Trainer`].
pub struct Supervised<'a> {
    params: Params,
    trunk: &'a dyn Trunk,
    head: Linear,
    classes: usize,
}

impl<'a> Supervised<'a> {
    /// A head for `classes` classes with initial values from `rng`. The parameters are the trunk's own, as `trunk.*`, and the head's, as `head.*`.
    ///
    /// # Errors
    /// [`sconce_tensor_core::Error::Config`] for fewer than two classes.
    pub fn new(trunk: &'a dyn Trunk, classes: usize, rng: Rng) -> Result<Self> {
        require("Supervised.classes", classes >= 2, "at least 2", classes)?;
        let mut params = adopted(trunk)?;
        let (dtype, device) = place(&params)?;
        let channels = width(trunk)?;
        let head = Linear::new(&mut Builder::new(&mut params, rng, dtype, &device).scope("head"), channels, classes)?;
        Ok(Self { params, trunk, head, classes })
    }
}

impl Module for Supervised<'_> {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl Network for Supervised<'_> {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let z = representation(self.trunk, x, mode)?;
        self.head.forward(&ops::global_avg_pool2d(&z)?, mode)
    }

    fn outputs(&self) -> usize {
        self.classes
    }
}

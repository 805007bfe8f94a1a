//! The linear layer.

use super::{Builder, Init, Mode};
use crate::params::Role;
use crate::{Result, error::require, ops};
use candle_core::{Tensor, Var};

/// An affine map with its weight and bias: [`ops::linear`].
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Var,
    bias: Var,
}

impl Linear {
    /// `inputs` to `outputs`, with PyTorch's default initialisation.
    ///
    /// # Errors
    /// Sizes of 0.
    pub fn new(b: &mut Builder<'_>, inputs: usize, outputs: usize) -> Result<Self> {
        require("Linear.sizes", inputs > 0 && outputs > 0, "at least 1", format!("{inputs} -> {outputs}"))?;
        let init = Init::fan_in(inputs);
        Ok(Self {
            weight: b.param("weight", Role::Weight, (outputs, inputs), init)?,
            bias: b.param("bias", Role::Bias, outputs, init)?,
        })
    }

    /// # Shapes
    /// (..., inputs) -> (..., outputs).
    ///
    /// # Errors
    /// As [`ops::linear`].
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        ops::linear(x, &mode.tensor(&self.weight), Some(&mode.tensor(&self.bias)))
    }
}

//! The layer-normalisation layer.

use super::{Builder, Init, Mode};
use crate::params::Role;
use crate::{Result, error::require, ops};
use candle_core::{Tensor, Var};

/// Layer normalisation over the last axis, with a scale and a shift for each element of it (Ba et al. 2016): [`ops::layer_norm`].
#[derive(Clone, Debug)]
pub struct LayerNorm {
    scale: Var,
    shift: Var,
    eps: f64,
}

impl LayerNorm {
    /// A layer for vectors of length `size`, initialised without effect but for the normalisation. PyTorch's `eps` is 1e-5 by default, that of
    /// vision transformers 1e-6.
    ///
    /// # Errors
    /// A size of 0; an `eps` that is not positive; a name that is taken.
    pub fn new(b: &mut Builder<'_>, size: usize, eps: f64) -> Result<Self> {
        require("LayerNorm.size", size >= 1, "at least 1", size)?;
        require("LayerNorm.eps", eps > 0.0 && eps.is_finite(), "positive and finite", eps)?;
        Ok(Self {
            scale: b.param("weight", Role::Scale, size, Init::Constant(1.0))?,
            shift: b.param("bias", Role::Shift, size, Init::Constant(0.0))?,
            eps,
        })
    }

    /// # Shapes
    /// (..., size) -> (..., size).
    ///
    /// # Errors
    /// As [`ops::layer_norm`].
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        ops::layer_norm(x, Some(&mode.tensor(&self.scale)), Some(&mode.tensor(&self.shift)), self.eps)
    }
}

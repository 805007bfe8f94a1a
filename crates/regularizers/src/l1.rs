//! L1: a penalty on the absolute values of all elements.

use crate::enforcement::{Enforcement, check_lambda};
use candle_core::Tensor;
use sconce_tensor_core::{Params, PenaltyContext, Regularizer, Result};

/// Configuration of [`L1`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lambda` | 1e-3 | weight of the penalty | finite, >= 0 |
/// | `enforcement` | proximal | proximal step or penalty in the loss | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct L1Config {
    /// Weight of the penalty.
    pub lambda: f64,
    /// Proximal step or penalty in the loss.
    pub enforcement: Enforcement,
}

impl Default for L1Config {
    fn default() -> Self {
        Self { lambda: 1e-3, enforcement: Enforcement::Proximal }
    }
}

/// `lambda sum |K[o,i,u,v]|` over all convolution kernels. The proximal step is soft thresholding,
/// `sign(k) max(|k| - lr lambda, 0)`.
#[derive(Clone, Copy, Debug)]
pub struct L1 {
    cfg: L1Config,
}

impl L1 {
    /// Validates the configuration.
    ///
    /// # Errors
    /// `lambda` is negative or not finite.
    pub fn new(cfg: L1Config) -> Result<Self> {
        check_lambda("L1Config.lambda", cfg.lambda)?;
        Ok(Self { cfg })
    }

    /// The penalty of one weight: `lambda` times the sum of its absolute values. It is differentiable (with subgradient
    /// 0 at 0).
    ///
    /// # Errors
    /// An error of candle.
    pub fn value(&self, kernel: &Tensor) -> Result<Tensor> {
        Ok((kernel.abs()?.sum_all()? * self.cfg.lambda)?)
    }

    /// Soft thresholding by `lr lambda`.
    ///
    /// # Errors
    /// An error of candle.
    pub fn prox(&self, kernel: &Tensor, lr: f64) -> Result<Tensor> {
        let t = lr * self.cfg.lambda;
        Ok((kernel - kernel.clamp(-t, t)?)?)
    }
}

impl Regularizer for L1 {
    fn penalty(&self, step: &PenaltyContext<'_>) -> Result<Option<Tensor>> {
        self.cfg.enforcement.penalty(self.cfg.lambda, step.params, |k| self.value(k))
    }

    fn after_update(&self, params: &Params, lr: f64) -> Result<()> {
        self.cfg.enforcement.after_update(self.cfg.lambda, params, |k| self.prox(k, lr))
    }
}

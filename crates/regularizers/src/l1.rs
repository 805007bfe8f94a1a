//! L1: the absolute values of all elements.

use crate::form::{Form, check_lambda};
use candle_core::Tensor;
use sconce_tensor_core::{Params, Regularizer, Result, Step};

/// Configuration of [`L1`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lambda` | 1e-3 | weight of the term | finite, >= 0 |
/// | `form` | proximal | how it enters training | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct L1Config {
    /// Weight of the term.
    pub lambda: f64,
    /// How it enters training.
    pub form: Form,
}

impl Default for L1Config {
    fn default() -> Self {
        Self { lambda: 1e-3, form: Form::Proximal }
    }
}

/// `lambda sum |K[o,i,u,v]|` over all convolution kernels. The proximal step is the soft threshold,
/// `sign(k) max(|k| - lr lambda, 0)`.
#[derive(Clone, Copy, Debug)]
pub struct L1 {
    cfg: L1Config,
}

impl L1 {
    /// Validates the configuration.
    ///
    /// # Errors
    /// A `lambda` that is negative or not finite.
    pub fn new(cfg: L1Config) -> Result<Self> {
        check_lambda("L1Config.lambda", cfg.lambda)?;
        Ok(Self { cfg })
    }

    /// `lambda` times the absolute values of one weight, added up; differentiable (sub-gradient 0 at 0).
    ///
    /// # Errors
    /// candle's only.
    pub fn value(&self, kernel: &Tensor) -> Result<Tensor> {
        Ok((kernel.abs()?.sum_all()? * self.cfg.lambda)?)
    }

    /// The soft threshold by `lr lambda`.
    ///
    /// # Errors
    /// candle's only.
    pub fn prox(&self, kernel: &Tensor, lr: f64) -> Result<Tensor> {
        let t = lr * self.cfg.lambda;
        Ok((kernel - kernel.clamp(-t, t)?)?)
    }
}

impl Regularizer for L1 {
    fn penalty(&self, step: &Step<'_>) -> Result<Option<Tensor>> {
        self.cfg.form.penalty(self.cfg.lambda, step.params, |k| self.value(k))
    }

    fn after_update(&self, params: &Params, lr: f64) -> Result<()> {
        self.cfg.form.after_update(self.cfg.lambda, params, |k| self.prox(k, lr))
    }
}

//! Weight decay on convolution kernels.

use crate::form::{Form, check_lambda};
use candle_core::Tensor;
use sconce_tensor_core::{Params, Regularizer, Result, Step};

/// Configuration of [`WeightDecay`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lambda` | 1e-3 | weight of the term | finite, >= 0 |
/// | `form` | penalty | how it enters training | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightDecayConfig {
    /// Weight of the term.
    pub lambda: f64,
    /// How it enters training.
    pub form: Form,
}

impl Default for WeightDecayConfig {
    fn default() -> Self {
        Self { lambda: 1e-3, form: Form::Penalty }
    }
}

/// `lambda sum K[o,i,u,v]^2` over all convolution kernels: the gradient is `2 lambda k`, so `lambda` here
/// is half of PyTorch's `weight_decay`. The proximal step is `k / (1 + 2 lr lambda)`.
///
/// It leaves linear layers alone, like the others of this crate, so that comparisons are about the
/// constraint and not about which layers it acts on; the optimizer's own decay acts on everything.
#[derive(Clone, Copy, Debug)]
pub struct WeightDecay {
    cfg: WeightDecayConfig,
}

impl WeightDecay {
    /// Validates the configuration.
    ///
    /// # Errors
    /// A `lambda` that is negative or not finite.
    pub fn new(cfg: WeightDecayConfig) -> Result<Self> {
        check_lambda("WeightDecayConfig.lambda", cfg.lambda)?;
        Ok(Self { cfg })
    }

    /// `lambda` times the squares of one weight, added up; differentiable.
    ///
    /// # Errors
    /// candle's only.
    pub fn value(&self, kernel: &Tensor) -> Result<Tensor> {
        Ok((kernel.sqr()?.sum_all()? * self.cfg.lambda)?)
    }

    /// Division by `1 + 2 lr lambda`.
    ///
    /// # Errors
    /// candle's only.
    pub fn prox(&self, kernel: &Tensor, lr: f64) -> Result<Tensor> {
        Ok((kernel / (1.0 + 2.0 * lr * self.cfg.lambda))?)
    }
}

impl Regularizer for WeightDecay {
    fn penalty(&self, step: &Step<'_>) -> Result<Option<Tensor>> {
        self.cfg.form.penalty(self.cfg.lambda, step.params, |k| self.value(k))
    }

    fn after_update(&self, params: &Params, lr: f64) -> Result<()> {
        self.cfg.form.after_update(self.cfg.lambda, params, |k| self.prox(k, lr))
    }
}

//! Weight decay on convolution kernels.

use crate::enforcement::{Enforcement, check_lambda};
use candle_core::Tensor;
use sconce_tensor_core::{Params, PenaltyContext, Regularizer, Result};

/// Configuration of [`WeightDecay`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lambda` | 1e-3 | weight of the penalty | finite, >= 0 |
/// | `enforcement` | penalty | proximal step or penalty in the loss | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightDecayConfig {
    /// Weight of the penalty.
    pub lambda: f64,
    /// Proximal step or penalty in the loss.
    pub enforcement: Enforcement,
}

impl Default for WeightDecayConfig {
    fn default() -> Self {
        Self { lambda: 1e-3, enforcement: Enforcement::Penalty }
    }
}

/// `lambda sum K[o,i,u,v]^2` over all convolution kernels: the gradient is `2 lambda k`, so `lambda` here
/// is half of PyTorch's `weight_decay`. The proximal step is `k / (1 + 2 lr lambda)`.
///
/// Like the other kernel regularizers of this crate it does not act on linear layers, so that comparisons
/// measure the penalty and not the choice of layers. The weight decay of the optimizer acts on all layers.
#[derive(Clone, Copy, Debug)]
pub struct WeightDecay {
    cfg: WeightDecayConfig,
}

impl WeightDecay {
    /// Validates the configuration.
    ///
    /// # Errors
    /// `lambda` is negative or not finite.
    pub fn new(cfg: WeightDecayConfig) -> Result<Self> {
        check_lambda("WeightDecayConfig.lambda", cfg.lambda)?;
        Ok(Self { cfg })
    }

    /// The penalty of one weight: `lambda` times the sum of its squares. It is differentiable.
    ///
    /// # Errors
    /// An error of candle.
    pub fn value(&self, kernel: &Tensor) -> Result<Tensor> {
        Ok((kernel.sqr()?.sum_all()? * self.cfg.lambda)?)
    }

    /// The proximal step: division by `1 + 2 lr lambda`.
    ///
    /// # Errors
    /// An error of candle.
    pub fn prox(&self, kernel: &Tensor, lr: f64) -> Result<Tensor> {
        Ok((kernel / (1.0 + 2.0 * lr * self.cfg.lambda))?)
    }
}

impl Regularizer for WeightDecay {
    fn penalty(&self, step: &PenaltyContext<'_>) -> Result<Option<Tensor>> {
        self.cfg.enforcement.penalty(self.cfg.lambda, step.params, |k| self.value(k))
    }

    fn after_update(&self, params: &Params, lr: f64) -> Result<()> {
        self.cfg.enforcement.after_update(self.cfg.lambda, params, |k| self.prox(k, lr))
    }
}

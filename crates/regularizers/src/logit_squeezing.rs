//! Logit squeezing: a penalty on the size of the logits.

use crate::batch::{check, logits};
use candle_core::{D, Tensor};
use sconce_tensor_core::{PenaltyContext, Regularizer, Result};

/// The measure of the logits' size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Squeeze {
    /// `|z|_2`: its gradient does not vanish near 0. The public code that we know uses it.
    Norm,
    /// `|z|_2^2 / 2`: its optimum has a closed equation.
    #[default]
    HalfSquare,
}

/// Configuration of [`LogitSqueezing`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lambda` | 0.05 | weight of the penalty | finite, >= 0 |
/// | `squeeze` | half the square | the measure of the logits' size | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogitSqueezingConfig {
    /// Weight of the penalty.
    pub lambda: f64,
    /// The measure of the logits' size.
    pub squeeze: Squeeze,
}

impl Default for LogitSqueezingConfig {
    fn default() -> Self {
        Self { lambda: 0.05, squeeze: Squeeze::HalfSquare }
    }
}

/// `lambda mean_n |z_n|_2^2 / 2`, or `lambda mean_n |z_n|_2`.
///
/// Source: Kannan, Kurakin, Goodfellow (2018), section 3. The weight, and whether the norm is squared, are reconstructed
/// from memory and not verified against the paper.
#[derive(Clone, Copy, Debug)]
pub struct LogitSqueezing {
    cfg: LogitSqueezingConfig,
}

impl LogitSqueezing {
    /// Validates the configuration.
    ///
    /// # Errors
    /// `lambda` is negative or not finite.
    pub fn new(cfg: LogitSqueezingConfig) -> Result<Self> {
        check("LogitSqueezingConfig.lambda", cfg.lambda)?;
        Ok(Self { cfg })
    }
}

impl Regularizer for LogitSqueezing {
    fn penalty(&self, step: &PenaltyContext<'_>) -> Result<Option<Tensor>> {
        let square = logits(step, "logit squeezing")?.sqr()?.sum(D::Minus1)?;
        let each = match self.cfg.squeeze {
            Squeeze::HalfSquare => (square * 0.5)?,
            // A tiny number under the root makes the derivative at 0 finite.
            Squeeze::Norm => (square + 1e-12)?.sqrt()?,
        };
        Ok(Some((each.mean_all()? * self.cfg.lambda)?))
    }
}

//! Logit squeezing: small logits.

use crate::batch::{check, logits};
use candle_core::{D, Tensor};
use sconce_tensor_core::{Regularizer, Result, Step};

/// What of the logits is made small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Squeeze {
    /// `|z|_2`: its pull does not fade near 0. The form of the public code we know.
    Norm,
    /// `|z|_2^2 / 2`: the form whose optimum has a closed equation.
    #[default]
    HalfSquare,
}

/// Configuration of [`LogitSqueezing`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lambda` | 0.05 | weight of the term | finite, >= 0 |
/// | `squeeze` | half the square | what of the logits is made small | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogitSqueezingConfig {
    /// Weight of the term.
    pub lambda: f64,
    /// What of the logits is made small.
    pub squeeze: Squeeze,
}

impl Default for LogitSqueezingConfig {
    fn default() -> Self {
        Self { lambda: 0.05, squeeze: Squeeze::HalfSquare }
    }
}

/// `lambda mean_n |z_n|_2^2 / 2`, or with the plain norm.
///
/// Source: Kannan, Kurakin, Goodfellow (2018), section 3 (their weight and whether they square: as recalled, not settled).
#[derive(Clone, Copy, Debug)]
pub struct LogitSqueezing {
    cfg: LogitSqueezingConfig,
}

impl LogitSqueezing {
    /// Validates the configuration.
    ///
    /// # Errors
    /// A `lambda` that is negative or not finite.
    pub fn new(cfg: LogitSqueezingConfig) -> Result<Self> {
        check("LogitSqueezingConfig.lambda", cfg.lambda)?;
        Ok(Self { cfg })
    }
}

impl Regularizer for LogitSqueezing {
    fn penalty(&self, step: &Step<'_>) -> Result<Option<Tensor>> {
        let square = logits(step, "logit squeezing")?.sqr()?.sum(D::Minus1)?;
        let each = match self.cfg.squeeze {
            Squeeze::HalfSquare => (square * 0.5)?,
            // A tiny number under the root: its slope at 0 is finite.
            Squeeze::Norm => (square + 1e-12)?.sqrt()?,
        };
        Ok(Some((each.mean_all()? * self.cfg.lambda)?))
    }
}

//! Label smoothing, as a penalty that is added to the cross-entropy.

use crate::batch::{logits_and_labels, one_hot};
use candle_core::Tensor;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{PenaltyContext, Regularizer, Result};

/// Configuration of [`LabelSmoothing`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `alpha` | 0.1 | probability that moves from the label to the other classes, in equal shares | [0, 1) |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelSmoothingConfig {
    /// Probability that moves from the label to the other classes.
    pub alpha: f64,
}

impl Default for LabelSmoothingConfig {
    fn default() -> Self {
        Self { alpha: 0.1 }
    }
}

/// The penalty `alpha mean_n (z_y - mean_{k != y} z_k)`. Added to the cross-entropy it gives exactly the cross-entropy
/// with the target `1 - alpha` at the label and `alpha / (K - 1)` elsewhere (the log-sum-exp cancels, so the penalty is
/// linear in the logits).
///
/// With unconstrained logits, the gap between the label's logit and the others at the optimum is
/// `log((1 - alpha)(K - 1) / alpha)`.
///
/// Source: Szegedy et al. (2016), section 7. Their variant has `1 - alpha + alpha / K` at the label; here the label gets
/// no share of `alpha`.
#[derive(Clone, Copy, Debug)]
pub struct LabelSmoothing {
    cfg: LabelSmoothingConfig,
}

impl LabelSmoothing {
    /// Validates the configuration.
    ///
    /// # Errors
    /// `alpha` is not in [0, 1).
    pub fn new(cfg: LabelSmoothingConfig) -> Result<Self> {
        require("LabelSmoothingConfig.alpha", (0.0..1.0).contains(&cfg.alpha), "in [0, 1)", cfg.alpha)?;
        Ok(Self { cfg })
    }
}

impl Regularizer for LabelSmoothing {
    fn penalty(&self, step: &PenaltyContext<'_>) -> Result<Option<Tensor>> {
        let (z, y) = logits_and_labels(step, "label smoothing")?;
        let (n, k) = z.dims2()?;
        let hot = one_hot(y, z)?;
        // Weights of z: 1 at the label, -1 / (K - 1) elsewhere; over n examples.
        let others = 1.0 / (k as f64 - 1.0);
        let weights = hot.affine(1.0 + others, -others)?;
        Ok(Some(((z * weights)?.sum_all()? * (self.cfg.alpha / n as f64))?))
    }
}

//! Logit pairing: a penalty on the difference between the logits of paired examples.

use crate::batch::{check, logits};
use candle_core::Tensor;
use sconce_tensor_core::{Error, PenaltyContext, Regularizer, Result};

/// Configuration of [`CleanLogitPairing`] and [`AdversarialLogitPairing`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lambda` | 0.5 | weight of the penalty | finite, >= 0 |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogitPairingConfig {
    /// Weight of the penalty.
    pub lambda: f64,
}

impl Default for LogitPairingConfig {
    fn default() -> Self {
        Self { lambda: 0.5 }
    }
}

/// `lambda` times the mean squared difference between the logits of the batch's two halves. The pairs are random, because
/// batches are drawn at random. In a batch of odd size the last example is ignored.
///
/// Source: Kannan, Kurakin, Goodfellow (2018), section 3.2.
#[derive(Clone, Copy, Debug)]
pub struct CleanLogitPairing {
    cfg: LogitPairingConfig,
}

/// `lambda` times the mean squared difference between the logits of each clean example and of its adversarial example. The
/// training objective must provide both, as `sconce_attacks::training::Madry::with_clean` and TRADES do.
///
/// Source: Kannan, Kurakin, Goodfellow (2018), section 3.1.
#[derive(Clone, Copy, Debug)]
pub struct AdversarialLogitPairing {
    cfg: LogitPairingConfig,
}

impl CleanLogitPairing {
    /// Validates the configuration.
    ///
    /// # Errors
    /// `lambda` is negative or not finite.
    pub fn new(cfg: LogitPairingConfig) -> Result<Self> {
        check("LogitPairingConfig.lambda", cfg.lambda)?;
        Ok(Self { cfg })
    }
}

impl AdversarialLogitPairing {
    /// Validates the configuration.
    ///
    /// # Errors
    /// `lambda` is negative or not finite.
    pub fn new(cfg: LogitPairingConfig) -> Result<Self> {
        check("LogitPairingConfig.lambda", cfg.lambda)?;
        Ok(Self { cfg })
    }
}

impl Regularizer for CleanLogitPairing {
    fn penalty(&self, step: &PenaltyContext<'_>) -> Result<Option<Tensor>> {
        let z = logits(step, "clean logit pairing")?;
        let half = z.dim(0)? / 2;
        if half == 0 {
            return Ok(None);
        }
        let difference = (z.narrow(0, 0, half)? - z.narrow(0, half, half)?)?;
        Ok(Some((difference.sqr()?.mean_all()? * self.cfg.lambda)?))
    }
}

impl Regularizer for AdversarialLogitPairing {
    fn penalty(&self, step: &PenaltyContext<'_>) -> Result<Option<Tensor>> {
        let what = "adversarial logit pairing";
        let adversarial = logits(step, what)?;
        let clean = step.clean_logits.ok_or_else(|| Error::Unsupported {
            what,
            reason:
                "the training objective provides no clean logits; use one that computes clean and adversarial logits"
                    .to_owned(),
        })?;
        Ok(Some(((adversarial - clean)?.sqr()?.mean_all()? * self.cfg.lambda)?))
    }
}

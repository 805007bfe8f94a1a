//! Logit pairing: logits of paired examples alike.

use crate::batch::{check, logits};
use candle_core::Tensor;
use sconce_tensor_core::{Error, Regularizer, Result, Step};

/// Configuration of [`CleanLogitPairing`] and [`AdversarialLogitPairing`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lambda` | 0.5 | weight of the term | finite, >= 0 |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogitPairingConfig {
    /// Weight of the term.
    pub lambda: f64,
}

impl Default for LogitPairingConfig {
    fn default() -> Self {
        Self { lambda: 0.5 }
    }
}

/// `lambda` times the mean squared difference of the logits of the batch's two halves: examples paired at random, as
/// batches are drawn at random. An example without a partner is left out.
///
/// Source: Kannan, Kurakin, Goodfellow (2018), section 3.2.
#[derive(Clone, Copy, Debug)]
pub struct CleanLogitPairing {
    cfg: LogitPairingConfig,
}

/// `lambda` times the mean squared difference between the logits of each example and of its attacked form. The step must
/// show both: train with `sconce_attacks::training::Madry::with_clean` or TRADES.
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
    /// A `lambda` that is negative or not finite.
    pub fn new(cfg: LogitPairingConfig) -> Result<Self> {
        check("LogitPairingConfig.lambda", cfg.lambda)?;
        Ok(Self { cfg })
    }
}

impl AdversarialLogitPairing {
    /// Validates the configuration.
    ///
    /// # Errors
    /// A `lambda` that is negative or not finite.
    pub fn new(cfg: LogitPairingConfig) -> Result<Self> {
        check("LogitPairingConfig.lambda", cfg.lambda)?;
        Ok(Self { cfg })
    }
}

impl Regularizer for CleanLogitPairing {
    fn penalty(&self, step: &Step<'_>) -> Result<Option<Tensor>> {
        let z = logits(step, "clean logit pairing")?;
        let half = z.dim(0)? / 2;
        if half == 0 {
            return Ok(None);
        }
        let apart = (z.narrow(0, 0, half)? - z.narrow(0, half, half)?)?;
        Ok(Some((apart.sqr()?.mean_all()? * self.cfg.lambda)?))
    }
}

impl Regularizer for AdversarialLogitPairing {
    fn penalty(&self, step: &Step<'_>) -> Result<Option<Tensor>> {
        let what = "adversarial logit pairing";
        let attacked = logits(step, what)?;
        let clean = step.clean_logits.ok_or_else(|| Error::Unsupported {
            what,
            reason: "the step shows no clean logits beside the attacked ones".to_owned(),
        })?;
        Ok(Some(((attacked - clean)?.sqr()?.mean_all()? * self.cfg.lambda)?))
    }
}

//! Adversarial training.

use super::attacked;
use sconce_tensor_core::data::Batch;
use sconce_tensor_core::error::require;
use sconce_tensor_core::train::{LossOutput, Objective};
use sconce_tensor_core::{Attack, ExampleRng, Mode, Network, Result};

/// The mean cross-entropy at attacked inputs: each batch is attacked with the network frozen (running statistics, no
/// gradients to weights), then learnt from in training mode. With [`crate::PgdConfig::fast`] as the attack it is fast
/// adversarial training (Wong, Rice, Kolter 2020).
///
/// Source: Madry et al. (2018), equation 2.1.
pub struct Madry<'a> {
    attack: &'a dyn Attack,
    clean: Option<f64>,
}

impl<'a> Madry<'a> {
    /// Training against `attack`.
    pub fn new(attack: &'a dyn Attack) -> Self {
        Self { attack, clean: None }
    }

    /// Training on clean inputs as well: the cross-entropies there weigh `share`, those at attacked inputs `1 - share`.
    /// The step then shows both logits to regularizers, as adversarial logit pairing needs.
    ///
    /// # Errors
    /// A share outside [0, 1).
    pub fn with_clean(attack: &'a dyn Attack, share: f64) -> Result<Self> {
        require("Madry.share", (0.0..1.0).contains(&share), "in [0, 1)", share)?;
        Ok(Self { attack, clean: Some(share) })
    }
}

impl Objective for Madry<'_> {
    fn loss(&self, net: &dyn Network, batch: &Batch, rng: &ExampleRng) -> Result<LossOutput> {
        let x = attacked(self.attack, net, batch, rng)?;
        let logits = net.forward(&x, Mode::Train)?;
        let loss = batch.cross_entropy(&logits)?.mean_all()?;
        let Some(share) = self.clean else { return Ok(LossOutput { loss, logits, clean_logits: None }) };
        let clean = net.forward(&batch.x, Mode::Train)?;
        let at_clean = batch.cross_entropy(&clean)?.mean_all()?;
        let loss = ((loss * (1.0 - share))? + (at_clean * share)?)?;
        Ok(LossOutput { loss, logits, clean_logits: Some(clean) })
    }
}

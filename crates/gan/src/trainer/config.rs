//! Configuration of the trainer.

use crate::loss::{AdaConfig, DiffAugment, GanLoss, Penalty};
use crate::{Error, Result};
use sconce_tensor_core::error::require;
use sconce_tensor_core::optim::Schedule;

/// Configuration of [`Gan`](super::Gan).
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `loss` | hinge | the adversarial loss | |
/// | `critic_steps` | 1 | discriminator steps before each generator step | >= 1 |
/// | `steps` | 100 | generator steps of an epoch | >= 1 |
/// | `schedule` | linear | factor on both learning rates, by generator step | |
/// | `average` | 0.999 | decay of the moving average of the generator's weights; none: its last weights | [0, 1) |
/// | `auxiliary` | 1 | weight of the class losses, where the discriminator has an auxiliary classifier | >= 0 |
/// | `augment` | none | augmentation of what the discriminator sees | |
/// | `ada` | none | controls how often images are augmented; without it all are | needs `augment`, and a hinge or non-saturating loss |
/// | `penalty` | none | gradient penalty of the discriminator | needs second derivatives |
/// | `standing_batches` | 16 | batches of the statistics for sampling | >= 1 |
/// | `upper_half` | false | take examples that are all in the upper half of the generator's range; else they are refused as images in [0, 1] that were not converted to [-1, 1] | |
///
/// Below about 5,000 images use `augment`. The optimizers usual with spectral norm are Adam with `lr` 2e-4, `beta1` 0 and `beta2` 0.9.
#[derive(Clone, Debug, PartialEq)]
pub struct GanConfig {
    /// The adversarial loss.
    pub loss: GanLoss,
    /// Discriminator steps before each generator step.
    pub critic_steps: usize,
    /// Generator steps of an epoch.
    pub steps: usize,
    /// Factor on both learning rates.
    pub schedule: Schedule,
    /// Decay of the moving average of the generator's weights.
    pub average: Option<f64>,
    /// Weight of the class losses.
    pub auxiliary: f64,
    /// Augmentation of what the discriminator sees.
    pub augment: Option<DiffAugment>,
    /// Controls how often images are augmented.
    pub ada: Option<AdaConfig>,
    /// Gradient penalty.
    pub penalty: Option<Penalty>,
    /// Batches of the statistics for sampling.
    pub standing_batches: usize,
    /// Take examples that are all in the upper half of the generator's range.
    pub upper_half: bool,
}

impl Default for GanConfig {
    fn default() -> Self {
        Self {
            loss: GanLoss::Hinge,
            critic_steps: 1,
            steps: 100,
            schedule: Schedule::linear(),
            average: Some(0.999),
            auxiliary: 1.0,
            augment: None,
            ada: None,
            penalty: None,
            standing_batches: 16,
            upper_half: false,
        }
    }
}

impl GanConfig {
    /// Checks the fields that optimizers and controllers do not check.
    pub(super) fn validate(&self) -> Result<()> {
        require("GanConfig.critic_steps", self.critic_steps >= 1, "at least 1", self.critic_steps)?;
        require("GanConfig.steps", self.steps >= 1, "at least 1", self.steps)?;
        require("GanConfig.standing_batches", self.standing_batches >= 1, "at least 1", self.standing_batches)?;
        let good = self.auxiliary.is_finite() && self.auxiliary >= 0.0;
        require("GanConfig.auxiliary", good, "finite and >= 0", self.auxiliary)?;
        if self.ada.is_some() && !matches!(self.loss, GanLoss::Hinge | GanLoss::NonSaturating) {
            let reason = "needs scores whose sign separates real from fake: the loss must be hinge or non-saturating";
            return Err(Error::config("GanConfig.ada", reason));
        }
        if self.ada.is_some() && self.augment.is_none() {
            return Err(Error::config("GanConfig.ada", "needs `augment`: it controls how often that happens"));
        }
        self.penalty.map_or(Ok(()), Penalty::require)
    }
}

/// The decay of a moving average whose memory halves in `half_life` images at batches of `batch`: `2^(-batch / half_life)`.
///
/// # Errors
/// [`Error::Config`] for values that are not positive.
pub fn ema_decay(half_life: f64, batch: usize) -> Result<f64> {
    require("ema_decay.half_life", half_life.is_finite() && half_life > 0.0, "finite and > 0", half_life)?;
    require("ema_decay.batch", batch >= 1, "at least 1", batch)?;
    Ok((-(batch as f64) / half_life).exp2())
}

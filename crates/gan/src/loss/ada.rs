//! Adaptive augmentation.

use crate::Result;
use sconce_tensor_core::error::require;

/// Configuration of [`Ada`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `target` | 0.6 | value of r that p is moved towards | (-1, 1) |
/// | `images` | 500,000 | real images in which p can go from 0 to 1 | > 0 |
/// | `start` | 0 | p before the first step | [0, 1] |
///
/// With fewer than about 5,000 images and 5,000 steps p hardly moves: use a fixed [`DiffAugment`](super::DiffAugment) without this.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaConfig {
    /// Value of r that p is moved towards.
    pub target: f64,
    /// Real images in which p can go from 0 to 1.
    pub images: f64,
    /// p before the first step.
    pub start: f64,
}

impl Default for AdaConfig {
    fn default() -> Self {
        Self { target: 0.6, images: 500e3, start: 0.0 }
    }
}

/// The controller of the probability p that an image is augmented (Karras et al. 2020, arXiv 2006.06676, section 3.1): after each step on
/// B real images `p <- clamp(p + sign(r - target) B / images, 0, 1)`, where `r = mean sign D(real)` is near 1 when the discriminator
/// overfits. (There p moves every four steps.)
///
/// ```
/// use sconce_gan::loss::{Ada, AdaConfig};
/// let mut ada = Ada::new(AdaConfig::default())?;
/// ada.update(1.0, 64);
/// assert_eq!(ada.probability(), 64.0 / 500e3);
/// # Ok::<(), sconce_gan::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Ada {
    cfg: AdaConfig,
    probability: f64,
}

impl Ada {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(cfg: AdaConfig) -> Result<Self> {
        require("AdaConfig.target", cfg.target > -1.0 && cfg.target < 1.0, "in (-1, 1)", cfg.target)?;
        require("AdaConfig.images", cfg.images.is_finite() && cfg.images > 0.0, "finite and > 0", cfg.images)?;
        require("AdaConfig.start", (0.0..=1.0).contains(&cfg.start), "in [0, 1]", cfg.start)?;
        Ok(Self { cfg, probability: cfg.start })
    }

    /// The probability of augmentation.
    pub fn probability(&self) -> f64 {
        self.probability
    }

    /// One step on `images` real images, whose scores have the mean sign `r`.
    pub fn update(&mut self, r: f64, images: usize) {
        let step = images as f64 / self.cfg.images;
        let direction = if r > self.cfg.target {
            1.0
        } else if r < self.cfg.target {
            -1.0
        } else {
            0.0
        };
        self.probability = (self.probability + direction * step).clamp(0.0, 1.0);
    }

    /// Sets the probability of a run that is resumed.
    pub(crate) fn resume(&mut self, probability: f64) {
        self.probability = probability.clamp(0.0, 1.0);
    }
}

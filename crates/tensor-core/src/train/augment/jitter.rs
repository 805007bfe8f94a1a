//! Random changes of colour.

use super::colour::{Change, brightness, contrast, hue, saturation};
use super::images::{dims, map_colours};
use super::{Augment, draw};
use crate::{ExampleRng, Result, error::require};
use candle_core::Tensor;

/// Configuration of [`ColourJitter`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `brightness` | 0.4 | the factor of brightness is uniform in [max(0, 1 - v), 1 + v] | finite, >= 0 |
/// | `contrast` | 0.4 | the same for contrast | finite, >= 0 |
/// | `saturation` | 0.4 | the same for saturation | finite, >= 0 |
/// | `hue` | 0.1 | the shift of hue is uniform in [-v, v] | [0, 0.5] |
///
/// The defaults are chosen by us (torchvision's are 0). A strength of 0 leaves its change out.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct ColourJitterConfig {
    /// Strength for brightness.
    pub brightness: f64,
    /// Strength for contrast.
    pub contrast: f64,
    /// Strength for saturation.
    pub saturation: f64,
    /// Strength for hue.
    pub hue: f64,
}

impl Default for ColourJitterConfig {
    fn default() -> Self {
        Self { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 }
    }
}

/// Changes brightness, contrast, saturation and hue of each image by random amounts, in a random order.
///
/// As torchvision's `ColorJitter`, except that every example has its own amounts and order. The four changes are
/// [`adjust_brightness`](super::adjust_brightness), [`adjust_contrast`](super::adjust_contrast),
/// [`adjust_saturation`](super::adjust_saturation) and [`adjust_hue`](super::adjust_hue); between them nothing is rounded
/// to f32. Values stay in [0, 1]. For images of one channel saturation and hue do nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColourJitter {
    cfg: ColourJitterConfig,
}

impl ColourJitter {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the field.
    pub fn new(cfg: ColourJitterConfig) -> Result<Self> {
        let strength = |field, v: f64| require(field, v.is_finite() && v >= 0.0, "finite and not negative", v);
        strength("ColourJitterConfig.brightness", cfg.brightness)?;
        strength("ColourJitterConfig.contrast", cfg.contrast)?;
        strength("ColourJitterConfig.saturation", cfg.saturation)?;
        require("ColourJitterConfig.hue", (0.0..=0.5).contains(&cfg.hue), "in [0, 0.5]", cfg.hue)?;
        Ok(Self { cfg })
    }
}

impl Augment for ColourJitter {
    /// # Errors
    /// Images of other than 1 or 3 channels; a value outside [0, 1] or NaN (normalise afterwards). With all strengths 0
    /// every image passes.
    fn apply(&self, x: &Tensor, rng: &ExampleRng) -> Result<Tensor> {
        let d = dims(x, rng.examples().len(), "examples of `rng`")?;
        let ColourJitterConfig { brightness: b, contrast: c, saturation: s, hue: h } = self.cfg;
        if [b, c, s, h] == [0.0; 4] {
            return Ok(x.detach());
        }
        let factors = |v: f64| ((1.0 - v).max(0.0), 1.0 + v);
        let (changes, ranges): ([Change; 4], _) =
            ([brightness, contrast, saturation, hue], [factors(b), factors(c), factors(s), (-h, h)]);
        let drawn = draw(rng, "colour jitter", |r| (r.stream("order").permutation(4), r.stream("amounts").uniforms(4)));
        map_colours(x, d, "ColourJitter", |i, image| {
            let (order, u) = &drawn[i];
            for &k in order.iter().filter(|k| [b, c, s, h][**k] > 0.0) {
                let (lo, hi) = ranges[k];
                changes[k](image, d.c, lo + u[k] * (hi - lo));
            }
        })
    }
}

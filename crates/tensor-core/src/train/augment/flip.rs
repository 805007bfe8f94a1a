//! Mirror images.

use super::images::{dims, move_pixels};
use super::{Augment, draw};
use crate::{ExampleRng, Result, error::require};
use candle_core::Tensor;

/// Mirrors image `i` left to right where `flips[i]`: `y[.., r, c] = x[.., r, W - 1 - c]`.
///
/// # Shapes
/// (N, C, H, W) and N flips -> (N, C, H, W). NaN and infinities are moved like any other value.
///
/// # Errors
/// Another shape, another number of flips, or a data type other than f32 and f64.
pub fn flip_horizontal(x: &Tensor, flips: &[bool]) -> Result<Tensor> {
    let d = dims(x, flips.len(), "flips")?;
    move_pixels(x, d, 0.0, |i, r, c| Some((r, if flips[i] { d.w - 1 - c } else { c })))
}

/// Mirrors image `i` upside down where `flips[i]`: `y[.., r, c] = x[.., H - 1 - r, c]`.
///
/// # Shapes
/// (N, C, H, W) and N flips -> (N, C, H, W). NaN and infinities are moved like any other value.
///
/// # Errors
/// Another shape, another number of flips, or a data type other than f32 and f64.
pub fn flip_vertical(x: &Tensor, flips: &[bool]) -> Result<Tensor> {
    let d = dims(x, flips.len(), "flips")?;
    move_pixels(x, d, 0.0, |i, r, c| Some((if flips[i] { d.h - 1 - r } else { r }, c)))
}

/// Configuration of [`HorizontalFlip`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `p` | 0.5 | probability that an image is mirrored | [0, 1] |
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct HorizontalFlipConfig {
    /// Probability that an image is mirrored.
    pub p: f64,
}

impl Default for HorizontalFlipConfig {
    fn default() -> Self {
        Self { p: 0.5 }
    }
}

/// Mirrors each image left to right with probability `p` ([`flip_horizontal`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HorizontalFlip {
    cfg: HorizontalFlipConfig,
}

impl HorizontalFlip {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where `p` is not in [0, 1].
    pub fn new(cfg: HorizontalFlipConfig) -> Result<Self> {
        require("HorizontalFlipConfig.p", (0.0..=1.0).contains(&cfg.p), "in [0, 1]", cfg.p)?;
        Ok(Self { cfg })
    }
}

impl Augment for HorizontalFlip {
    /// # Errors
    /// Those of [`flip_horizontal`].
    fn apply(&self, x: &Tensor, rng: &ExampleRng) -> Result<Tensor> {
        flip_horizontal(x, &draw(rng, "horizontal flip", |r| r.uniforms(1)[0] < self.cfg.p))
    }
}

/// Configuration of [`VerticalFlip`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `p` | 0.5 | probability that an image is mirrored | [0, 1] |
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct VerticalFlipConfig {
    /// Probability that an image is mirrored.
    pub p: f64,
}

impl Default for VerticalFlipConfig {
    fn default() -> Self {
        Self { p: 0.5 }
    }
}

/// Mirrors each image upside down with probability `p` ([`flip_vertical`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VerticalFlip {
    cfg: VerticalFlipConfig,
}

impl VerticalFlip {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where `p` is not in [0, 1].
    pub fn new(cfg: VerticalFlipConfig) -> Result<Self> {
        require("VerticalFlipConfig.p", (0.0..=1.0).contains(&cfg.p), "in [0, 1]", cfg.p)?;
        Ok(Self { cfg })
    }
}

impl Augment for VerticalFlip {
    /// # Errors
    /// Those of [`flip_vertical`].
    fn apply(&self, x: &Tensor, rng: &ExampleRng) -> Result<Tensor> {
        flip_vertical(x, &draw(rng, "vertical flip", |r| r.uniforms(1)[0] < self.cfg.p))
    }
}

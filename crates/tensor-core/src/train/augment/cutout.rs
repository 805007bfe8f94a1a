//! Squares that are cut out of images.

use super::images::{dims, move_pixels};
use super::{Augment, draw};
use crate::{Error, ExampleRng, Result, error::require};
use candle_core::Tensor;

/// Fills the square of `size` x `size` pixels around `centres[i]` = (row, column) of image `i`, clipped at the border,
/// with `fill` in every channel. The square's rows are `row - floor(size / 2) .. row - floor(size / 2) + size`; its
/// columns likewise. A `size` of 0 changes nothing.
///
/// # Shapes
/// (N, C, H, W) and N centres -> (N, C, H, W). NaN and infinities outside the square stay.
///
/// # Errors
/// Another shape, another number of centres, or a data type other than f32 and f64; a centre outside the image.
pub fn cutout_at(x: &Tensor, centres: &[(usize, usize)], size: usize, fill: f64) -> Result<Tensor> {
    let d = dims(x, centres.len(), "centres")?;
    if let Some((i, c)) = centres.iter().enumerate().find(|(_, c)| c.0 >= d.h || c.1 >= d.w) {
        let reason = format!("{c:?} of image {i} is outside its {} x {} pixels", d.h, d.w);
        return Err(Error::value("centres of cutout_at", reason));
    }
    // `at` lies in the square of `centre` exactly where 0 <= at + floor(size / 2) - centre < size.
    let inside =
        |at: usize, centre: usize| at.saturating_add(size / 2).checked_sub(centre).is_some_and(|offset| offset < size);
    move_pixels(x, d, fill, |i, r, c| (!(inside(r, centres[i].0) && inside(c, centres[i].1))).then_some((r, c)))
}

/// Configuration of [`Cutout`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `size` | 16 | side of the square in pixels | >= 0 |
/// | `fill` | 0 | value inside the square | finite |
///
/// The paper uses squares of 16 pixels for CIFAR-10, 8 for CIFAR-100 and 20 for SVHN, and fills with 0 images that are
/// already centred at 0. For images in [0, 1] that the network normalises itself, the same fill is the mean of the data.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct CutoutConfig {
    /// Side of the square in pixels.
    pub size: usize,
    /// Value inside the square.
    pub fill: f64,
}

impl Default for CutoutConfig {
    fn default() -> Self {
        Self { size: 16, fill: 0.0 }
    }
}

/// Fills one square in each image; its centre is uniform over the image's pixels and its parts beyond the border are
/// clipped ([`cutout_at`]).
///
/// Source: DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout" (2017,
/// arXiv 1708.04552), section 3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cutout {
    cfg: CutoutConfig,
}

impl Cutout {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] where `fill` is not finite.
    pub fn new(cfg: CutoutConfig) -> Result<Self> {
        require("CutoutConfig.fill", cfg.fill.is_finite(), "finite", cfg.fill)?;
        Ok(Self { cfg })
    }
}

impl Augment for Cutout {
    /// # Errors
    /// Those of [`cutout_at`].
    fn apply(&self, x: &Tensor, rng: &ExampleRng) -> Result<Tensor> {
        let d = dims(x, rng.examples().len(), "examples of `rng`")?;
        if d.h == 0 || d.w == 0 {
            return Ok(x.detach());
        }
        let below = |r: &crate::Rng, n: usize| r.below(1, n as u64)[0] as usize;
        let centres = draw(rng, "cutout", |r| (below(&r.stream("row"), d.h), below(&r.stream("column"), d.w)));
        cutout_at(x, &centres, self.cfg.size, self.cfg.fill)
    }
}

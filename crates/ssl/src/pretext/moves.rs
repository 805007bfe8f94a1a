//! Rotation, flips and crops.

use super::{Pretext, require_variant};
use crate::transforms::Image;
use sconce_tensor_core::{Error, Result, Rng, error::require};

/// Which of four rotations an image has: variant k is k quarter turns counter-clockwise, exact, without interpolation.
///
/// Images must be square to stay of one shape. One rotation is drawn for each image; [`Mixture::all_of`](super::Mixture::all_of)
/// takes all four, as the paper does (a batch of B images is then one of 4 B). In a mixture augmentations come before it, so a
/// flip cannot turn one class into another.
///
/// Source: Gidaris, Singh, Komodakis, "Unsupervised representation learning by predicting image rotations" (ICLR 2018).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation;

impl Pretext for Rotation {
    fn name(&self) -> String {
        "rotation".to_owned()
    }

    fn variants(&self) -> usize {
        4
    }

    fn change(&self, image: Image, variant: usize, _: &Rng) -> Result<Vec<Image>> {
        require_variant(self, variant)?;
        let (c, h, w) = image.dims();
        if h != w {
            return Err(Error::shape("image of `rotation`", "(C, S, S): crop it to a square first", &[c, h, w]));
        }
        Ok(vec![if variant == 0 { image } else { image.rotated(variant) }])
    }
}

/// Whether an image is mirrored left to right: variant 1 is. As an augmentation it mirrors half of the images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flip;

impl Pretext for Flip {
    fn name(&self) -> String {
        "flip".to_owned()
    }

    fn variants(&self) -> usize {
        2
    }

    fn change(&self, image: Image, variant: usize, _: &Rng) -> Result<Vec<Image>> {
        require_variant(self, variant)?;
        Ok(vec![if variant == 0 { image } else { image.flipped_horizontally() }])
    }
}

/// A part of an image, without padding (a border of zeros would give the rotation away): as an augmentation, a random crop.
///
/// Variant v of images that are `margin` larger than the part in both directions starts at row `v / (margin + 1)` and column
/// `v % (margin + 1)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    margin: usize,
}

impl Crop {
    /// Crops that are `margin` pixels smaller than the image in both directions.
    ///
    /// # Errors
    /// [`Error::Config`] for a margin of 0 or above 1024.
    pub fn new(margin: usize) -> Result<Self> {
        require("Crop.margin", (1..=1024).contains(&margin), "in 1..=1024", margin)?;
        Ok(Self { margin })
    }
}

impl Pretext for Crop {
    fn name(&self) -> String {
        "crop".to_owned()
    }

    fn variants(&self) -> usize {
        (self.margin + 1).pow(2)
    }

    fn change(&self, image: Image, variant: usize, _: &Rng) -> Result<Vec<Image>> {
        require_variant(self, variant)?;
        let (_, h, w) = image.dims();
        let (from, m) = ((variant / (self.margin + 1), variant % (self.margin + 1)), self.margin);
        Ok(vec![image.cropped(from, (h.saturating_sub(m), w.saturating_sub(m)))?])
    }
}

//! Pretext tasks: changes of an image whose choice a network has to predict.
//!
//! A pretext task is a value that implements [`Pretext`]: the variants that an image can be changed into, the labels that follow,
//! and the [`Head`] that predicts them. A [`Mixture`] composes several on one image.
//!
//! | Type | An image becomes | Label | Source |
//! |---|---|---|---|
//! | [`Rotation`] | rotated by 0, 90, 180 or 270 degrees | which | Gidaris et al. 2018 (RotNet) |
//! | [`Magnitudes`] | enhanced with one of some magnitudes | which | MP-SSL, arXiv 1912.11603; grids chosen by us |
//! | [`Joint`] | changed by all of its members | the combination, one class | chosen by us |
//! | [`PatchPosition`] | its centre patch and one of the eight around it | which | Doersch et al. 2015 |
//! | [`Jigsaw`] | its tiles in another order | which of some permutations | Noroozi and Favaro 2016 |
//! | [`Colourisation`] | grey | the quantised hue of each cell | after Zhang et al. 2016; the quantisation is ours |
//! | [`Flip`], [`Crop`] | mirrored; cut to a part | whether; where | augmentations, as a rule |
//!
//! An augmentation is a pretext task whose label is not predicted ([`Mixture::augmented_by`]).

mod colourisation;
mod jigsaw;
mod joint;
mod magnitudes;
mod mixture;
mod moves;
mod permutations;
mod position;

pub use colourisation::{Colourisation, ColourisationConfig};
pub use jigsaw::{Jigsaw, JigsawConfig};
pub use joint::Joint;
pub use magnitudes::Magnitudes;
pub use mixture::{MixedBatch, Mixture};
pub use moves::{Crop, Flip, Rotation};
pub use permutations::permutation_set;
pub use position::{PatchPosition, PatchPositionConfig};

use crate::transforms::Image;
use sconce_tensor_core::{Result, Rng};

/// What predicts the labels of a pretext task from the trunk's last feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// One label for each image, by a linear map of pooled features.
    Image {
        /// Classes of the label.
        classes: usize,
    },
    /// One label for each cell of a grid over the image, by one linear map that all cells share.
    Cells {
        /// Classes of a label.
        classes: usize,
        /// Rows and columns of the grid.
        grid: (usize, usize),
    },
}

impl Head {
    /// Classes of a label.
    pub fn classes(self) -> usize {
        match self {
            Self::Image { classes } | Self::Cells { classes, .. } => classes,
        }
    }

    /// Labels of an image.
    pub fn labels(self) -> usize {
        match self {
            Self::Image { .. } => 1,
            Self::Cells { grid, .. } => grid.0 * grid.1,
        }
    }
}

/// A pretext task, as a value.
///
/// All randomness comes from the arguments: the caller draws the variant, and what else an image needs comes from `rng`, which is
/// keyed by the example.
pub trait Pretext: std::fmt::Debug + Send + Sync {
    /// A short name: of the head, of the metrics and of the random stream. Tasks of one mixture have different names.
    fn name(&self) -> String;

    /// How many variants there are of an image, at least 1. They are drawn with equal probability.
    fn variants(&self) -> usize;

    /// The head. By default the variant is predicted.
    fn head(&self) -> Head {
        Head::Image { classes: self.variants() }
    }

    /// How many images [`Pretext::change`] makes of one. The head reads the features of all of them, concatenated.
    fn views(&self) -> usize {
        1
    }

    /// The views of an image in one variant.
    ///
    /// # Errors
    /// [`sconce_tensor_core::Error::Value`] for a variant that does not exist;
    /// [`sconce_tensor_core::Error::Shape`] for an image that the task cannot change.
    fn change(&self, image: Image, variant: usize, rng: &Rng) -> Result<Vec<Image>>;

    /// The labels, of which there are [`Head::labels`]; `image` is as it was before the change. By default the variant.
    ///
    /// # Errors
    /// As [`Pretext::change`].
    fn labels(&self, image: &Image, variant: usize) -> Result<Vec<u32>> {
        let _ = image;
        Ok(vec![variant as u32])
    }
}

/// Checks a variant.
fn require_variant(task: &dyn Pretext, variant: usize) -> Result<()> {
    if variant < task.variants() {
        return Ok(());
    }
    let reason = format!("{variant} is not below the {} variants", task.variants());
    Err(sconce_tensor_core::Error::value(format!("variant of `{}`", task.name()), reason))
}

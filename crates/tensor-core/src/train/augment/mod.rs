//! Data augmentation as values: random changes of images that are keyed by example.
//!
//! An augmentation is a value that implements [`Augment`]. It holds no generator: the caller passes an [`ExampleRng`]
//! that is keyed by (epoch, example), and row `i` of the batch draws from `rng.row(i)` only. The bytes of an augmented
//! example therefore do not depend on the batch size, on its place in the batch, on the number of threads, or on where
//! a run was resumed.
//!
//! | Type | Change | Default |
//! |---|---|---|
//! | [`HorizontalFlip`], [`VerticalFlip`] | mirrors with probability `p` | `p` 0.5 |
//! | [`PaddedCrop`] | pads and crops back to H x W at a random offset | 4 pixels of zeros |
//! | [`QuarterTurns`] | rotates by 0, 90, 180 or 270 degrees | |
//! | [`Cutout`] | fills a square | 16 pixels, 0 |
//! | [`ColourJitter`] | changes brightness, contrast, saturation and hue | 0.4, 0.4, 0.4, 0.1 |
//! | [`nn::Normalize`](crate::nn::Normalize) | `(x - mean) / std`, without randomness | |
//! | [`Compose`] | the members in turn | |
//!
//! Each random type draws the parameters of every example and passes them to a deterministic function, which is public:
//! [`flip_horizontal`], [`flip_vertical`], [`padded_crop`], [`rot90`], [`cutout_at`], [`adjust_brightness`],
//! [`adjust_contrast`], [`adjust_saturation`], [`adjust_hue`]. These functions take one parameter per image and agree
//! with torchvision. [`Mixup`] blends pairs of examples with their labels and is a type of its own.
//!
//! The work is done on the host, in parallel over examples, and the result is put on the device of the input.
//! The result is detached: no gradient flows through an augmentation (it does through [`Mixup::mix`]).
//!
//! ```
//! use sconce_tensor_core::train::augment::{Augment, Compose, HorizontalFlip, HorizontalFlipConfig, PaddedCrop, PaddedCropConfig};
//! use sconce_tensor_core::{Device, ExampleRng, Rng, candle_core::DType};
//! # fn main() -> sconce_tensor_core::Result<()> {
//! let flip = HorizontalFlip::new(HorizontalFlipConfig::default())?;
//! let crop = PaddedCrop::new(PaddedCropConfig::default())?;
//! let augment = Compose::new(vec![Box::new(flip), Box::new(crop)]);
//!
//! // The epoch is part of the key, as a stream: `Rng::at` is left to the examples.
//! let epoch = Rng::new(0).stream("augment").stream("epoch 3");
//! let x = Rng::new(1).uniform((2, 3, 32, 32), 0.0..1.0, DType::F32, &Device::Cpu)?;
//! let both = augment.apply(&x, &ExampleRng::new(epoch, vec![40, 41]))?;
//!
//! // Example 41 gets the same bytes in a batch of its own.
//! let alone = augment.apply(&x.narrow(0, 1, 1)?, &ExampleRng::new(epoch, vec![41]))?;
//! let values = |t: sconce_tensor_core::candle_core::Tensor| t.flatten_all()?.to_vec1::<f32>();
//! assert_eq!(values(both.narrow(0, 1, 1)?)?, values(alone)?);
//! # Ok(())
//! # }
//! ```

mod beta;
mod colour;
mod compose;
mod crop;
mod cutout;
mod flip;
mod images;
mod jitter;
mod mixup;
mod normalize;
mod turn;

pub use colour::{adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation};
pub use compose::Compose;
pub use crop::{PadMode, PaddedCrop, PaddedCropConfig, padded_crop};
pub use cutout::{Cutout, CutoutConfig, cutout_at};
pub use flip::{
    HorizontalFlip, HorizontalFlipConfig, VerticalFlip, VerticalFlipConfig, flip_horizontal, flip_vertical,
};
pub use jitter::{ColourJitter, ColourJitterConfig};
pub use mixup::{Mixup, MixupConfig};
pub use turn::{QuarterTurns, rot90};

use crate::{ExampleRng, Result, Rng};
use candle_core::Tensor;

/// A random change of images, keyed by example.
///
/// An implementation keeps three rules, which `tests/augment.rs` checks for every member of this module:
/// row `i` draws from `rng.row(i)` only, under a stream of the augmentation's own name; the shape, the data type and
/// the device stay; and a strength of zero returns the input exactly.
pub trait Augment: std::fmt::Debug + Send + Sync {
    /// The changed images.
    ///
    /// The caller keys `rng` by (epoch, example). The epoch belongs into the seed or into a stream
    /// ([`Rng::stream`]), not into [`Rng::at`]: `at` counts examples, so epoch 1 of example 3 would draw the same
    /// numbers as epoch 2 of example 2.
    ///
    /// # Shapes
    /// (N, C, H, W) -> (N, C, H, W), of f32 or f64, contiguous or not, on any device. `rng` has N examples.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for another shape or another number of examples,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for another data type, and what the type's own docs name.
    fn apply(&self, x: &Tensor, rng: &ExampleRng) -> Result<Tensor>;
}

/// One value per example, each from its own row of the stream `name`.
fn draw<T>(rng: &ExampleRng, name: &str, one: impl Fn(Rng) -> T) -> Vec<T> {
    let rng = rng.stream(name);
    (0..rng.examples().len()).map(|i| one(rng.row(i))).collect()
}

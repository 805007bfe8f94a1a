//! Exact 8-bit changes of images: enhancements, rotations by 90 degrees, flips, crops.
//!
//! An [`Image`] holds bytes, channel-first, so an image that was normalised cannot get in: [`Images::from_unit`] takes a
//! tensor of values in [0, 1] and refuses any other value. Normalisation is the network's first step
//! ([`crate::trunk::ConvTrunkConfig`]), after all transforms.
//!
//! | Change | Function | Source |
//! |---|---|---|
//! | brightness, colour, contrast, sharpness, solarize, posterize, equalize, autocontrast | [`Enhancement`] | Pillow, byte for byte |
//! | rotation by 0, 90, 180 or 270 degrees, without interpolation | [`Image::rotated`] | `numpy.rot90` |
//! | mirror images | [`Image::flipped_horizontally`], [`Image::flipped_vertically`] | |
//! | a part | [`Image::cropped`] | |
//!
//! Every enhancement commutes with every rotation by 90 degrees exactly: point operations use no position, statistics are
//! those of the set of pixels, and the smoothing kernel of sharpness and its border rule have the symmetry of the square.
//!
//! ```
//! use sconce_ssl::transforms::{EnhancementKind, Image};
//! let image = Image::new(3, 1, 1, vec![200, 100, 50])?;
//! let mut pale = image.clone();
//! EnhancementKind::Color.at(0.1)?.apply(&mut pale);
//! assert_eq!(pale.bytes(), [131, 121, 116]);
//! # Ok::<(), sconce_tensor_core::Error>(())
//! ```

mod blend;
mod enhancement;
mod geometry;
mod image;
mod images;
mod tone;

pub use enhancement::{Enhancement, EnhancementKind};
pub use image::Image;
pub use images::Images;

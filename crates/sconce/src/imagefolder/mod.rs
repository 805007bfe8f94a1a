//! Labelled images in folders, one folder for each class, as torchvision's `ImageFolder` reads them, with its `Resize` and `CenterCrop`.
//!
//! It stands beside `crate::folder`, which reads images to train a generator on: that one has at most 256 classes, refuses what a viewer would see
//! in another way than the file says (transparency), and resizes to squares by a bicubic rule that recorded results depend on. This one gives
//! the bytes that a classifier of torchvision's pipeline was trained on.

mod classes;
mod decode;
mod frame;
mod pixels;
mod read;
mod resample;

pub(crate) use frame::Frame;
pub(crate) use pixels::Pixels;
pub(crate) use read::{Asked, Found, read};

#[cfg(test)]
mod tests;

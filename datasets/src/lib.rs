#![doc = include_str!("../README.md")]

mod bytes;
pub mod catalog;
pub mod cifar;
pub mod csv;
pub mod embedded;
pub mod garments;
#[cfg(feature = "hub")]
mod hub;
pub mod idx;
mod images;
pub mod kdd;
mod lookup;
pub mod npz;
pub mod text;

pub use catalog::{Descriptor, Split};
#[cfg(feature = "hub")]
pub use hub::Hub;
pub use images::Images;
pub use lookup::{Lookup, verify};
pub use sconce_tensor_core::{Error, Result};

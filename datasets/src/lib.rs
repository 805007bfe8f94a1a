#![doc = include_str!("../README.md")]

mod bytes;
pub mod catalog;
pub mod cifar;
pub mod csv;
pub mod embedded;
pub mod idx;
mod images;
mod lookup;

pub use catalog::{Descriptor, Split};
pub use images::Images;
pub use lookup::{Lookup, verify};
pub use sconce_tensor_core::{Error, Result};

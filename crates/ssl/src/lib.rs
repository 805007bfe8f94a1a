#![doc = include_str!("../README.md")]

pub mod mp_ssl;
pub mod pretext;
pub mod probe;
pub mod transforms;
pub mod trunk;
pub mod weighting;

pub use sconce_tensor_core::{Error, Result};

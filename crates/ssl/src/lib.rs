#![doc = include_str!("../README.md")]

pub mod weighting;

pub use sconce_tensor_core::{Error, Result};

#![doc = include_str!("../README.md")]

pub mod probe;
pub mod trunk;

pub use sconce_tensor_core::{Error, Result};

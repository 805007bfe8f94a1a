#![doc = include_str!("../README.md")]

pub mod fidelity;

pub use sconce_tensor_core::{Error, Result};

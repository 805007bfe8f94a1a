#![doc = include_str!("../README.md")]

pub mod domain_fusion;
pub mod fidelity;
pub mod loss;
pub mod nets;
pub mod trainer;

pub use sconce_tensor_core::{Error, Result};

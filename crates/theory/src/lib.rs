#![doc = include_str!("../README.md")]

mod dense;
pub mod logistic;

pub use dense::eigenvalues;
pub use sconce_tensor_core::{Error, Result};

#![doc = include_str!("../README.md")]

mod dense;
mod eigen;
pub mod entropy;
pub mod hessian;
pub mod landscape;
pub mod logistic;
pub mod losses;
pub mod smoothness;
pub mod spectral;
mod weights;

pub use dense::{eigenvalues, principal};
pub use sconce_tensor_core::{Error, Result};
pub use weights::Weights;

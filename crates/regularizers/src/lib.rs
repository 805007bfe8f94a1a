#![doc = include_str!("../README.md")]

mod absum;
mod form;
mod l1;
pub mod spectral;
mod weight_decay;
mod zero_mean;

pub use absum::{Absum, AbsumConfig, SumOver};
pub use form::Form;
pub use l1::{L1, L1Config};
pub use sconce_tensor_core::{Error, Regularizer, Result, Step};
pub use spectral::{SpectralBound, SpectralBoundConfig};
pub use weight_decay::{WeightDecay, WeightDecayConfig};
pub use zero_mean::ZeroMean;

#![doc = include_str!("../README.md")]

mod absum;
mod batch;
mod enforcement;
mod l1;
mod label_smoothing;
mod logit_pairing;
mod logit_squeezing;
#[cfg(feature = "spectral")]
pub mod spectral;
mod weight_decay;
mod zero_mean;

pub use absum::{Absum, AbsumConfig, SumOver};
pub use enforcement::Enforcement;
pub use l1::{L1, L1Config};
pub use label_smoothing::{LabelSmoothing, LabelSmoothingConfig};
pub use logit_pairing::{AdversarialLogitPairing, CleanLogitPairing, LogitPairingConfig};
pub use logit_squeezing::{LogitSqueezing, LogitSqueezingConfig, Squeeze};
pub use sconce_tensor_core::{Error, PenaltyContext, Regularizer, Result};
#[cfg(feature = "spectral")]
pub use spectral::{SpectralBound, SpectralBoundConfig};
pub use weight_decay::{WeightDecay, WeightDecayConfig};
pub use zero_mean::ZeroMean;

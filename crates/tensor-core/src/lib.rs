#![doc = include_str!("../README.md")]

pub mod attack;
pub mod classifier;
pub mod data;
mod device;
pub mod error;
pub mod formats;
pub mod gradcheck;
pub mod nets;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod params;
pub mod regularizer;
mod rng;
pub mod stats;
pub mod store;
pub mod table;
pub mod train;

pub use attack::{Attack, Effort, Goal, Norm, Perturbed, Threat};
pub use candle_core;
#[cfg(feature = "candle-nn")]
pub use candle_nn;
pub use classifier::{Bounds, Classifier};
pub use device::{Device, DeviceSpec};
pub use error::{Error, Result};
pub use nn::{Mode, Module, Network};
pub use params::{Param, Params, Role};
pub use regularizer::{PenaltyContext, Regularizer};
pub use rng::{ExampleRng, Rng};

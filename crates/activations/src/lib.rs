#![doc = include_str!("../README.md")]

pub mod language;
mod logit_function;
mod mixture;
mod output_function;
mod rank;

pub use logit_function::{BoundedLogits, LogitForm, LogitFunction, LogitFunctionConfig};
pub use mixture::{Decoder, Mixture, MixtureConfig};
pub use output_function::{OutputFunction, output_of};
pub use rank::Spectrum;
pub use sconce_tensor_core::ops::Output;
pub use sconce_tensor_core::{Error, Result};

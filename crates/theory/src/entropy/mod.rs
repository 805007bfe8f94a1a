//! EntropySGD: the optimiser, and its objective exactly in few dimensions.

mod optimizer;
mod quadrature;

pub use optimizer::{EntropySgd, EntropySgdConfig};
pub use quadrature::{LocalEntropy, Smoothed};

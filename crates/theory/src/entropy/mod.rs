//! EntropySGD: the optimiser, and its objective computed exactly in one or two dimensions.

mod optimizer;
mod quadrature;

pub use optimizer::{EntropySgd, EntropySgdConfig};
pub use quadrature::{LocalEntropy, LocalEntropyPoint};

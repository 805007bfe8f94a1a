//! Detectors based on neural networks.

pub(crate) mod classifier;
pub(crate) mod deep_sad;
pub(crate) mod deviation;
mod network;
pub(crate) mod reconstruction;
mod residual;
mod scalar;
pub(crate) mod variational;

pub use classifier::NeuralClassifier;
pub use deep_sad::{DeepSad, DeepSadConfig};
pub use deviation::{DevNet, DevNetConfig};
pub use network::{Activation, NetworkConfig};
pub use reconstruction::{Reconstruction, ReconstructionConfig, ReconstructionObjective};
pub use residual::{Residual, abc_loss, log_one_minus_exp, lrc_loss};
pub use variational::{Variational, VariationalConfig};

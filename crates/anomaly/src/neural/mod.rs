//! Detectors that are networks.

mod classifier;
mod deep_sad;
mod deviation;
mod network;
mod reconstruction;
mod residual;
mod scalar;
mod variational;

pub use classifier::NeuralClassifier;
pub use deep_sad::{DeepSad, DeepSadConfig};
pub use deviation::{DevNet, DevNetConfig};
pub use network::{Activation, NetworkConfig};
pub use reconstruction::{Objective, Reconstruction, ReconstructionConfig};
pub use residual::{Residual, abc_loss, log_one_minus_exp, lrc_loss};
pub use variational::{Variational, VariationalConfig};

use crate::{Detector, Loaded, Result};

/// The detector of a name from what was saved.
pub(crate) fn restore(name: &str, from: &Loaded) -> Option<Result<Box<dyn Detector>>> {
    match name {
        "classifier" => Some(classifier::restore(from)),
        "deep-sad" => Some(deep_sad::restore(from)),
        "devnet" => Some(deviation::restore(from)),
        "vae" => Some(variational::restore(from)),
        _ => reconstruction::restore(name, from),
    }
}

#![doc = include_str!("../README.md")]

mod calibrated;
mod classic;
mod detector;
mod encoded;
pub mod methods;
pub mod metrics;
mod neural;
pub mod protocol;
mod registry;
mod rows;
mod scaled;
pub mod testbed;
mod threshold;

pub use calibrated::Calibrated;
pub use classic::{
    Copod, Ecod, Hbos, HbosConfig, IsolationForest, IsolationForestConfig, Knn, KnnConfig, KnnScore, Lof, LofConfig,
    Mahalanobis, MahalanobisConfig, OneClassSvm, OneClassSvmConfig, Pca, PcaConfig, PcaScore,
};
pub use detector::{Detector, Loaded, Method, TrainingRows, save};
pub use encoded::{Encoded, Missing};
pub use neural::{
    Activation, DeepSad, DeepSadConfig, DevNet, DevNetConfig, NetworkConfig, NeuralClassifier, Reconstruction,
    ReconstructionConfig, ReconstructionObjective, Residual, Variational, VariationalConfig, abc_loss,
    log_one_minus_exp, lrc_loss,
};
pub use registry::{load, load_to};
pub use rows::Rows;
pub use scaled::{Scale, Scaled};
pub use sconce_tensor_core::store::State;
pub use sconce_tensor_core::{Error, Result};
pub use threshold::{Conformal, Threshold};

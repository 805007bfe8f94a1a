//! `fidelity`, and the arguments that say what images are compared by.

use super::Places;
use clap::Args;
use std::path::PathBuf;

/// What turns images into features.
#[derive(Clone, Debug, Default, Args)]
pub struct Extractor {
    /// A classifier whose features before the last layer are compared, as `sconce attack` reads it: .safetensors, or .pth/.pt from PyTorch.
    /// Without --model and --trunk the pixels themselves are compared
    #[arg(long, value_name = "FILE", requires = "arch", conflicts_with = "trunk")]
    pub model: Option<PathBuf>,
    /// Its architecture, as for `sconce attack`: resnet18, wrn-28-10, vgg16_bn, ... The sizes are read from the weights
    #[arg(long, requires = "model")]
    pub arch: Option<String>,
    /// The weights to take where the file of --model holds several: the key, or keys joined by dots, such as ema_state_dict
    #[arg(long, value_name = "KEY", requires = "model")]
    pub weights_key: Option<String>,
    /// Channel means, if the classifier was trained on normalised images
    #[arg(long, value_delimiter = ',', requires_all = ["std", "model"])]
    pub mean: Option<Vec<f64>>,
    /// Channel standard deviations, with --mean
    #[arg(long, value_delimiter = ',', requires_all = ["mean", "model"])]
    pub std: Option<Vec<f64>>,
    /// A trunk that `sconce pretrain` saved: the means over positions of its last block are compared
    #[arg(long, value_name = "FILE")]
    pub trunk: Option<PathBuf>,
}

/// Compare generated images with real ones: FID, KID, precision and recall, density and coverage, memorisation, diversity. Beside each number stand those of
/// real images and of the training images in the place of the generated ones.
#[derive(Clone, Debug, Args)]
pub struct Fidelity {
    /// Real images, best those that the generator was not trained on: a folder with PNG or JPEG files (subfolders are classes), a .safetensors or .npz
    /// file with `x` and `y`, or the name of a data set in the catalog, whose test split is used
    #[arg(long, value_name = "FOLDER|FILE|NAME")]
    pub real: String,
    /// Generated images
    #[arg(long, value_name = "FOLDER|FILE")]
    pub generated: String,
    /// The images that the generator was trained on, for the test of memorisation; of a data set the training split. Without them a random half of --real
    /// plays their part
    #[arg(long, value_name = "FOLDER|FILE|NAME")]
    pub train: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub places: Places,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub extractor: Extractor,
    /// Resize all images to SIDE x SIDE pixels (bicubic with antialiasing). Without it all must have one size
    #[arg(long, value_name = "SIDE", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub resize: Option<u32>,
    /// Seed of the random halves, subsets and pairs
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Images per batch of features. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..))]
    pub batch: u64,
    /// Write the result as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write an HTML page with the table, and with generated images beside their nearest training images, to this file
    #[arg(long, visible_alias = "out", value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Device: auto, cpu, cuda:N or metal
    #[arg(long, default_value = "auto")]
    pub device: String,
}

//! `pretrain` and `probe`.

use super::Places;
use clap::Args;
use std::path::PathBuf;

/// Train a trunk on images without labels, by pretext tasks.
#[derive(Clone, Debug, Args)]
pub struct Pretrain {
    /// Images: a folder with PNG or JPEG files of one size (also in subfolders), a .safetensors or .npz file with `x` (N, C, H, W), the name of a
    /// data set in the catalog, whose training split is used, fashion-mnist:embedded, or garments-in-cloth:shape
    #[arg(long, value_name = "FOLDER|FILE|NAME")]
    pub data: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub places: Places,
    /// What is predicted: rotation, color, brightness, contrast, sharpness, solarize, posterize, equalize, autocontrast
    #[arg(long, value_name = "TASKS", value_delimiter = ',', default_value = "rotation,color,sharpness")]
    pub pretext: Vec<String>,
    /// Enhancements that change the images and are not predicted
    #[arg(long, value_name = "TASKS", value_delimiter = ',')]
    pub augment: Vec<String>,
    /// How the tasks are weighted: equal, mgda, mgda-l2, uw, dwa, gradnorm, pcgrad, cagrad, nash-mtl, upgrad and others; a misspelt name lists all
    #[arg(long, value_name = "METHOD", default_value = "mgda")]
    pub weighting: String,
    /// Channels of the trunk's blocks, each a 3x3 convolution
    #[arg(long, value_name = "CHANNELS", value_delimiter = ',', default_value = "16,32,64")]
    pub widths: Vec<usize>,
    /// Passes over the images
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    pub epochs: u64,
    /// Images per batch
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..))]
    pub batch: u64,
    /// Learning rate of SGD with momentum 0.9, at its highest; it follows a cosine
    #[arg(long, default_value_t = 0.1)]
    pub lr: f64,
    /// Sum of the weights of the tasks; it sets the size of a step
    #[arg(long, value_name = "SUM", default_value_t = 1.0)]
    pub weight_sum: f64,
    /// Use only N images, spread over all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub examples: Option<u64>,
    /// Seed of initial values and of all draws
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Save the trunk to this .safetensors file; an interrupted run continues from FILE.checkpoint
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Write losses, accuracies and weights of each epoch as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Device: auto, cpu, cuda:N or metal
    #[arg(long, default_value = "auto")]
    pub device: String,
}

/// Measure what a frozen trunk knows about labels, block by block, beside a random trunk and the images themselves.
#[derive(Clone, Debug, Args)]
pub struct Probe {
    /// A trunk that `pretrain` saved
    #[arg(long, value_name = "FILE")]
    pub trunk: PathBuf,
    /// Labelled images to fit probes on: a folder with one subfolder of PNG or JPEG files per class, a .safetensors or .npz file with `x` and `y`, or
    /// the name of a data set, whose training split is used
    #[arg(long, value_name = "FOLDER|FILE|NAME")]
    pub data: String,
    /// Labelled images to test on (default: the test split of a data set, or a fifth of the images of --data)
    #[arg(long, value_name = "FOLDER|FILE")]
    pub test: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub places: Places,
    /// Use only N images of --data, spread over all; a fifth of them chooses the strength of the penalty
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(10..), default_value_t = 2500)]
    pub examples: u64,
    /// Largest number of features of a block, after pooling
    #[arg(long, value_name = "N", default_value_t = 800, value_parser = clap::value_parser!(u64).range(1..))]
    pub features: u64,
    /// Number of nearest neighbours
    #[arg(long, value_name = "K", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    pub neighbours: u64,
    /// Temperature of the neighbours' votes
    #[arg(long, default_value_t = 0.1)]
    pub temperature: f64,
    /// Write the accuracies as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Device: auto, cpu, cuda:N or metal
    #[arg(long, default_value = "auto")]
    pub device: String,
}

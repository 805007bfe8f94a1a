//! `augment`.

use super::{Extractor, Places};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Train a GAN on a small labelled set of images together with a large one (Domain Fusion), and write new labelled images of the small set's classes.
#[derive(Clone, Debug, Args)]
pub struct Augment {
    /// The images to have more of: a folder with one subfolder of PNG or JPEG files per class, a .safetensors or .npz file with `x` and `y`, or the name of
    /// a data set in the catalog, whose training split is used
    #[arg(long, value_name = "FOLDER|FILE|NAME")]
    pub target: String,
    /// Other labelled images to learn from, of the same kind of picture; their classes are kept apart from the target's. Not needed for --arm target-only
    #[arg(long, value_name = "FOLDER|FILE|NAME")]
    pub outer: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub places: Places,
    /// Folder for the images, one subfolder per class; it must be new or empty, and outside of --target and --outer. The work is kept in FOLDER.partial,
    /// from which an interrupted run continues
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// What the GAN learns from
    #[arg(long, value_enum, default_value = "joint")]
    pub arm: Arm,
    /// Images to write of each class
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub per_class: u64,
    /// Steps of the generator with the target. More than 20 are rounded up to a multiple of their twentieth
    #[arg(long, value_name = "N", default_value_t = 4000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub steps: u64,
    /// Steps before them on the outer images alone, of the arms fine-tuned and freeze-d (default: half of --steps), rounded in the same way
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub outer_steps: Option<u64>,
    /// Kind of the networks: dcgan for CPUs, resnet for GPUs
    #[arg(long, value_enum, default_value = "dcgan")]
    pub net: GanNet,
    /// Channels of the networks at the full side; smaller maps have more
    #[arg(long, value_name = "W", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=512))]
    pub width: u64,
    /// Target images of a step, and as many outer images
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u64).range(2..=4096))]
    pub batch: u64,
    /// Share of the target in the losses of the arm joint, above 0. The default and those of --lr were chosen by us for the lowest FID on Fashion-MNIST at
    /// 14 x 14 pixels, 20 target images of each class, --net dcgan with --width 12, 2,000 steps
    #[arg(long, value_name = "SHARE", default_value_t = 0.9, value_parser = super::share)]
    pub target_weight: f64,
    /// Learning rate of both networks, at its highest; it falls linearly to 0 [default: 1e-3 for the arm joint, 4e-4 for the others]
    #[arg(long, value_name = "RATE", value_parser = super::positive)]
    pub lr: Option<f64>,
    /// Blocks of the discriminator that the arm freeze-d does not train on the target
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=8))]
    pub frozen_blocks: u64,
    /// Share of each target class that is not trained on, rounded down: the measure of what the networks memorise
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = super::share)]
    pub held_out: f64,
    /// Resize all images to SIDE x SIDE pixels (bicubic with antialiasing). Without it all must be square, of one size from 8 to 128
    #[arg(long, value_name = "SIDE", value_parser = clap::value_parser!(u32).range(8..=128))]
    pub resize: Option<u32>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub extractor: Extractor,
    /// Save the generator to this .safetensors file
    #[arg(long, value_name = "FILE")]
    pub model_out: Option<PathBuf>,
    /// Seed of initial values and of all draws
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Write the course of the training and the measures as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Device: auto, cpu, cuda:N or metal
    #[arg(long, default_value = "auto")]
    pub device: String,
}

/// What a GAN learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arm {
    /// Target and outer images together: Domain Fusion
    Joint,
    /// The target alone
    TargetOnly,
    /// The outer images first, then the target
    FineTuned,
    /// The same, with the first blocks of the discriminator frozen on the target
    FreezeD,
}

/// The kinds of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GanNet {
    /// Strided convolutions
    Dcgan,
    /// Residual blocks of the SN-GAN
    Resnet,
}

//! `attack`.

use super::{Data, Shard, positive, share};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Evaluate the robustness of your model: robust accuracy under a suite of attacks, with warnings when the number may be too optimistic.
#[derive(Clone, Debug, Args)]
pub struct Attack {
    /// An ONNX file, or a file with the weights of --arch: safetensors, or what torch.save writes (its content says which, not its ending)
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// The weights to take where the file holds several: the key, or keys joined by dots, such as ema_state_dict (default: trained weights before
    /// averages)
    #[arg(long, value_name = "KEY")]
    pub weights_key: Option<String>,
    /// Architecture by its published name, such as wrn-28-10, preactresnet18, resnet18 to resnet152, resnet20 to resnet110 (CIFAR), vgg16_bn, densenet121,
    /// mobilenet_v2, vit, mlp or smallcnn; or its family, such as resnet or wideresnet. The sizes are read from the weights; a name that says other
    /// ones is an error
    #[arg(long)]
    pub arch: Option<String>,
    /// The value of an ONNX file to attack, such as an output (default: the first output, without a Softmax or Sigmoid at its end)
    #[arg(long, value_name = "NAME")]
    pub output: Option<String>,
    /// The order of axes that an ONNX file expects (default: read off the shape of its input)
    #[arg(long, value_enum)]
    pub layout: Option<Layout>,
    /// What 0 and 1 of the images are to an ONNX file, for example 0,255 or -1,1 (default: 0,1)
    #[arg(long, value_name = "LOW,HIGH", allow_hyphen_values = true, conflicts_with = "mean")]
    pub input_range: Option<String>,
    /// Activation, if it is not the architecture's own (weights do not say it): relu, relu6, leaky-relu, silu or gelu
    #[arg(long, value_name = "NAME")]
    pub activation: Option<String>,
    /// Attention heads of a vit (weights do not say it; by default one for 64 channels)
    #[arg(long, value_name = "N")]
    pub heads: Option<usize>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub data: Data,
    /// Search a counterexample of a verification property in VNN-LIB, instead of attacking images: prints sat with the counterexample, unknown or
    /// timeout. The outputs of the ONNX file are taken as they are
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "arch", "html", "ledger", "at_least", "mean", "input_range", "layout"])]
    pub vnnlib: Option<PathBuf>,
    /// With --vnnlib: search for this many seconds (default: until 20 descents into each region have ended)
    #[arg(long, value_name = "SECONDS", requires = "vnnlib", value_parser = positive)]
    pub timeout: Option<f64>,
    /// Norm (linf, l2 or l1) and radii for inputs in [0, 1], for example linf:8/255, l2:0.5 or linf:2/255,4/255,8/255
    #[arg(long, default_value = "linf:8/255")]
    pub threat: String,
    /// Suite of attacks
    #[arg(long, value_enum, default_value = "standard")]
    pub suite: Suite,
    /// Use only the first N examples (of a folder of images, in a fixed shuffled order)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub examples: Option<u64>,
    /// Channel means, if the model was trained on normalised images, for example 0.491,0.482,0.447
    #[arg(long, value_delimiter = ',', requires = "std")]
    pub mean: Option<Vec<f64>>,
    /// Channel standard deviations, with --mean
    #[arg(long, value_delimiter = ',', requires = "mean")]
    pub std: Option<Vec<f64>>,
    /// Exit with code 3 if the robust accuracy at the smallest radius is below this, or if it has flags
    #[arg(long, value_name = "ACCURACY", value_parser = share)]
    pub at_least: Option<f64>,
    /// Let a number with flags pass --at-least
    #[arg(long, requires = "at_least")]
    pub allow_flags: bool,
    /// Write the result as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write an HTML report to this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Save the result of every attack on every example to this file; an interrupted run continues from it
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// Seed of all attacks
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Examples per batch (default: as many as fit in --memory-mib). Results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub batch: Option<u64>,
    /// Memory limit for one batch, in MiB
    #[arg(long, default_value_t = 1024)]
    pub memory_mib: usize,
    /// Skip the checks that raise trust flags; the status is then "not checked"
    #[arg(long)]
    pub no_checks: bool,
    /// Device: auto, cpu, cuda:N or metal
    #[arg(long, default_value = "auto")]
    pub device: String,
}

/// Evaluate the robustness of your model, or a share of it on one of several machines.
#[derive(Clone, Debug, Args)]
pub struct AttackCommand {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub attack: Attack,
    /// Attack only a share of the examples, and write its ledger to --out: I/N (2/8 is the second of eight), auto where a Slurm array says which
    /// one, or auto/N in a Kubernetes Indexed Job, a HyperQueue array or a PBS array. `sconce merge` joins the ledgers; an interrupted share
    /// continues
    #[arg(long, value_name = "I/N", requires = "out", conflicts_with_all = ["html", "json", "ledger", "at_least", "vnnlib"])]
    pub shard: Option<Shard>,
    /// With --shard: the file for the ledger of the share
    #[arg(long, value_name = "FILE", requires = "shard")]
    pub out: Option<PathBuf>,
}

/// The order of an image's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// Channels first, as in PyTorch
    Nchw,
    /// Channels last, as in TensorFlow
    Nhwc,
}

/// The suites of attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// AutoAttack standard
    Standard,
    /// AutoAttack plus
    Plus,
    /// AutoAttack for randomised models
    Rand,
    /// PGD and a short Square attack: an upper bound, the true robust accuracy is probably lower
    Quick,
    /// The Single Fourier Attack along every frequency
    Fourier,
}

//! The arguments.

use clap::{Parser, ValueEnum};
use sconce_tensor_core::{Error, Norm, Result};
use std::path::PathBuf;

/// Measures how robust a model is, and how far the number is to be trusted.
#[derive(Clone, Debug, Parser)]
#[command(name = "sconce-attack", version)]
pub struct Args {
    /// Weights: safetensors, or .pth/.pt of PyTorch.
    #[arg(long)]
    pub model: PathBuf,
    /// smallcnn, resnet10, resnet18 or resnet34; sizes are read off the weights.
    #[arg(long)]
    pub arch: String,
    /// Images and labels: a .safetensors or .npz file with `x` (N, C, H, W) in [0, 1], or bytes, and `y` (N,).
    #[arg(long)]
    pub data: String,
    /// linf, l2 or l1 with radii in the units of [0, 1]: linf:8/255, l2:0.5, linf:2/255,4/255,8/255.
    #[arg(long, default_value = "linf:8/255")]
    pub threat: String,
    /// Which attacks.
    #[arg(long, value_enum, default_value = "standard")]
    pub suite: SuiteName,
    /// Only the first so many examples.
    #[arg(long)]
    pub examples: Option<usize>,
    /// Channel means, where the model was trained on normalised images: 0.491,0.482,0.447.
    #[arg(long, value_delimiter = ',')]
    pub mean: Option<Vec<f64>>,
    /// Channel deviations, with --mean.
    #[arg(long, value_delimiter = ',')]
    pub std: Option<Vec<f64>>,
    /// Exit 3 where the robust accuracy at the first radius is below this.
    #[arg(long, value_name = "ACCURACY")]
    pub at_least: Option<f64>,
    /// Writes the result for machines.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Writes the result for people.
    #[arg(long)]
    pub html: Option<PathBuf>,
    /// Keeps every attack on every example here; a run that was stopped goes on from it.
    #[arg(long)]
    pub ledger: Option<PathBuf>,
    /// Seed of all attacks.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Examples at a time (default: what fits the memory). Results do not depend on it.
    #[arg(long)]
    pub batch: Option<usize>,
    /// Memory that a batch may take, in MiB.
    #[arg(long, default_value_t = 1024)]
    pub memory_mib: usize,
    /// Leaves out the checks behind the trust flags; the status then says so.
    #[arg(long)]
    pub no_checks: bool,
    /// auto, cpu, cuda:N or metal.
    #[arg(long, default_value = "auto")]
    pub device: String,
}

/// Which attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SuiteName {
    /// AutoAttack standard.
    Standard,
    /// AutoAttack plus.
    Plus,
    /// AutoAttack for randomised models.
    Rand,
    /// A first look: PGD and a short Square.
    Quick,
    /// A single Fourier wave along every frequency.
    Fourier,
}

impl Args {
    /// The norm and the rising radii of `--threat`.
    ///
    /// # Errors
    /// A norm that is not known, a radius that is no number, radii larger than the box.
    pub fn threat(&self) -> Result<(Norm, Vec<f64>)> {
        let bad = |why: String| Error::config("--threat", format!("{why}, got `{}`", self.threat));
        let (norm, radii) = self.threat.split_once(':').ok_or_else(|| bad("must be like linf:8/255".to_owned()))?;
        let norm = match norm.to_lowercase().as_str() {
            "linf" => Norm::Linf,
            "l2" => Norm::L2,
            "l1" => Norm::L1,
            _ => return Err(bad("the norm must be linf, l2 or l1".to_owned())),
        };
        let number = |t: &str| t.trim().parse::<f64>().ok().filter(|v| v.is_finite() && *v >= 0.0);
        let mut eps = Vec::new();
        for text in radii.split(',') {
            let value = match text.split_once('/') {
                Some((a, b)) => number(a).zip(number(b).filter(|b| *b > 0.0)).map(|(a, b)| a / b),
                None => number(text),
            };
            eps.push(value.ok_or_else(|| bad(format!("`{text}` is no radius")))?);
        }
        if norm == Norm::Linf && eps.iter().any(|e| *e > 1.0) {
            return Err(bad("an linf radius above 1 is larger than the box [0, 1] (write 8/255, not 8)".to_owned()));
        }
        eps.sort_by(f64::total_cmp);
        eps.dedup();
        Ok((norm, eps))
    }
}

//! The command-line arguments.

use clap::{Parser, ValueEnum};
use sconce_tensor_core::{Error, Norm, Result};
use std::path::PathBuf;

/// Evaluate the robustness of your model: robust accuracy under a suite of attacks, with warnings when the number may be
/// too optimistic.
#[derive(Clone, Debug, Parser)]
#[command(name = "sconce-attack", version)]
pub struct Args {
    /// File with the weights: .safetensors, or .pth/.pt from PyTorch.
    #[arg(long)]
    pub model: PathBuf,
    /// Architecture: smallcnn, resnet10, resnet18 or resnet34. The sizes are read from the weights.
    #[arg(long)]
    pub arch: String,
    /// File with images and labels: .safetensors or .npz with `x` (N, C, H, W), floats in [0, 1] or bytes, and `y` (N,).
    #[arg(long)]
    pub data: String,
    /// Norm (linf, l2 or l1) and radii for inputs in [0, 1], for example linf:8/255, l2:0.5 or linf:2/255,4/255,8/255.
    #[arg(long, default_value = "linf:8/255")]
    pub threat: String,
    /// Suite of attacks.
    #[arg(long, value_enum, default_value = "standard")]
    pub suite: SuiteName,
    /// Use only the first N examples.
    #[arg(long, value_name = "N")]
    pub examples: Option<usize>,
    /// Channel means, if the model was trained on normalised images, for example 0.491,0.482,0.447.
    #[arg(long, value_delimiter = ',')]
    pub mean: Option<Vec<f64>>,
    /// Channel standard deviations; requires --mean.
    #[arg(long, value_delimiter = ',')]
    pub std: Option<Vec<f64>>,
    /// Exit with code 3 if the robust accuracy at the smallest radius is below this.
    #[arg(long, value_name = "ACCURACY")]
    pub at_least: Option<f64>,
    /// Write the result as JSON to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write an HTML report to this file.
    #[arg(long)]
    pub html: Option<PathBuf>,
    /// Save the result of every attack on every example to this file; an interrupted run continues from it.
    #[arg(long)]
    pub ledger: Option<PathBuf>,
    /// Seed of all attacks.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Examples per batch (default: derived from --memory-mib). Results do not depend on it.
    #[arg(long)]
    pub batch: Option<usize>,
    /// Memory limit for one batch, in MiB.
    #[arg(long, default_value_t = 1024)]
    pub memory_mib: usize,
    /// Skip the checks that raise trust flags; the status is then "not checked".
    #[arg(long)]
    pub no_checks: bool,
    /// Device: auto, cpu, cuda:N or metal.
    #[arg(long, default_value = "auto")]
    pub device: String,
}

/// The suites of attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SuiteName {
    /// AutoAttack standard.
    Standard,
    /// AutoAttack plus.
    Plus,
    /// AutoAttack for randomised models.
    Rand,
    /// PGD and a short Square: the true robust accuracy is probably lower.
    Quick,
    /// The Single Fourier Attack along every frequency.
    Fourier,
}

impl Args {
    /// The norm and the radii of `--threat`, in increasing order.
    ///
    /// # Errors
    /// The norm is unknown, a radius is not a number, or a radius is larger than the box.
    pub fn threat(&self) -> Result<(Norm, Vec<f64>)> {
        let bad = |why: String| Error::config("--threat", format!("{why}, got `{}`", self.threat));
        let (norm, radii) =
            self.threat.split_once(':').ok_or_else(|| bad("must be NORM:RADIUS, for example linf:8/255".to_owned()))?;
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
            eps.push(value.ok_or_else(|| {
                bad(format!("`{text}` is not a radius: use a number such as 0.5 or a fraction such as 8/255"))
            })?);
        }
        if norm == Norm::Linf && eps.iter().any(|e| *e > 1.0) {
            return Err(bad("an linf radius above 1 is larger than the box [0, 1] (write 8/255, not 8)".to_owned()));
        }
        eps.sort_by(f64::total_cmp);
        eps.dedup();
        Ok((norm, eps))
    }
}

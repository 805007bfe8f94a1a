//! `dossier`.

use super::Attack;
use clap::Args;
use std::path::PathBuf;

/// One report on a checkpoint: robust accuracy with its trust flags, curvature, loss landscape, gradient smoothness inside the perturbation
/// ball, and the Fourier heat map.
#[derive(Clone, Debug, Args)]
pub struct Dossier {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub attack: Attack,
    /// Use the first N examples for curvature, landscape, smoothness and the heat map
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    pub geometry_examples: u64,
    /// Number of largest eigenvalues
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub eigenvalues: u64,
    /// Largest number of Hessian-vector products for the eigenvalues; the trace takes 20 more, the density 100
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    pub products: u64,
    /// Points per side of the loss landscape
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u64).range(2..))]
    pub plane: u64,
    /// Folder for report.html and dossier.json (default: dossier/ and the name of the model)
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

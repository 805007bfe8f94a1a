//! `model`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Look into a model's file.
#[derive(Clone, Debug, Subcommand)]
pub enum ModelVerb {
    /// List inputs, outputs, operators and parameters of an ONNX file, and what of it cannot be attacked
    Inspect(Inspect),
}

/// What is in an ONNX file.
#[derive(Clone, Debug, Args)]
pub struct Inspect {
    /// The ONNX file
    #[arg(value_name = "FILE")]
    pub model: PathBuf,
    /// Write the result as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

//! `generate`.

use clap::Args;
use std::path::PathBuf;

/// Sample text from a language model.
#[derive(Clone, Debug, Args)]
pub struct Generate {
    /// The model: `train/TEXT/ARM/seedN.DIGEST.model.safetensors` in the `runs` folder of a reproduction
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// Its vocabulary (default: seedN.vocabulary.txt in the folder of the model)
    #[arg(long, value_name = "FILE")]
    pub vocabulary: Option<PathBuf>,
    /// Number of words to sample
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub words: usize,
    /// Temperature of the softmax: below 1, likely words are drawn more often
    #[arg(long, default_value_t = 1.0)]
    pub temperature: f64,
    /// The text to continue (default: the start of a line), in the letters of the vocabulary, which may be lower case
    #[arg(long, value_name = "TEXT")]
    pub start: Option<String>,
    /// Seed of the sampling
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Write the text with its settings as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

//! The file of a trunk: its weights, and what its shape is.

use anyhow::{Context, Result, bail};
use candle_core::{DType, Tensor};
use sconce_ssl::trunk::{ConvTrunk, ConvTrunkConfig};
use sconce_tensor_core::nn::Normalize;
use sconce_tensor_core::{Device, Module, Rng, store};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a trunk is, beside its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    /// `sconce trunk 1`.
    pub(super) format: String,
    pub(crate) channels: usize,
    pub(super) widths: Vec<usize>,
    /// The pretext tasks that it was trained by, for the reader.
    pub(super) pretext: Vec<String>,
    pub(super) weighting: String,
}

const FORMAT: &str = "sconce trunk 1";

impl Shape {
    pub(super) fn new(channels: usize, widths: &[usize], pretext: &[String], weighting: &str) -> Self {
        let (widths, pretext) = (widths.to_vec(), pretext.to_vec());
        Self { format: FORMAT.to_owned(), channels, widths, pretext, weighting: weighting.to_owned() }
    }

    /// A trunk of this shape with initial values.
    ///
    /// # Errors
    /// A width of 0, or no width.
    pub(super) fn draw(&self, seed: u64, device: &Device) -> Result<ConvTrunk> {
        let normalize = Some(Normalize::new(vec![0.5; self.channels], vec![0.5; self.channels])?);
        let cfg = ConvTrunkConfig { channels: self.channels, normalize, ..ConvTrunkConfig::plain(&self.widths) };
        Ok(ConvTrunk::new(cfg, Rng::new(seed).stream("trunk"), DType::F32, device)?)
    }
}

/// Saves a trunk.
///
/// # Errors
/// The file cannot be written.
pub(super) fn save(path: &Path, trunk: &ConvTrunk, shape: &Shape) -> Result<()> {
    let tensors: Vec<(&str, Tensor)> =
        trunk.params().iter().map(|p| (p.name(), p.var().as_detached_tensor())).collect();
    Ok(store::save(path, tensors, &serde_json::to_string(shape)?)?)
}

/// Loads a trunk.
///
/// # Errors
/// A file that is damaged, or no trunk of this program.
pub(crate) fn load(path: &Path, device: &Device) -> Result<(ConvTrunk, Shape)> {
    let (tensors, meta) = store::load(path, device)?;
    let shape: Shape = serde_json::from_str(&meta)
        .with_context(|| format!("{}: not a trunk that `sconce pretrain` saved", path.display()))?;
    if shape.format != FORMAT {
        bail!("{}: the format is `{}`, this program reads `{FORMAT}`", path.display(), shape.format);
    }
    let trunk = shape.draw(0, device)?;
    trunk.params().restore(&tensors).with_context(|| format!("{}", path.display()))?;
    Ok((trunk, shape))
}

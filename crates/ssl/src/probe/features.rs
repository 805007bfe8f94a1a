//! The features that a trunk has of images.

use super::Pooling;
use crate::trunk::Trunk;
use sconce_tensor_core::candle_core::Tensor;
use sconce_tensor_core::classifier::require_finite;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Error, Mode, Module, Params, Result};

/// The images themselves as the features of one block: the row of a table that every representation has to beat.
#[derive(Clone, Debug)]
pub struct Pixels {
    params: Params,
    channels: usize,
}

impl Pixels {
    /// Images of so many channels.
    pub fn new(channels: usize) -> Self {
        Self { params: Params::new(), channels }
    }
}

impl Module for Pixels {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl Trunk for Pixels {
    fn blocks(&self, x: &Tensor, _mode: Mode) -> Result<Vec<Tensor>> {
        if x.rank() != 4 || x.dim(1)? != self.channels {
            return Err(Error::shape("images", format!("(N, {}, H, W)", self.channels), x.dims()));
        }
        Ok(vec![x.clone()])
    }

    fn channels(&self) -> Vec<usize> {
        vec![self.channels]
    }
}

/// The pooled features of all images in some blocks, counted from 0, without a graph. The trunk works in evaluation mode
/// ([`Mode::Frozen`]) on batches of `batch` images; the result does not depend on the batch size.
///
/// # Shapes
/// Images (N, ...) -> for each of `blocks` (N, C, h, w).
///
/// # Errors
/// A block that does not exist, no images, a batch of 0; [`Error::NotFinite`] for a feature that is not finite; the trunk's.
pub fn extract(trunk: &dyn Trunk, images: &Tensor, blocks: &[(usize, Pooling)], batch: usize) -> Result<Vec<Tensor>> {
    blocks.iter().try_for_each(|(block, _)| require_block(trunk, *block))?;
    require("batch", batch >= 1, "at least 1", batch)?;
    let n = images.dim(0)?;
    if n == 0 {
        return Err(Error::shape("images", "(N, ...), at least one", images.dims()));
    }
    let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); blocks.len()];
    for at in (0..n).step_by(batch) {
        let x = images.narrow(0, at, batch.min(n - at))?.contiguous()?.detach();
        let maps = trunk.blocks(&x, Mode::Frozen)?;
        for (parts, (block, pooling)) in parts.iter_mut().zip(blocks) {
            parts.push(pooling.apply(of_block(&maps, *block)?)?.detach());
        }
    }
    let joined = |(parts, (block, _)): (&Vec<Tensor>, &(usize, Pooling))| {
        let all = Tensor::cat(parts, 0)?;
        require_finite(&format!("features of block {block}"), &all)?;
        Ok(all)
    };
    parts.iter().zip(blocks).map(joined).collect()
}

/// Refuses a block that the trunk does not have.
pub(super) fn require_block(trunk: &dyn Trunk, block: usize) -> Result<()> {
    let blocks = trunk.channels().len();
    require("block", block < blocks, &format!("below the trunk's {blocks} blocks, counted from 0"), block)
}

/// The map of one block.
pub(super) fn of_block(maps: &[Tensor], block: usize) -> Result<&Tensor> {
    let missing = || Error::value("trunk", format!("gives the maps of {} blocks, none of block {block}", maps.len()));
    maps.get(block).ok_or_else(missing)
}

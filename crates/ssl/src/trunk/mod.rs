//! Trunks: the networks whose features are learned.

use sconce_tensor_core::candle_core::Tensor;
use sconce_tensor_core::{Mode, Module, Result};

/// A network in blocks, each of which gives a feature map.
pub trait Trunk: Module {
    /// The feature map of every block, in order. Probes read any of them, pretext heads the last one.
    ///
    /// # Shapes
    /// (N, C, H, W) of values in [0, 1] -> for each block (N, C', H', W'), with C' of [`Trunk::channels`].
    ///
    /// # Errors
    /// An input whose shape does not fit.
    fn blocks(&self, x: &Tensor, mode: Mode) -> Result<Vec<Tensor>>;

    /// The channels of each block's feature map, at least one.
    fn channels(&self) -> Vec<usize>;
}

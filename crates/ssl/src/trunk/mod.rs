//! Trunks: the networks whose features are learned.

mod conv;
mod supervised;

pub use conv::{BlockConfig, BlockPool, ConvTrunk, ConvTrunkConfig};
pub use supervised::Supervised;

use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::{Error, Mode, Module, Params, Result};

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

/// The parameters of a trunk as `trunk.*`, shared with it.
pub(crate) fn adopted(trunk: &dyn Trunk) -> Result<Params> {
    let mut params = Params::new();
    for p in trunk.params().iter() {
        params.adopt(format!("trunk.{}", p.name()), p.role(), p.var().clone())?;
    }
    Ok(params)
}

/// Where parameters live and of what type they are.
pub(crate) fn place(params: &Params) -> Result<(DType, Device)> {
    let first = params.iter().next().map(|p| (p.var().dtype(), p.var().device().clone()));
    first.ok_or_else(|| Error::config("trunk", "must have parameters, got none"))
}

/// The channels of the last block.
pub(crate) fn width(trunk: &dyn Trunk) -> Result<usize> {
    trunk.channels().last().copied().ok_or_else(|| Error::config("trunk", "must have blocks, got none"))
}

/// The feature map of the last block.
pub(crate) fn representation(trunk: &dyn Trunk, x: &Tensor, mode: Mode) -> Result<Tensor> {
    trunk.blocks(x, mode)?.pop().ok_or_else(|| Error::config("trunk", "must have blocks, got none"))
}

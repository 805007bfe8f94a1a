//! A trunk with a fitted head, as a classifier of images.

use super::features::{of_block, require_block};
use super::{LinearHead, Pooling};
use crate::trunk::Trunk;
use sconce_tensor_core::candle_core::Tensor;
use sconce_tensor_core::{Classifier, Mode, Result, ops};

/// A frozen trunk with a fitted linear head, as a classifier of images in [0, 1]: every attack and every measurement of classifiers runs on
/// it.
///
/// The standardisation of the features is folded into the head. Weights are not in the graph; the logits are differentiable in the
/// images.
pub struct ProbeNet<'a> {
    trunk: &'a dyn Trunk,
    block: usize,
    pooling: Pooling,
    head: LinearHead,
}

impl<'a> ProbeNet<'a> {
    /// The head must have been fitted on features of this block, counted from 0, with this pooling.
    ///
    /// # Errors
    /// A block that the trunk does not have.
    pub fn new(trunk: &'a dyn Trunk, block: usize, pooling: Pooling, head: LinearHead) -> Result<Self> {
        require_block(trunk, block)?;
        Ok(Self { trunk, block, pooling, head })
    }
}

impl Classifier for ProbeNet<'_> {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let maps = self.trunk.blocks(x, Mode::Frozen)?;
        let features = self.pooling.apply(of_block(&maps, self.block)?)?.flatten_from(1)?;
        let (weight, bias) = self.head.folded();
        let place = |t: &Tensor| t.to_dtype(features.dtype())?.to_device(features.device());
        ops::linear(&features, &place(weight)?, Some(&place(bias)?))
    }

    fn classes(&self) -> usize {
        self.head.classes()
    }
}

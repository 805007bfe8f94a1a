//! The contract between regularizers and the training loop.

use crate::{Params, Result};
use candle_core::Tensor;

/// What a regularizer may look at in one step of training.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Step<'a> {
    /// The network's parameters.
    pub params: &'a Params,
    /// The batch's logits (N, K), in the graph.
    pub logits: Option<&'a Tensor>,
    /// The batch's labels (N,) of u32.
    pub labels: Option<&'a Tensor>,
    /// Where `logits` are of attacked inputs: those of the clean ones (N, K), in the graph, if they were computed.
    pub clean_logits: Option<&'a Tensor>,
}

impl<'a> Step<'a> {
    /// A step that shows the parameters alone.
    pub fn new(params: &'a Params) -> Self {
        Self { params, logits: None, labels: None, clean_logits: None }
    }

    /// The same with the batch's logits and labels.
    pub fn with_batch(self, logits: &'a Tensor, labels: &'a Tensor) -> Self {
        Self { logits: Some(logits), labels: Some(labels), ..self }
    }
}

impl<'a> Step<'a> {
    /// The same with the logits of the clean inputs.
    pub fn with_clean(self, clean_logits: Option<&'a Tensor>) -> Self {
        Self { clean_logits, ..self }
    }
}

/// A term of the training objective: differentiated with the loss, or applied after the update, or both.
pub trait Regularizer {
    /// A scalar to add to the loss, already weighted; `None` where the term acts after the update.
    ///
    /// # Errors
    /// candle's, or a step that does not show what the term needs.
    fn penalty(&self, step: &Step<'_>) -> Result<Option<Tensor>>;

    /// Acts on the parameters after the optimizer's update with step size `lr` (proximal methods).
    ///
    /// # Errors
    /// candle's only.
    fn after_update(&self, params: &Params, lr: f64) -> Result<()> {
        let _ = (params, lr);
        Ok(())
    }
}

//! The contract between regularizers and the training loop.

use crate::{Params, Result};
use candle_core::Tensor;

/// What a regularizer sees of one step of training.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PenaltyContext<'a> {
    /// The network's parameters.
    pub params: &'a Params,
    /// The batch's logits (N, K), in the graph.
    pub logits: Option<&'a Tensor>,
    /// The batch's labels (N,) of u32.
    pub labels: Option<&'a Tensor>,
    /// The logits (N, K) of the clean inputs, in the graph, where `logits` are those of attacked inputs and these were computed.
    pub clean_logits: Option<&'a Tensor>,
}

impl<'a> PenaltyContext<'a> {
    /// A context with the parameters alone.
    pub fn new(params: &'a Params) -> Self {
        Self { params, logits: None, labels: None, clean_logits: None }
    }

    /// The same with the batch's logits and labels.
    pub fn with_batch(self, logits: &'a Tensor, labels: &'a Tensor) -> Self {
        Self { logits: Some(logits), labels: Some(labels), ..self }
    }

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
    /// candle's, or a context without what the term needs.
    fn penalty(&self, at: &PenaltyContext<'_>) -> Result<Option<Tensor>>;

    /// Acts on the parameters after the optimizer's update at the learning rate `lr` (proximal methods); parameters of a group with a
    /// rate of its own get the same one.
    ///
    /// # Errors
    /// candle's only.
    fn after_update(&self, params: &Params, lr: f64) -> Result<()> {
        let _ = (params, lr);
        Ok(())
    }
}

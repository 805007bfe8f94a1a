//! What a step of training minimises.

use crate::data::Batch;
use crate::nn::{Mode, Network};
use crate::{ExampleRng, Result};
use candle_core::Tensor;

/// The loss of a batch, and the logits it came from.
#[derive(Clone, Debug)]
pub struct LossOutput {
    /// A scalar in the graph.
    pub loss: Tensor,
    /// (N, K), in the graph.
    pub logits: Tensor,
    /// Where `logits` are of attacked inputs: those of the clean ones, if the objective computed them.
    pub clean_logits: Option<Tensor>,
}

/// A training objective: cross-entropy, or an adversarial one.
pub trait Objective {
    /// The loss of a batch, with the network in training mode where it matters.
    ///
    /// # Errors
    /// The network's.
    fn loss(&self, net: &dyn Network, batch: &Batch, rng: &ExampleRng) -> Result<LossOutput>;

    /// After the gradients were taken (or a loss was found not to be finite) and before the weights are updated: an objective that
    /// moved the weights puts them back.
    ///
    /// # Errors
    /// candle's only.
    fn after_backward(&self, net: &dyn Network) -> Result<()> {
        let _ = net;
        Ok(())
    }
}

/// The mean cross-entropy of the batch, with its soft labels where it was mixed.
#[derive(Clone, Copy, Debug, Default)]
pub struct CrossEntropy;

impl Objective for CrossEntropy {
    fn loss(&self, net: &dyn Network, batch: &Batch, _rng: &ExampleRng) -> Result<LossOutput> {
        let logits = net.forward(&batch.x, Mode::Train)?;
        Ok(LossOutput { loss: batch.cross_entropy(&logits)?.mean_all()?, logits, clean_logits: None })
    }
}

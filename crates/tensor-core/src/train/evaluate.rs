//! Metrics of a network on held-out data.

use crate::classifier::{Classifier, logits, predict};
use crate::data::Labelled;
use crate::nn::{Mode, Network};
use crate::{Result, error::require, ops};
use candle_core::DType;

/// Measures a network: what is asked after each epoch of training.
pub trait Evaluate {
    /// Named metrics of the network as it is.
    ///
    /// # Errors
    /// The network's.
    fn evaluate(&self, net: &dyn Network) -> Result<Vec<(String, f64)>>;
}

/// The metrics `accuracy` and `loss` (mean cross-entropy in nats) on labelled examples, in evaluation mode.
///
/// Do not choose an epoch or a hyper-parameter by the examples that the result is reported on.
#[derive(Clone, Debug)]
pub struct HeldOut<'a> {
    data: &'a Labelled,
    batch_size: usize,
}

impl<'a> HeldOut<'a> {
    /// Metrics on some examples, in batches of 250.
    pub fn new(data: &'a Labelled) -> Self {
        Self { data, batch_size: 250 }
    }

    /// The same in batches of another size; results do not depend on it but for rounding of the loss's sum.
    ///
    /// # Errors
    /// A size of 0.
    pub fn batch_size(mut self, examples: usize) -> Result<Self> {
        require("HeldOut.batch_size", examples >= 1, "at least 1", examples)?;
        self.batch_size = examples;
        Ok(self)
    }
}

impl Evaluate for HeldOut<'_> {
    fn evaluate(&self, net: &dyn Network) -> Result<Vec<(String, f64)>> {
        let (mut right, mut sum) = (0, 0.0);
        let n = self.data.len();
        for at in (0..n).step_by(self.batch_size) {
            let part = self.data.slice(at, self.batch_size.min(n - at))?;
            let logits = logits(net, &part.x().contiguous()?)?.detach();
            let y = part.y().contiguous()?;
            sum += ops::cross_entropy(&logits, &y)?.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
            let found = logits.argmax(candle_core::D::Minus1)?.to_vec1::<u32>()?;
            right += found.iter().zip(part.labels()?).filter(|(p, y)| **p == *y).count();
        }
        Ok(vec![("accuracy".to_owned(), right as f64 / n as f64), ("loss".to_owned(), sum / n as f64)])
    }
}

/// The share of examples that a model classifies as labelled, in batches of `batch_size`.
///
/// # Errors
/// As [`predict`].
pub fn accuracy(model: &dyn Classifier, data: &Labelled, batch_size: usize) -> Result<f64> {
    let found = predict(model, data.x(), batch_size)?;
    let right = found.iter().zip(data.labels()?).filter(|(p, y)| **p == *y).count();
    Ok(right as f64 / found.len() as f64)
}

/// Recomputes the running statistics of batch norm by one pass over the data in training mode; weights stay as they are. Averaged
/// weights (EMA, SWA) need it: the statistics of a run are those of its last weights (PyTorch's `update_bn`; there the new
/// statistics are a plain mean over batches, here an exponential one with momentum 0.1).
///
/// # Errors
/// A batch size of 0; the network's.
pub fn refresh_statistics(net: &dyn Network, data: &Labelled, batch_size: usize) -> Result<()> {
    require("refresh_statistics batch_size", batch_size >= 1, "at least 1", batch_size)?;
    for at in (0..data.len()).step_by(batch_size) {
        net.forward(&data.slice(at, batch_size.min(data.len() - at))?.x().contiguous()?.detach(), Mode::Train)?;
    }
    Ok(())
}

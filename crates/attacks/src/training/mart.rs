//! MART: misclassified examples matter more.

use super::attacked;
use super::trades::divergence;
use candle_core::{D, Tensor};
use sconce_tensor_core::classifier::{host_logits, require_logits};
use sconce_tensor_core::data::Batch;
use sconce_tensor_core::error::require;
use sconce_tensor_core::train::{LossOutput, Objective};
use sconce_tensor_core::{Attack, ExampleRng, Mode, Network, Result, ops};

/// `BCE(p', y) + lambda KL(p || p') (1 - p_y)`, with `p` at the clean and `p'` at the attacked input and the boosted
/// cross-entropy `BCE = -log p'_y - log(1 - max_{k != y} p'_k)`. The authors' code weighs with `lambda` 5 on CIFAR-10.
///
/// Source: Wang et al. (2020), equations 9 and 11.
pub struct Mart<'a> {
    attack: &'a dyn Attack,
    lambda: f64,
}

impl<'a> Mart<'a> {
    /// Training against `attack` with a weight.
    ///
    /// # Errors
    /// A `lambda` that is negative or not finite.
    pub fn new(attack: &'a dyn Attack, lambda: f64) -> Result<Self> {
        require("Mart.lambda", lambda.is_finite() && lambda >= 0.0, "finite and >= 0", lambda)?;
        Ok(Self { attack, lambda })
    }
}

/// Keeps logarithms of probabilities finite, as in the authors' code.
const TINY: f64 = 1e-4;

impl Objective for Mart<'_> {
    fn loss(&self, net: &dyn Network, batch: &Batch, rng: &ExampleRng) -> Result<LossOutput> {
        let y = batch.hard_labels("MART")?;
        let x = attacked(self.attack, net, batch, rng)?;
        let clean = net.forward(&batch.x, Mode::Train)?;
        let logits = net.forward(&x, Mode::Train)?;
        let label = y.unsqueeze(1)?;
        let pick = |p: &Tensor, index: &Tensor| -> Result<Tensor> {
            Ok(p.contiguous()?.gather(index, D::Minus1)?.squeeze(1)?)
        };
        let p = ops::log_softmax(&logits)?.exp()?;
        // The rival of each example, by index, so that its gradient is not split between ties.
        require_logits(&logits, batch.y.dim(0)?, net.outputs())?;
        let rows = host_logits(&logits)?;
        let labels = y.to_vec1::<u32>()?;
        let rival: Vec<u32> = rows.iter().zip(labels).map(|(z, y)| crate::loss::rival(z, y as usize) as u32).collect();
        let rival = Tensor::from_vec(rival, (rows.len(), 1), logits.device())?;
        let boost = (pick(&p, &rival)?.affine(-1.0, 1.0 + TINY)?.log()? * -1.0)?;
        let boosted = (ops::cross_entropy(&logits, y)? + boost)?.mean_all()?;
        let doubt = pick(&ops::log_softmax(&clean)?.exp()?, &label)?.affine(-1.0, 1.0)?;
        let apart = (divergence(&clean, &logits)? * doubt)?.mean_all()?;
        Ok(LossOutput { loss: (boosted + (apart * self.lambda)?)?, logits, clean_logits: Some(clean) })
    }
}

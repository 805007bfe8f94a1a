//! Adversarial training.

use crate::geometry;
use sconce_tensor_core::data::Batch;
use sconce_tensor_core::train::{Objective, Outcome};
use sconce_tensor_core::{Attack, ExampleRng, Goal, Mode, Network, Result, ops};

/// The mean cross-entropy at attacked inputs: each batch is attacked with the network frozen (running
/// statistics, no gradients to weights), then learnt from in training mode.
///
/// Source: Madry et al. (2018), equation 2.1.
pub struct Madry<'a> {
    attack: &'a dyn Attack,
}

impl<'a> Madry<'a> {
    /// Training against `attack`.
    pub fn new(attack: &'a dyn Attack) -> Self {
        Self { attack }
    }
}

impl Objective for Madry<'_> {
    fn loss(&self, net: &dyn Network, batch: &Batch, rng: &ExampleRng) -> Result<Outcome> {
        let goal = Goal::Untargeted(batch.y.clone());
        let moved = self.attack.perturb(net, &batch.x, &goal, rng)?.x;
        let x = geometry::project(&moved, &batch.x, self.attack.threat(), net.input_bounds())?;
        let logits = net.forward(&x.detach(), Mode::Train)?;
        Ok(Outcome { loss: ops::cross_entropy(&logits, &batch.y)?.mean_all()?, logits })
    }
}

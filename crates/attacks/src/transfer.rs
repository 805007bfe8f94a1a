//! Attacks made on one model and tried on another.

use candle_core::Tensor;
use sconce_tensor_core::{Attack, Classifier, ExampleRng, Goal, Perturbed, Result, Threat};

/// An attack on a model that stands in for the one under test: the one under test is asked nothing.
///
/// Source: Papernot, McDaniel, Goodfellow (2016).
pub struct Transfer<'a> {
    source: &'a dyn Classifier,
    attack: Box<dyn Attack + 'a>,
}

impl<'a> Transfer<'a> {
    /// `attack` on `source`.
    pub fn new(source: &'a dyn Classifier, attack: Box<dyn Attack + 'a>) -> Self {
        Self { source, attack }
    }
}

impl Attack for Transfer<'_> {
    fn threat(&self) -> Threat {
        self.attack.threat()
    }

    fn perturb(&self, _model: &dyn Classifier, x: &Tensor, goal: &Goal, rng: &ExampleRng) -> Result<Perturbed> {
        let made = self.attack.perturb(self.source, x, goal, rng)?;
        // Passes of the source are not asked of the model under test.
        Perturbed::evenly(made.x, 0, 0)
    }
}

//! Transfer attacks: perturbations that are computed on one model and evaluated on another.

use candle_core::Tensor;
use sconce_tensor_core::{Attack, Classifier, ExampleRng, Goal, Perturbed, Result, Threat};

/// An attack that computes its perturbation on a source model; it does not query the model under test.
///
/// Source: Papernot, McDaniel, Goodfellow (2016).
pub struct Transfer<'a> {
    source: &'a dyn Classifier,
    attack: Box<dyn Attack + 'a>,
}

impl<'a> Transfer<'a> {
    /// The transfer of `attack` from the model `source`.
    pub fn new(source: &'a dyn Classifier, attack: Box<dyn Attack + 'a>) -> Self {
        Self { source, attack }
    }
}

impl Attack for Transfer<'_> {
    fn threat(&self) -> Threat {
        self.attack.threat()
    }

    fn supports(&self, input: &[usize], _classes: usize) -> Result<()> {
        self.attack.supports(input, self.source.classes())
    }

    fn perturb(&self, _model: &dyn Classifier, x: &Tensor, goal: &Goal, rng: &ExampleRng) -> Result<Perturbed> {
        let made = self.attack.perturb(self.source, x, goal, rng)?;
        // The effort counts queries to the model under test, and there are none.
        Perturbed::evenly(made.x, 0, 0)
    }
}

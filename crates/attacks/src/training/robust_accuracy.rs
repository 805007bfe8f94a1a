//! Robust accuracy on held-out examples, for choosing an epoch.

use crate::{RunConfig, run};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::train::Evaluate;
use sconce_tensor_core::{Attack, Goal, Network, Result, Rng};

/// The metrics `clean` and `robust`: accuracy on held-out examples as they are and under an attack.
///
/// The last epoch of adversarial training is often not the best one (robust overfitting; Rice, Wong, Kolter 2020), so keep the
/// epoch with the highest robust accuracy on a validation split. Do not select on the test split.
///
/// ```
/// use sconce_tensor_core::train::KeepBest;
/// // trainer.evaluated_by(&RobustAccuracy::new(&attack, &validation, 0)).keeping(rule)
/// let rule = KeepBest::highest("robust").then_highest("clean");
/// ```
pub struct RobustAccuracy<'a> {
    attack: &'a dyn Attack,
    held_out: &'a Labelled,
    seed: u64,
}

impl<'a> RobustAccuracy<'a> {
    /// Measures with `attack` on `held_out`; the attack starts at the same points in every epoch, by `seed`.
    pub fn new(attack: &'a dyn Attack, held_out: &'a Labelled, seed: u64) -> Self {
        Self { attack, held_out, seed }
    }
}

impl Evaluate for RobustAccuracy<'_> {
    fn evaluate(&self, net: &dyn Network) -> Result<Vec<(String, f64)>> {
        let goal = Goal::Untargeted(self.held_out.y().clone());
        let rng = Rng::new(self.seed).stream("validation");
        let result = run(self.attack, net, self.held_out.x(), &goal, &RunConfig::default(), &rng)?;
        let (clean, robust) = (result.clean_accuracy().rate(), result.robust_accuracy().rate());
        Ok(vec![("clean".to_owned(), clean), ("robust".to_owned(), robust)])
    }
}

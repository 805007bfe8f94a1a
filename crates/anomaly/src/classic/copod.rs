//! COPOD: empirical copulas.

use super::tails::{Tail, TailSum};
use crate::{Detector, Loaded, Method, Result, TrainingRows};
use sconce_tensor_core::Rng;

/// The score is the sum over features of the larger of two `-log` tail probabilities: the mean of the left and the right tail,
/// and the tail on the side of the feature's skewness. New examples are treated as in [`crate::Ecod`].
///
/// Source: Li, Zhao, Botta, Ionescu, Hu (arXiv 2009.09463).
#[derive(Clone, Copy, Debug, Default)]
pub struct Copod;

const NAME: &str = "copod";

fn share(t: &Tail) -> f64 {
    t.skewed().max(0.5 * (t.left + t.right))
}

impl Method for Copod {
    fn fit(&self, train: &TrainingRows<'_>, _: &Rng) -> Result<Box<dyn Detector>> {
        TailSum::fit(NAME, share, train)
    }
}

pub(crate) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    TailSum::restore(NAME, share, from)
}

//! COPOD: empirical copulas.

use super::score_rows;
use super::tails::Tails;
use crate::rows::Rows;
use crate::{Detector, Loaded, Method, Result, State, Training};
use candle_core::Tensor;
use sconce_tensor_core::Rng;

/// The sum over features of the larger of two `-log` tail probabilities: the mean of left and right, and the side that the
/// feature is skewed to. New examples are treated as by [`crate::Ecod`].
///
/// Source: Li, Zhao, Botta, Ionescu, Hu (arXiv 2009.09463).
#[derive(Clone, Copy, Debug, Default)]
pub struct Copod;

#[derive(Debug)]
struct Fitted(Tails);

impl Method for Copod {
    fn fit(&self, train: &Training<'_>, _: &Rng) -> Result<Box<dyn Detector>> {
        Ok(Box::new(Fitted(Tails::of(&Rows::of(&train.normals()?)?))))
    }
}

pub(super) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    Ok(Box::new(Fitted(Tails::restore(from)?)))
}

impl Detector for Fitted {
    fn name(&self) -> &'static str {
        "copod"
    }

    fn features(&self) -> usize {
        self.0.width()
    }

    fn score(&self, x: &Tensor) -> Result<Tensor> {
        score_rows(x, self.0.width(), |row| self.0.at(row).map(|t| t.skewed().max(0.5 * (t.left + t.right))).sum())
    }

    fn state(&self) -> Result<State> {
        self.0.state()
    }
}

//! Scores of the outer sets before any GAN is trained.

use super::config::{Outer, Target};
use super::evaluator::{Evaluator, Measure};
use super::score::similarity;
use crate::jobs::{Job, Work};
use anyhow::Result;
use sconce_gan::domain_fusion::{OuterScore, OuterScoreConfig, score_outer};
use sconce_tensor_core::Rng;
use serde::Serialize;

/// The score of one outer set for the target's n images.
#[derive(Clone, Copy, Serialize)]
pub struct Suits<'a> {
    pub target: &'a Target,
    pub outer: &'a Outer,
    pub n: usize,
    pub seed: u64,
    pub evaluator: Evaluator<'a>,
}

impl Job for Suits<'_> {
    type Output = OuterScore;

    fn key(&self) -> String {
        format!("outer/{}/n{}/seed{}", self.outer.name, self.n, self.seed)
    }

    fn needs(&self) -> Vec<String> {
        vec![self.evaluator.key()]
    }

    fn cost(&self) -> f64 {
        1.0
    }

    fn run(&self, work: &Work<'_>) -> Result<OuterScore> {
        let measure = Measure::restored(&self.evaluator, work)?;
        let parts = self.target.load(self.n, self.seed, work.site)?;
        let outer = self.outer.load(self.target.pool, work.site)?;
        let rng = Rng::new(self.seed);
        Ok(score_outer(&parts.train, &outer, &measure.extractor(), &similarity()?, OuterScoreConfig::default(), &rng)?)
    }
}

//! The jobs of `sigsoftmax` that choose rates, on selection seeds and the validation text.

use super::config::Selection;
use super::language::{Learner, forget};
use crate::jobs::{Job, Work};
use crate::pieces::choice::{self, Choice, Value};
use anyhow::Result;
use serde::Serialize;

/// One rate, trained with a selection seed: the loss on the validation text.
#[derive(Clone, Copy, Serialize)]
pub struct Select<'a> {
    pub learner: Learner<'a>,
    /// Words of the training text, from its start; 0 for all.
    pub words: usize,
    pub lr: f64,
    pub seed: u64,
}

impl Job for Select<'_> {
    type Output = f64;

    fn key(&self) -> String {
        format!("select/{}-{}/seed{}", self.learner.place(), self.lr, self.seed)
    }

    fn cost(&self) -> f64 {
        self.learner.cost(self.words)
    }

    fn run(&self, work: &Work<'_>) -> Result<f64> {
        let (_, history) = self.learner.fit(work, self.lr, self.seed, self.words)?;
        forget(work)?;
        Ok(history.epochs[history.best].validation.nll)
    }
}

/// The rate of an arm, chosen from its grid.
#[derive(Clone, Copy, Serialize)]
pub struct Choose<'a> {
    pub learner: Learner<'a>,
    pub selection: &'a Selection,
    pub rates: &'a [f64],
}

impl<'a> Choose<'a> {
    fn select(&self, lr: f64, seed: u64) -> Select<'a> {
        Select { learner: self.learner, words: self.selection.words, lr, seed }
    }

    /// The jobs of the grid.
    pub fn grid(&self) -> Vec<Select<'a>> {
        let seeds = &self.selection.seeds;
        self.rates.iter().flat_map(|lr| seeds.iter().map(|s| self.select(*lr, *s))).collect()
    }
}

impl Job for Choose<'_> {
    /// The mean loss of each rate.
    type Output = Choice<f64>;

    fn key(&self) -> String {
        format!("choose/{}", self.learner.place())
    }

    fn needs(&self) -> Vec<String> {
        self.grid().iter().map(Job::key).collect()
    }

    fn cost(&self) -> f64 {
        0.0
    }

    fn run(&self, work: &Work<'_>) -> Result<Choice<f64>> {
        let mean = |lr: f64| -> Result<f64> {
            let one = |s: &u64| work.of_grid(&self.select(lr, *s));
            let all = self.selection.seeds.iter().map(one).collect::<Result<Vec<_>>>()?;
            Ok(all.iter().sum::<f64>() / all.len() as f64)
        };
        let lowest = |t: &[(f64, f64)]| (0..t.len()).min_by(|a, b| t[*a].1.total_cmp(&t[*b].1));
        choice::choose(self.rates, self.selection.widen, mean, lowest)
    }
}

/// Where the rate of an arm comes from.
pub type Rate<'a> = Value<Choose<'a>>;

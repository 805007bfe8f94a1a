//! The jobs of `sigsoftmax` that choose rates, on selection seeds and the validation text.

use super::config::Selection;
use super::language::Learner;
use crate::jobs::{Job, Work};
use crate::pieces::choice::{self, Best, Choice, Value};
use crate::pieces::train;
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
    /// None where training diverged.
    type Output = Option<f64>;

    fn key(&self) -> String {
        format!("select/{}-{}/seed{}", self.learner.place(), self.lr, self.seed)
    }

    fn cost(&self) -> f64 {
        self.learner.cost(self.words)
    }

    fn run(&self, work: &Work<'_>) -> Result<Option<f64>> {
        let trained = train::unless_diverged(self.learner.fit(work, self.lr, self.seed, self.words))?;
        Ok(trained.map(|(_, history)| history.epochs[history.best].validation.nll))
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
    type Output = Choice<Option<f64>>;

    fn key(&self) -> String {
        format!("choose/{}", self.learner.place())
    }

    fn needs(&self) -> Vec<String> {
        self.grid().iter().map(Job::key).collect()
    }

    fn cost(&self) -> f64 {
        0.0
    }

    fn run(&self, work: &Work<'_>) -> Result<Self::Output> {
        let mean = |lr: f64| -> Result<Option<f64>> {
            let one = |s: &u64| work.of_grid(&self.select(lr, *s));
            let all = self.selection.seeds.iter().map(one).collect::<Result<Option<Vec<_>>>>()?;
            Ok(all.map(|a| a.iter().sum::<f64>() / a.len() as f64))
        };
        let lowest = |t: &[(f64, Option<f64>)]| {
            let all = t.iter().enumerate().filter_map(|(i, t)| Some((i, t.1?)));
            Some(Best::keeping_the_rule(all.min_by(|a, b| a.1.total_cmp(&b.1))?.0))
        };
        choice::choose(self.rates, self.selection.widen, mean, lowest)
    }
}

/// Where the rate of an arm comes from.
pub type Rate<'a> = Value<Choose<'a>>;

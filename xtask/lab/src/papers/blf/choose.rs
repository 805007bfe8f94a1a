//! The jobs of `blf` that choose constants, on selection seeds and the validation split.

use super::attacks;
use super::config::{ArmName, Selection};
use super::training::Setting;
use crate::jobs::{Job, Work};
use crate::pieces::choice::{self, Best, Choice, Value};
use crate::pieces::train;
use anyhow::{Context, Result};
use sconce_attacks::{Goal, RunConfig};
use sconce_tensor_core::Rng;
use serde::{Deserialize, Serialize};

/// One value of a constant, trained with a selection seed and measured on the validation split.
#[derive(Clone, Copy, Serialize)]
pub struct Select<'a> {
    pub setting: Setting<'a>,
    /// Radius and steps of the naive attack.
    pub eps: f64,
    pub steps: usize,
    pub arm: ArmName,
    pub value: f64,
    pub seed: u64,
}

/// What a constant is chosen by: clean and naive robust accuracy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validated {
    pub clean: f64,
    pub robust: f64,
}

impl Job for Select<'_> {
    /// None where training diverged.
    type Output = Option<Validated>;

    fn key(&self) -> String {
        let value = if self.arm == ArmName::Plain { String::new() } else { format!("-{}", self.value) };
        format!("select/{}/{}{value}/seed{}", self.setting.kind(), self.arm.name(), self.seed)
    }

    fn cost(&self) -> f64 {
        self.setting.cost()
    }

    fn run(&self, work: &Work<'_>) -> Result<Option<Validated>> {
        let trained = self.setting.fit(work, (self.arm, self.value, self.seed), None);
        let Some((net, _)) = train::unless_diverged(trained)? else { return Ok(None) };
        let parts = self.setting.data.load(work.site)?;
        let (x, goal) = (parts.validation.x(), Goal::Untargeted(parts.validation.y().clone()));
        let (pgd, rng) = (attacks::naive(self.steps, self.eps)?, Rng::new(0).stream("selection"));
        let judged = sconce_attacks::run(&pgd, &net, x, &goal, &RunConfig::default(), &rng)?;
        Ok(Some(Validated { clean: judged.clean_accuracy().rate(), robust: judged.robust_accuracy().rate() }))
    }
}

/// The constant of an arm, chosen from its grid.
#[derive(Clone, Copy, Serialize)]
pub struct Choose<'a> {
    pub setting: Setting<'a>,
    pub eps: f64,
    pub steps: usize,
    pub selection: &'a Selection,
    pub arm: ArmName,
    pub values: &'a [f64],
}

impl<'a> Choose<'a> {
    /// A value with a selection seed.
    fn select(&self, arm: ArmName, value: f64, seed: u64) -> Select<'a> {
        Select { setting: self.setting, eps: self.eps, steps: self.steps, arm, value, seed }
    }

    /// The jobs of the grid, those of the plain arm first: its clean accuracy sets the floor.
    pub fn grid(&self) -> Vec<Select<'a>> {
        let values = [(ArmName::Plain, 0.0)].into_iter().chain(self.values.iter().map(|v| (self.arm, *v)));
        values.flat_map(|(arm, v)| self.selection.seeds.iter().map(move |s| self.select(arm, v, *s))).collect()
    }
}

impl Job for Choose<'_> {
    type Output = Choice<Option<Validated>>;

    fn key(&self) -> String {
        format!("choose/{}/{}", self.setting.kind(), self.arm.name())
    }

    fn needs(&self) -> Vec<String> {
        self.grid().iter().map(Job::key).collect()
    }

    fn cost(&self) -> f64 {
        0.0
    }

    fn run(&self, work: &Work<'_>) -> Result<Self::Output> {
        // None where training diverged with a seed, and past the last value that the constant may have.
        let mean = |arm: ArmName, value: f64| -> Result<Option<Validated>> {
            if !arm.takes(self.setting.blf, value) {
                return Ok(None);
            }
            let one = |s: &u64| work.of_grid(&self.select(arm, value, *s));
            let all: Option<Vec<Validated>> =
                self.selection.seeds.iter().map(one).collect::<Result<Vec<_>>>()?.into_iter().collect();
            let mean = |all: &[Validated], f: fn(&Validated) -> f64| all.iter().map(f).sum::<f64>() / all.len() as f64;
            Ok(all.map(|a| Validated { clean: mean(&a, |v| v.clean), robust: mean(&a, |v| v.robust) }))
        };
        let plain =
            mean(ArmName::Plain, 0.0)?.context("plain training diverged: there is no clean accuracy to keep")?;
        let floor = plain.clean - self.selection.max_clean_drop;
        choice::choose(self.values, self.selection.widen, |v| mean(self.arm, v), |t| best(t, floor))
    }
}

/// The rule of the recipe: the best robust accuracy among those that keep clean accuracy; where none keeps it, the one with the
/// highest clean accuracy.
fn best(tried: &[(f64, Option<Validated>)], floor: f64) -> Option<Best> {
    let all = || tried.iter().enumerate().filter_map(|(i, t)| Some((i, t.1?)));
    let kept = all().filter(|(_, v)| v.clean >= floor).max_by(|a, b| a.1.robust.total_cmp(&b.1.robust));
    match kept {
        Some((at, _)) => Some(Best::keeping_the_rule(at)),
        None => Some(Best::breaking_the_rule(all().max_by(|a, b| a.1.clean.total_cmp(&b.1.clean))?.0)),
    }
}

/// Where the constant of an arm comes from.
pub type Constant<'a> = Value<Choose<'a>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_robust_value_that_keeps_clean_accuracy_is_best() {
        let v = |clean, robust| Some(Validated { clean, robust });
        let tried = [(0.5, v(0.9, 0.1)), (1.0, v(0.88, 0.3)), (2.0, v(0.8, 0.5)), (4.0, None)];
        assert_eq!(best(&tried, 0.87), Some(Best::keeping_the_rule(1)));
        assert_eq!(best(&tried, 0.95), Some(Best::breaking_the_rule(0)), "none keeps it");
        assert_eq!(best(&[(1.0, None)], 0.0), None, "every value diverged");
    }
}

//! The jobs of `absum` that choose weights, on selection seeds and the validation split.

use super::config::{Arm, ArmName, Selection, Setting, Sfa};
use super::jobs::{fit, training};
use super::measures;
use crate::jobs::{Job, Work};
use crate::pieces::choice::{self, Best, Choice, Value};
use crate::pieces::train::{self, Train};
use anyhow::{Context, Result};
use sconce_attacks::fourier::Directions;
use serde::{Deserialize, Serialize};

/// The weight of an arm: the recipe's, or a chosen one.
pub type Lambda<'a> = Value<Choose<'a>>;

/// One weight, trained with a selection seed and measured on the validation split.
#[derive(Clone, Copy, Serialize)]
pub struct Select<'a> {
    pub setting: &'a Setting,
    pub train: &'a Train,
    pub sfa: &'a Sfa,
    pub every_direction: usize,
    pub arm: ArmName,
    pub lambda: f64,
    pub seed: u64,
}

/// What a weight is chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validated {
    pub clean: f64,
    pub sfa_avg: f64,
    pub sfa_worst: f64,
}

impl Job for Select<'_> {
    /// None where training diverged.
    type Output = Option<Validated>;

    fn key(&self) -> String {
        let lambda = if self.arm == ArmName::None { String::new() } else { format!("-{}", self.lambda) };
        format!("select/{}/{}{lambda}/seed{}", self.setting.id, self.arm.name(), self.seed)
    }

    fn cost(&self) -> f64 {
        training(self.setting, self.train.epochs)
    }

    fn run(&self, work: &Work<'_>) -> Result<Option<Validated>> {
        let of = (self.arm, self.lambda, self.seed);
        let Some((net, _)) = train::unless_diverged(fit(work, (self.setting, self.train), of, None, None))? else {
            return Ok(None);
        };
        let v = &self.setting.data.load(work.site)?.validation;
        let directions = Directions::Every(self.every_direction);
        let map = measures::sweep(self.sfa, &*net, v, self.setting.eps_255, directions, &|_, _| ())?;
        let clean = measures::accuracy(&*net, v.x(), v)?;
        Ok(Some(Validated { clean, sfa_avg: map.average(), sfa_worst: map.worst().0 }))
    }
}

/// The weight of an arm.
#[derive(Clone, Copy, Serialize)]
pub struct Choose<'a> {
    pub setting: &'a Setting,
    pub train: &'a Train,
    pub sfa: &'a Sfa,
    pub selection: &'a Selection,
    pub arm: &'a Arm,
    /// The arm without a regularizer.
    pub none: &'a Arm,
}

impl<'a> Choose<'a> {
    /// A weight with a selection seed.
    fn select(&self, arm: ArmName, lambda: f64, seed: u64) -> Select<'a> {
        let Self { setting, train, sfa, selection, .. } = *self;
        Select { setting, train, sfa, every_direction: selection.every_direction, arm, lambda, seed }
    }

    /// The jobs of the grid.
    pub fn grid(&self) -> Vec<Select<'a>> {
        let seeds = || self.selection.seeds.iter();
        let of = |arm: &Arm| -> Vec<Select<'a>> {
            arm.lambdas.iter().flat_map(|l| seeds().map(|s| self.select(arm.name, *l, *s))).collect()
        };
        [of(self.none), of(self.arm)].concat()
    }
}

impl Job for Choose<'_> {
    type Output = Choice<Option<Validated>>;

    fn key(&self) -> String {
        format!("choose/{}/{}", self.setting.id, self.arm.name.name())
    }

    fn needs(&self) -> Vec<String> {
        self.grid().iter().map(Job::key).collect()
    }

    fn cost(&self) -> f64 {
        0.0
    }

    fn run(&self, work: &Work<'_>) -> Result<Self::Output> {
        let mean = |arm: ArmName, lambda: f64| -> Result<Option<Validated>> {
            let one = |s: &u64| work.of_grid(&self.select(arm, lambda, *s));
            let all = self.selection.seeds.iter().map(one).collect::<Result<Option<Vec<_>>>>()?;
            let mean = |all: &[Validated], f: fn(&Validated) -> f64| all.iter().map(f).sum::<f64>() / all.len() as f64;
            Ok(all.map(|a| Validated {
                clean: mean(&a, |v| v.clean),
                sfa_avg: mean(&a, |v| v.sfa_avg),
                sfa_worst: mean(&a, |v| v.sfa_worst),
            }))
        };
        let none = mean(ArmName::None, self.none.lambdas[0])?.context("training without a regularizer diverged")?;
        let floor = none.clean - self.selection.max_clean_drop;
        choice::choose(&self.arm.lambdas, self.selection.widen, |l| mean(self.arm.name, l), |t| best(t, floor))
    }
}

/// The rule of the recipe: the best average under the waves among those that keep clean accuracy; where none keeps it, the one with the
/// highest clean accuracy.
fn best(tried: &[(f64, Option<Validated>)], floor: f64) -> Option<Best> {
    let all = || tried.iter().enumerate().filter_map(|(i, t)| Some((i, t.1?)));
    let kept = all().filter(|(_, v)| v.clean >= floor).max_by(|a, b| a.1.sfa_avg.total_cmp(&b.1.sfa_avg));
    match kept {
        Some((at, _)) => Some(Best::keeping_the_rule(at)),
        None => Some(Best::breaking_the_rule(all().max_by(|a, b| a.1.clean.total_cmp(&b.1.clean))?.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_that_keeps_clean_accuracy_is_chosen() {
        let v = |clean, sfa_avg| Some(Validated { clean, sfa_avg, sfa_worst: 0.0 });
        let tried = [(1.0, v(0.90, 0.5)), (2.0, v(0.89, 0.7)), (3.0, v(0.80, 0.9)), (9.0, None)];
        assert_eq!(best(&tried, 0.88), Some(Best::keeping_the_rule(1)));
        assert_eq!(best(&tried, 0.95), Some(Best::breaking_the_rule(0)));
        assert_eq!(best(&[(1.0, None)], 0.0), None);
    }
}

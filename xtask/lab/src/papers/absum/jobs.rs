//! The jobs of `absum`: choosing weights, training, and measuring.

use super::config::{Adversarial, Arm, ArmName, Curve, Noise, PgdRecipe, Selection, Setting, Sfa};
use super::measures;
use crate::jobs::{Job, Work};
use crate::pieces::choice::{self, Choice};
use crate::pieces::data::Parts;
use crate::pieces::train::{self, Train};
use anyhow::{Context, Result};
use candle_core::Tensor;
use sconce_attacks::fourier::{Directions, HeatMap};
use sconce_attacks::training::Madry;
use sconce_tensor_core::train::{CrossEntropy, Evaluate, Objective, Report, Trainer};
use sconce_tensor_core::{Network, Rng};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// The seed of the network that transferred attacks are made on: no arm has it.
pub const SOURCE_SEED: u64 = 1_000_003;

/// Trains a network of a setting.
fn fit(
    work: &Work<'_>,
    (setting, train): (&Setting, &Train),
    (arm, lambda, seed): (ArmName, f64, u64),
    adversarial: Option<&Adversarial>,
    after_epochs: Option<&dyn Evaluate>,
) -> Result<(Box<dyn Network>, Report)> {
    let parts = setting.data.load(work.site)?;
    let net = setting.net.build(&parts, seed, &work.site.device)?;
    let attack = adversarial.map(|a| measures::pgd(&a.attack)).transpose()?;
    let madry = attack.as_ref().map(|a| Madry::new(a));
    let objective: &dyn Objective = madry.as_ref().map_or(&CrossEntropy, |m| m);
    let epochs = adversarial.map_or(train.epochs, |a| a.epochs);
    let regularizer = arm.regularizer(lambda)?;
    let report = train::train(work, &*net, |checkpoint, observer| {
        let mut trainer = Trainer::new(train.config(epochs), objective)?.resuming(checkpoint).observed_by(observer);
        if let Some(r) = &regularizer {
            trainer = trainer.regularized_by(&**r);
        }
        if let Some(e) = after_epochs {
            trainer = trainer.evaluated_by(e);
        }
        Ok(trainer.fit(&*net, &parts.train, &mut train.sgd()?, &Rng::new(seed))?)
    })?;
    Ok((net, report))
}

/// A network of a setting with the weights that a job left.
fn restored<J: Job>(work: &Work<'_>, setting: &Setting, job: &J, seed: u64) -> Result<(Rc<Parts>, Box<dyn Network>)> {
    let parts = setting.data.load(work.site)?;
    let net = setting.net.build(&parts, seed, &work.site.device)?;
    train::restore(work, job, &*net)?;
    Ok((parts, net))
}

/// Forward passes of one example in training: a step is about three.
fn training(setting: &Setting, epochs: usize) -> f64 {
    (3 * setting.data.train * epochs) as f64
}

/// The plain network that transferred attacks are made on.
#[derive(Clone, Copy, Serialize)]
pub struct Source<'a> {
    pub setting: &'a Setting,
    pub train: &'a Train,
}

impl Job for Source<'_> {
    type Output = Report;

    fn key(&self) -> String {
        format!("source/{}", self.setting.id)
    }

    fn cost(&self) -> f64 {
        training(self.setting, self.train.epochs)
    }

    fn run(&self, work: &Work<'_>) -> Result<Report> {
        Ok(fit(work, (self.setting, self.train), (ArmName::None, 0.0, SOURCE_SEED), None, None)?.1)
    }
}

impl Source<'_> {
    /// The test inputs, attacked on this network and with noise: made once in a process.
    fn inputs(&self, work: &Work<'_>, transfer: &PgdRecipe, noise: &Noise) -> Result<Rc<(Tensor, Tensor)>> {
        work.site.once(&format!("{self:?} {transfer:?} {noise:?}"), || {
            let (parts, net) = restored(work, self.setting, self, SOURCE_SEED)?;
            Ok((measures::transferred(transfer, &*net, &parts.test)?, measures::noisy(noise, &*net, &parts.test)?))
        })
    }
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.setting, self.train)
    }
}

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
        if self.arm.name == ArmName::None { of(self.none) } else { [of(self.none), of(self.arm)].concat() }
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
fn best(tried: &[(f64, Option<Validated>)], floor: f64) -> Option<usize> {
    let all = || tried.iter().enumerate().filter_map(|(i, t)| Some((i, t.1?)));
    let kept = all().filter(|(_, v)| v.clean >= floor).max_by(|a, b| a.1.sfa_avg.total_cmp(&b.1.sfa_avg));
    Some(kept.or_else(|| all().max_by(|a, b| a.1.clean.total_cmp(&b.1.clean)))?.0)
}

/// A network of an arm at its weight.
#[derive(Clone, Copy, Serialize)]
pub struct Trained<'a> {
    pub choose: Choose<'a>,
    pub curve: &'a Curve,
    pub seed: u64,
}

/// Accuracies on the test split after an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub clean: f64,
    pub waves: f64,
    /// Share of the clean-correct images that stay correct, mean over the directions.
    pub retained: f64,
}

/// Measures a [`Point`].
struct Points<'a> {
    parts: Rc<Parts>,
    sfa: &'a Sfa,
    curve: &'a Curve,
    eps_255: f64,
}

impl Evaluate for Points<'_> {
    fn evaluate(&self, net: &dyn Network) -> sconce_tensor_core::Result<Vec<(String, f64)>> {
        let few = self.parts.test.slice(0, self.curve.examples)?;
        let directions = Directions::Every(self.curve.every_direction);
        let map = measures::heat(self.sfa, net, &few, self.eps_255, directions, &|_, _| ())?;
        let clean = map.clean as f64 / map.total as f64;
        let all = [("clean", clean), ("waves", map.average()), ("retained", map.retained().unwrap_or(0.0))];
        Ok(all.map(|(n, v)| (n.to_owned(), v)).to_vec())
    }
}

impl Job for Trained<'_> {
    type Output = Vec<Point>;

    fn key(&self) -> String {
        format!("train/{}/{}/seed{}", self.choose.setting.id, self.choose.arm.name.name(), self.seed)
    }

    fn needs(&self) -> Vec<String> {
        vec![self.choose.key()]
    }

    fn cost(&self) -> f64 {
        let Choose { setting, train, .. } = self.choose;
        let directions = 1 + PIXELS / self.curve.every_direction;
        training(setting, train.epochs) + (train.epochs * self.curve.examples * directions) as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Vec<Point>> {
        let Choose { setting, train, sfa, arm, .. } = self.choose;
        let lambda = work.output(&self.choose)?.value;
        let parts = setting.data.load(work.site)?;
        let points = Points { parts, sfa, curve: self.curve, eps_255: setting.eps_255 };
        let (_, report) = fit(work, (setting, train), (arm.name, lambda, self.seed), None, Some(&points))?;
        let of = |e: &sconce_tensor_core::train::EpochReport| {
            Some(Point { clean: e.metric("clean")?, waves: e.metric("waves")?, retained: e.metric("retained")? })
        };
        Ok(report.epochs.iter().filter_map(of).collect())
    }
}

/// Pixels of an image, about: costs are compared within a kind.
const PIXELS: usize = 1000;

/// Everything on the test split.
#[derive(Clone, Copy, Serialize)]
pub struct Test<'a> {
    pub trained: Trained<'a>,
    pub source: Source<'a>,
    pub sfa: &'a Sfa,
    pub transfer: &'a PgdRecipe,
    pub noise: &'a Noise,
}

/// What it finds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tested {
    pub clean: f64,
    pub waves: HeatMap,
    /// (eps in 255ths, average, worst) on fewer directions.
    pub curve: Vec<(f64, f64, f64)>,
    pub transfer: f64,
    pub noise: f64,
}

impl Job for Test<'_> {
    type Output = Tested;

    fn key(&self) -> String {
        self.trained.key().replacen("train", "test", 1)
    }

    fn needs(&self) -> Vec<String> {
        vec![self.trained.key(), self.source.key()]
    }

    fn cost(&self) -> f64 {
        let curve = (1 + PIXELS / self.sfa.curve_every_direction) * self.sfa.curve_eps_255.len();
        (self.sfa.examples * (PIXELS + curve)) as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Tested> {
        let (setting, sfa) = (self.trained.choose.setting, self.sfa);
        let (parts, net) = restored(work, setting, &self.trained, self.trained.seed)?;
        let inputs = self.source.inputs(work, self.transfer, self.noise)?;
        let test = &parts.test;
        let part = test.slice(0, sfa.examples)?;
        let waves = measures::sweep(sfa, &*net, &part, setting.eps_255, sfa.directions(), &|d, n| work.at(d, n))?;
        let mut curve = Vec::new();
        for &eps in &sfa.curve_eps_255 {
            let few = Directions::Every(sfa.curve_every_direction);
            let m = measures::sweep(sfa, &*net, &part, eps, few, &|_, _| ())?;
            curve.push((eps, m.average(), m.worst().0));
        }
        Ok(Tested {
            clean: measures::accuracy(&*net, test.x(), test)?,
            waves,
            curve,
            transfer: measures::accuracy(&*net, &inputs.0, test)?,
            noise: measures::accuracy(&*net, &inputs.1, test)?,
        })
    }
}

/// A network of an arm, adversarially trained at its weight: clean and robust accuracy.
#[derive(Clone, Copy, Serialize)]
pub struct Attacked<'a> {
    pub choose: Choose<'a>,
    pub adversarial: &'a Adversarial,
    pub seed: u64,
}

impl Job for Attacked<'_> {
    type Output = (f64, f64);

    fn key(&self) -> String {
        format!("adversarial/{}/{}/seed{}", self.choose.setting.id, self.choose.arm.name.name(), self.seed)
    }

    fn needs(&self) -> Vec<String> {
        vec![self.choose.key()]
    }

    fn cost(&self) -> f64 {
        training(self.choose.setting, self.adversarial.epochs * (self.adversarial.attack.steps + 1))
    }

    fn run(&self, work: &Work<'_>) -> Result<(f64, f64)> {
        let Choose { setting, train, arm, .. } = self.choose;
        let lambda = work.output(&self.choose)?.value;
        let of = (arm.name, lambda, self.seed);
        let (net, _) = fit(work, (setting, train), of, Some(self.adversarial), None)?;
        measures::robust(&self.adversarial.evaluation, &*net, &setting.data.load(work.site)?.test, self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_that_keeps_clean_accuracy_is_chosen() {
        let v = |clean, sfa_avg| Some(Validated { clean, sfa_avg, sfa_worst: 0.0 });
        let tried = [(1.0, v(0.90, 0.5)), (2.0, v(0.89, 0.7)), (3.0, v(0.80, 0.9)), (9.0, None)];
        assert_eq!(best(&tried, 0.88), Some(1));
        assert_eq!(best(&tried, 0.95), Some(0));
        assert_eq!(best(&[(1.0, None)], 0.0), None);
    }
}

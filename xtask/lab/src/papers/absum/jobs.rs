//! The jobs of `absum` that train and measure.

use super::choose::Lambda;
use super::config::{Adversarial, ArmName, Curve, Noise, PgdRecipe, Setting, Sfa};
use super::measures;
use crate::jobs::{Job, Work};
use crate::pieces::data::Parts;
use crate::pieces::train::{self, Train};
use anyhow::Result;
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
pub fn fit(
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
pub fn training(setting: &Setting, epochs: usize) -> f64 {
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

/// An arm at its weight.
#[derive(Clone, Copy, Serialize)]
pub struct Fitted<'a> {
    pub setting: &'a Setting,
    pub train: &'a Train,
    pub arm: ArmName,
    pub lambda: Lambda<'a>,
}

impl Fitted<'_> {
    /// The part of a key that tells it from others.
    fn place(&self) -> String {
        format!("{}/{}", self.setting.id, self.arm.name())
    }

    /// The key of the job that chooses its weight.
    pub fn need(&self) -> Option<String> {
        self.lambda.need()
    }
}

/// A network of an arm at its weight.
#[derive(Clone, Copy, Serialize)]
pub struct Trained<'a> {
    pub fitted: Fitted<'a>,
    pub sfa: &'a Sfa,
    pub curve: &'a Curve,
    pub seed: u64,
}

/// Accuracies after an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// On the validation split: arms are matched by it.
    pub clean: f64,
    /// On the test split, mean over the directions.
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
        let clean = sconce_tensor_core::train::accuracy(net, &self.parts.validation, measures::BATCH)?;
        let all = [("clean", clean), ("waves", map.average()), ("retained", map.retained().unwrap_or(0.0))];
        Ok(all.map(|(n, v)| (n.to_owned(), v)).to_vec())
    }
}

impl Job for Trained<'_> {
    type Output = Vec<Point>;

    fn key(&self) -> String {
        format!("train/{}/seed{}", self.fitted.place(), self.seed)
    }

    fn needs(&self) -> Vec<String> {
        self.fitted.need().into_iter().collect()
    }

    fn cost(&self) -> f64 {
        let Fitted { setting, train, .. } = self.fitted;
        let directions = 1 + PIXELS / self.curve.every_direction;
        training(setting, train.epochs) + (train.epochs * self.curve.examples * directions) as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Vec<Point>> {
        let Fitted { setting, train, arm, lambda } = self.fitted;
        let parts = setting.data.load(work.site)?;
        let points = Points { parts, sfa: self.sfa, curve: self.curve, eps_255: setting.eps_255 };
        let of = (arm, lambda.get(work)?, self.seed);
        let (_, report) = fit(work, (setting, train), of, None, Some(&points))?;
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
        let (setting, sfa) = (self.trained.fitted.setting, self.sfa);
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
    pub fitted: Fitted<'a>,
    pub adversarial: &'a Adversarial,
    pub seed: u64,
}

impl Job for Attacked<'_> {
    type Output = (f64, f64);

    fn key(&self) -> String {
        format!("adversarial/{}/seed{}", self.fitted.place(), self.seed)
    }

    fn needs(&self) -> Vec<String> {
        self.fitted.need().into_iter().collect()
    }

    fn cost(&self) -> f64 {
        training(self.fitted.setting, self.adversarial.epochs * (self.adversarial.attack.steps + 1))
    }

    fn run(&self, work: &Work<'_>) -> Result<(f64, f64)> {
        let Fitted { setting, train, arm, lambda } = self.fitted;
        let of = (arm, lambda.get(work)?, self.seed);
        let (net, _) = fit(work, (setting, train), of, Some(self.adversarial), None)?;
        measures::robust(&self.adversarial.evaluation, &*net, &setting.data.load(work.site)?.test, self.seed)
    }
}

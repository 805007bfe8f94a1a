//! The jobs of `blf` that train the source of transferred attacks and the arms.

use super::attacks;
use super::choose::Constant;
use super::config::{ArmName, Blf, Inner};
use crate::jobs::{Job, Work};
use crate::pieces::data::Data;
use crate::pieces::net;
use crate::pieces::train::{self, Train};
use anyhow::Result;
use candle_core::Tensor;
use sconce_activations::BoundedLogits;
use sconce_attacks::training::{Madry, RobustAccuracy, Trades, TradesConfig};
use sconce_attacks::{Pgd, PgdConfig, StepSize};
use sconce_tensor_core::train::{CrossEntropy, Evaluate, KeepBest, Objective, Report, Trainer};
use sconce_tensor_core::{Network, Rng};
use serde::{Deserialize, Serialize};

/// The seed of the plain network that transferred attacks are made on: no arm has it.
pub const SOURCE_SEED: u64 = 1_000_003;

/// A network with its function: without one it is the identity, so that every arm has pre-logits.
pub type Net = BoundedLogits<Box<dyn Network>>;

/// What all networks are trained by, without or with adversarial training.
#[derive(Clone, Copy, Serialize)]
pub struct Setting<'a> {
    pub data: &'a Data,
    pub net: &'a net::Net,
    pub blf: &'a Blf,
    pub train: &'a Train,
    /// The attack of adversarial training; none without it.
    pub attack: Option<&'a Inner>,
}

impl Inner {
    fn config(&self, steps: usize) -> PgdConfig {
        PgdConfig { eps: self.eps, steps, step_size: StepSize::Relative(self.step), ..PgdConfig::default() }
    }
}

impl Setting<'_> {
    /// The first part of the names of metrics.
    pub fn kind(&self) -> &'static str {
        if self.attack.is_some() { "at" } else { "std" }
    }

    /// Forward passes of one example in training: a step is about three, and so is each step of an attack.
    pub fn cost(&self) -> f64 {
        (3 * self.data.train * self.train.epochs * self.attack.map_or(1, |a| a.steps + 1)) as f64
    }

    /// The network of an arm with its first values.
    fn build(&self, work: &Work<'_>, (arm, value, seed): (ArmName, f64, u64)) -> Result<Net> {
        let parts = self.data.load(work.site)?;
        Ok(Net::new(self.net.build(&parts, seed, &work.site.device)?, arm.function(self.blf, value)?))
    }

    /// The network of an arm with the weights that a job left.
    pub fn restored<J: Job>(&self, work: &Work<'_>, job: &J, of: (ArmName, f64, u64)) -> Result<Net> {
        let net = self.build(work, of)?;
        train::restore(work, job, &net)?;
        Ok(net)
    }

    /// Trains the network of an arm, and measures norms on some training examples after each epoch.
    pub fn fit(&self, work: &Work<'_>, of: (ArmName, f64, u64), norms: Option<usize>) -> Result<(Net, Report)> {
        let (arm, value, seed) = of;
        let parts = self.data.load(work.site)?;
        let net = self.build(work, of)?;
        let pgd = self.attack.map(|a| Pgd::new(a.config(a.steps))).transpose()?;
        let madry = pgd.as_ref().map(|p| Madry::new(p));
        let trades = match self.attack {
            Some(a) if arm == ArmName::Trades => {
                let attack = PgdConfig { random_start: false, ..a.config(a.steps) };
                Some(Trades::new(TradesConfig { beta: value, attack })?)
            }
            _ => None,
        };
        let objective: &dyn Objective = match (&trades, &madry) {
            (Some(trades), _) => trades,
            (None, Some(madry)) => madry,
            (None, None) => &CrossEntropy,
        };
        let validation = self.attack.map(|a| Pgd::new(a.config(a.validation_steps))).transpose()?;
        let robust = validation.as_ref().map(|v| RobustAccuracy::new(v, &parts.validation, seed));
        let regularizer = arm.regularizer(value)?;
        let examples = norms.map(|n| parts.train.x().narrow(0, 0, n)?.contiguous()).transpose()?;
        let norms = examples.map(|examples| NormsOf { net: &net, examples });
        let report = train::train(work, &net, |checkpoint, observer| {
            let config = self.train.config(self.train.epochs);
            let mut trainer = Trainer::new(config, objective)?.resuming(checkpoint).observed_by(observer);
            if let Some(n) = &norms {
                trainer = trainer.evaluated_by(n);
            }
            if let Some(r) = &regularizer {
                trainer = trainer.regularized_by(&**r);
            }
            if let Some(r) = &robust {
                trainer = trainer.evaluated_by(r).keeping(KeepBest::highest("robust").then_highest("clean"));
            }
            Ok(trainer.fit(&net, &parts.train, &mut self.train.sgd()?, &Rng::new(seed))?)
        })?;
        Ok((net, report))
    }
}

/// The plain network that transferred attacks are made on.
#[derive(Clone, Copy, Serialize)]
pub struct Source<'a> {
    pub setting: Setting<'a>,
}

impl Source<'_> {
    const OF: (ArmName, f64, u64) = (ArmName::Plain, 0.0, SOURCE_SEED);

    /// The network, trained.
    pub fn restored(&self, work: &Work<'_>) -> Result<Net> {
        self.setting.restored(work, self, Self::OF)
    }
}

impl Job for Source<'_> {
    type Output = Report;

    fn key(&self) -> String {
        "source".to_owned()
    }

    fn cost(&self) -> f64 {
        self.setting.cost()
    }

    fn run(&self, work: &Work<'_>) -> Result<Report> {
        Ok(self.setting.fit(work, Self::OF, None)?.1)
    }
}

/// A network of an arm at its constant.
#[derive(Clone, Copy, Serialize)]
pub struct Trained<'a> {
    pub setting: Setting<'a>,
    pub arm: ArmName,
    pub constant: Constant<'a>,
    pub norm_examples: usize,
    pub seed: u64,
}

/// Mean norms over some training examples after an epoch.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Norms {
    pub epoch: usize,
    pub logits: f64,
    pub pre_logits: f64,
}

/// What training left behind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct History {
    pub norms: Vec<Norms>,
    /// (epoch, clean, robust) on the validation split; the best epoch's weights are used.
    pub validation: Vec<(usize, f64, f64)>,
}

impl History {
    fn of(report: &Report) -> Self {
        let epochs = || report.epochs.iter();
        let norms = epochs().filter_map(|e| {
            Some(Norms { epoch: e.epoch, logits: e.metric("logits")?, pre_logits: e.metric("pre_logits")? })
        });
        let validation = epochs().filter_map(|e| Some((e.epoch, e.metric("clean")?, e.metric("robust")?)));
        Self { norms: norms.collect(), validation: validation.collect() }
    }
}

/// Measures [`Norms`]: of logits, and of what the function before them gets.
struct NormsOf<'a> {
    net: &'a Net,
    examples: Tensor,
}

impl Evaluate for NormsOf<'_> {
    fn evaluate(&self, _: &dyn Network) -> sconce_tensor_core::Result<Vec<(String, f64)>> {
        let pre = self.net.inner().logits(&self.examples)?;
        let logits = attacks::mean_norm(&self.net.function().forward(&pre)?)?;
        Ok(vec![("logits".to_owned(), logits), ("pre_logits".to_owned(), attacks::mean_norm(&pre)?)])
    }
}

impl Trained<'_> {
    /// The network, trained.
    pub fn restored(&self, work: &Work<'_>) -> Result<Net> {
        self.setting.restored(work, self, (self.arm, self.constant.get(work)?, self.seed))
    }
}

impl Job for Trained<'_> {
    type Output = History;

    fn key(&self) -> String {
        format!("train/{}/{}/seed{}", self.setting.kind(), self.arm.name(), self.seed)
    }

    fn needs(&self) -> Vec<String> {
        self.constant.need().into_iter().collect()
    }

    fn cost(&self) -> f64 {
        self.setting.cost()
    }

    fn run(&self, work: &Work<'_>) -> Result<History> {
        let of = (self.arm, self.constant.get(work)?, self.seed);
        Ok(History::of(&self.setting.fit(work, of, Some(self.norm_examples))?.1))
    }
}

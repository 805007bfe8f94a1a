//! The stages of `absum`: training a network, and measuring it.

use super::config::{ArmName, Config, PgdRecipe, Setting};
use crate::pieces::{Parts, train_stage};
use crate::run::{Run, Stage};
use anyhow::Result;
use candle_core::Tensor;
use sconce_attacks::fourier::{BandNoise, BandNoiseConfig, Directions, HeatMap, Sweep, SweepConfig};
use sconce_attacks::training::Madry;
use sconce_attacks::{Attack, ExampleRng, Goal, Pgd, PgdConfig, RunConfig, StepSize, geometry, run};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::train::{self, CrossEntropy, Objective, Trainer};
use sconce_tensor_core::{Classifier, Network, Rng};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Examples in one forward pass of a measurement.
const BATCH: usize = 125;

/// One trained network's address: setting, arm, weight, seed, and whether against an attacker.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub cfg: &'a Config,
    pub setting: &'a Setting,
    pub arm: ArmName,
    pub lambda: f64,
    pub seed: u64,
    pub adversarial: bool,
}

/// What is measured on the validation split to choose a weight.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Validated {
    pub clean: f64,
    pub sfa_avg: f64,
    pub sfa_worst: f64,
}

/// What is measured on the test split.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tested {
    pub clean: f64,
    pub waves: HeatMap,
    /// (eps in 255ths, average, worst) on fewer directions.
    pub curve: Vec<(f64, f64, f64)>,
    pub transfer: f64,
    pub noise: f64,
}

impl Job<'_> {
    /// A name for files and the terminal.
    pub fn name(&self) -> String {
        let kind = if self.adversarial { "at-" } else { "" };
        let lambda = if self.arm == ArmName::None { String::new() } else { format!("-{}", self.lambda) };
        format!("{}-{kind}{}{lambda}-seed{}", self.setting.id, self.arm.name(), self.seed)
    }

    /// Trains the network, or loads it where that was done.
    pub fn train(&self, run: &Run, parts: &Parts, units: f64) -> Result<Stage<Box<dyn Network>>> {
        let net = self.setting.net.build(parts, self.seed, &run.device)?;
        let adversarial = self.cfg.adversarial.as_ref().filter(|_| self.adversarial);
        let attack = adversarial.map(|a| pgd(&a.attack)).transpose()?;
        let madry = attack.as_ref().map(|a| Madry::new(a));
        let objective: &dyn Objective = madry.as_ref().map_or(&CrossEntropy, |m| m);
        let epochs = adversarial.map_or(self.cfg.train.epochs, |a| a.epochs);
        let regularizer = self.arm.regularizer(self.lambda)?;
        let done = train_stage(run, &self.name(), units, |checkpoint, observer| {
            let mut trainer = Trainer::new(self.cfg.train.config(epochs), objective)?.resuming(checkpoint);
            if let Some(r) = &regularizer {
                trainer = trainer.regularized_by(&**r);
            }
            let trainer = trainer.observed_by(observer);
            Ok(trainer.fit(&*net, &parts.train, &mut self.cfg.train.sgd()?, &Rng::new(self.seed))?)
        })?;
        Ok(Stage { value: net, wall_s: done.wall_s, fresh: done.fresh })
    }
}

/// The attack of a recipe.
pub fn pgd(p: &PgdRecipe) -> Result<Pgd> {
    let step = StepSize::Absolute(p.step_255 / 255.0);
    Ok(Pgd::new(PgdConfig { eps: p.eps_255 / 255.0, steps: p.steps, step_size: step, ..PgdConfig::default() })?)
}

/// The noise of a recipe.
pub fn noise(cfg: &Config) -> Result<BandNoise> {
    let n = &cfg.noise;
    Ok(BandNoise::new(BandNoiseConfig { eps: n.rms_255 / 255.0, from: n.from, to: n.to })?)
}

fn batches() -> RunConfig {
    RunConfig { batch_size: Some(BATCH), ..RunConfig::default() }
}

/// The share of inputs that the model classifies as the data is labelled.
pub fn accuracy(model: &dyn Classifier, x: &Tensor, data: &Labelled) -> Result<f64> {
    Ok(train::accuracy(model, &Labelled::new(x.clone(), &data.labels()?, data.classes())?, BATCH)?)
}

/// Accuracy along the directions at one radius.
pub fn sweep(
    cfg: &Config,
    net: &dyn Network,
    data: &Labelled,
    eps_255: f64,
    directions: Directions,
    watch: &dyn Fn(usize, usize),
) -> Result<HeatMap> {
    let normalisation = cfg.sfa.normalisation();
    let sweep = Sweep::new(SweepConfig { eps: eps_255 / 255.0, normalisation, directions, run: batches() })?;
    Ok(sweep.run(net, data.x(), data.y(), |done, all| {
        watch(done, all);
        Ok(())
    })?)
}

/// Clean and wave accuracy on the validation split.
pub fn validate(job: &Job<'_>, run: &Run, parts: &Parts, net: &dyn Network, units: f64) -> Result<Stage<Validated>> {
    run.stage(&format!("validate {}", job.name()), units, |bar| {
        let v = &parts.validation;
        let directions = Directions::Every(job.cfg.selection.every_direction);
        let map = sweep(job.cfg, net, v, job.setting.eps_255, directions, &|d, n| bar.at(d, n))?;
        Ok(Validated { clean: accuracy(net, v.x(), v)?, sfa_avg: map.average(), sfa_worst: map.worst().0 })
    })
}

/// Test inputs attacked on an independently trained network: all of them, also those that it gets wrong
/// as they are, since it is other networks that will see them.
pub fn transferred(cfg: &Config, source: &dyn Network, test: &Labelled) -> Result<Tensor> {
    perturbed(&pgd(&cfg.transfer)?, source, test, Rng::new(0).stream("transfer"))
}

/// Test inputs with high-frequency noise.
pub fn noisy(cfg: &Config, source: &dyn Network, test: &Labelled) -> Result<Tensor> {
    perturbed(&noise(cfg)?, source, test, Rng::new(0).stream("noise"))
}

fn perturbed(attack: &dyn Attack, source: &dyn Network, test: &Labelled, rng: Rng) -> Result<Tensor> {
    let mut parts = Vec::new();
    for at in (0..test.len()).step_by(BATCH) {
        let part = test.slice(at, BATCH.min(test.len() - at))?;
        let x = part.x().contiguous()?;
        let rng = ExampleRng::new(rng, (at as u64..(at + part.len()) as u64).collect());
        let moved = attack.perturb(source, &x, &Goal::Untargeted(part.y().contiguous()?), &rng)?.x;
        parts.push(geometry::project(&moved, &x, attack.threat(), source.input_bounds())?.detach());
    }
    Ok(Tensor::cat(&parts, 0)?)
}

/// Everything on the test split.
pub fn test(
    job: &Job<'_>,
    run: &Run,
    (test, transferred, noisy): (&Labelled, &Tensor, &Tensor),
    net: &dyn Network,
    units: f64,
) -> Result<Stage<Tested>> {
    run.stage(&format!("measure {}", job.name()), units, |bar| {
        let sfa = &job.cfg.sfa;
        let part = test.slice(0, sfa.examples)?;
        let map = sweep(job.cfg, net, &part, job.setting.eps_255, sfa.directions(), &|d, n| bar.at(d, n))?;
        let mut curve = Vec::new();
        for &eps in &sfa.curve_eps_255 {
            let m = sweep(job.cfg, net, &part, eps, Directions::Every(sfa.curve_every_direction), &|_, _| ())?;
            curve.push((eps, m.average(), m.worst().0));
        }
        Ok(Tested {
            clean: accuracy(net, test.x(), test)?,
            waves: map,
            curve,
            transfer: accuracy(net, transferred, test)?,
            noise: accuracy(net, noisy, test)?,
        })
    })
}

/// Clean and robust accuracy of an adversarially trained network under its evaluation attack.
pub fn robust(job: &Job<'_>, run_: &Run, test: &Labelled, net: &dyn Network, units: f64) -> Result<Stage<(f64, f64)>> {
    run_.stage(&format!("attack {}", job.name()), units, |_| {
        let Some(a) = &job.cfg.adversarial else { return Ok((0.0, 0.0)) };
        let goal = Goal::Untargeted(test.y().clone());
        let rng = Rng::new(job.seed).stream("evaluation");
        let judged = run(&pgd(&a.evaluation)?, net, test.x(), &goal, &batches(), &rng)?;
        Ok((judged.clean_accuracy().rate(), judged.robust_accuracy().rate()))
    })
}

/// Seconds per training step with each arm's regularizer, interleaved, one value per round.
pub fn cost(
    cfg: &Config,
    setting: &Setting,
    run: &Run,
    parts: &Parts,
    arms: &[(ArmName, f64)],
) -> Result<Stage<Vec<Vec<f64>>>> {
    run.stage(&format!("cost {}", setting.id), 0.0, |bar| {
        let data = parts.train.slice(0, (cfg.cost.steps * cfg.train.batch_size).min(parts.train.len()))?;
        let mut seconds = vec![Vec::new(); arms.len()];
        for round in 0..=cfg.cost.rounds {
            for (arm, times) in arms.iter().zip(&mut seconds) {
                let net = setting.net.build(parts, 0, &run.device)?;
                let regularizer = arm.0.regularizer(arm.1)?;
                let mut trainer = Trainer::new(cfg.train.config(1), &CrossEntropy)?;
                if let Some(r) = &regularizer {
                    trainer = trainer.regularized_by(&**r);
                }
                let mut sgd = cfg.train.sgd()?;
                let started = Instant::now();
                trainer.fit(&*net, &data, &mut sgd, &Rng::new(0))?;
                // The first round warms up.
                if round > 0 {
                    times.push(started.elapsed().as_secs_f64() / data.len().div_ceil(cfg.train.batch_size) as f64);
                }
            }
            bar.at(round, cfg.cost.rounds);
        }
        Ok(seconds)
    })
}

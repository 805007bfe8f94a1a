//! A network at several radii of adversarial training: its Hessian, and its loss along random directions.

use super::config::NetworkPart;
use crate::jobs::{Job, Work};
use crate::pieces::data::Data;
use crate::pieces::net::Net;
use crate::pieces::train::{self, Train};
use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use sconce_attacks::training::Madry;
use sconce_attacks::{Attack, Norm, Pgd, PgdConfig, StepSize};
use sconce_tensor_core::train::{CrossEntropy, Objective, Report, Trainer};
use sconce_tensor_core::{Network, Rng};
use sconce_theory::Weights;
use sconce_theory::landscape::{Direction, Grid, Normalise};
use sconce_theory::losses::{Losses, Sharpness, SharpnessConfig};
use serde::{Deserialize, Serialize};

/// Examples of a part of the loss.
const PART: usize = 100;

/// Forward passes that a product with the Hessian takes, about: its costs are compared with those of the landscape.
const PRODUCT: usize = 10;

impl NetworkPart {
    /// The network of a radius and a seed.
    pub fn trained(&self, eps: f64, seed: u64) -> Trained<'_> {
        let Self { data, net, train, attack_steps, .. } = self;
        Trained { data, net, train, attack_steps: *attack_steps, eps, seed }
    }

    /// What is measured of it.
    pub fn measure(&self, eps: f64, seed: u64) -> Measure<'_> {
        let Self { examples, tolerance, products, probes, ref steps, directions, length, .. } = *self;
        let trained = self.trained(eps, seed);
        Measure { trained, examples, tolerance, products, probes, steps, directions, length }
    }
}

/// A network, trained with PGD in L2 of a radius; at radius 0 without an attack.
#[derive(Clone, Copy, Serialize)]
pub struct Trained<'a> {
    pub data: &'a Data,
    pub net: &'a Net,
    pub train: &'a Train,
    pub attack_steps: usize,
    pub eps: f64,
    pub seed: u64,
}

impl Trained<'_> {
    fn attack(&self) -> Result<Pgd> {
        let step = StepSize::Relative(2.5 / self.attack_steps as f64);
        Ok(Pgd::new(PgdConfig {
            norm: Norm::L2,
            eps: self.eps.max(1e-9),
            steps: self.attack_steps,
            step_size: step,
            ..PgdConfig::default()
        })?)
    }

    /// The network with the weights that the job left.
    fn restored(&self, work: &Work<'_>) -> Result<Box<dyn Network>> {
        let parts = self.data.load(work.site)?;
        let net = self.net.build(&parts, self.seed, &work.site.device)?;
        train::restore(work, self, &*net)?;
        Ok(net)
    }

    /// The same in f64, with the first training examples.
    pub fn widened(&self, work: &Work<'_>, examples: usize) -> Result<Wide> {
        let parts = self.data.load(work.site)?;
        let net = self.net.build_as(&parts, self.seed, DType::F64, &Device::Cpu)?;
        net.params().restore(&self.restored(work)?.params().snapshot()?.into_iter().collect())?;
        let few = parts.train.slice(0, examples)?;
        let x = few.x().to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
        let attack = if self.eps > 0.0 { Some(self.attack()?) } else { None };
        Ok(Wide { net, x, y: few.y().to_device(&Device::Cpu)?, attack })
    }
}

impl Job for Trained<'_> {
    type Output = Report;

    fn key(&self) -> String {
        format!("train/{}/seed{}", self.eps, self.seed)
    }

    fn cost(&self) -> f64 {
        let attack = if self.eps > 0.0 { self.attack_steps } else { 0 };
        (self.data.train * self.train.epochs * (attack + 1)) as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Report> {
        let parts = self.data.load(work.site)?;
        let net = self.net.build(&parts, self.seed, &work.site.device)?;
        let attack = self.attack()?;
        let madry = Madry::new(&attack);
        let objective: &dyn Objective = if self.eps > 0.0 { &madry } else { &CrossEntropy };
        train::train(work, &*net, |checkpoint, observer| {
            let trainer = Trainer::new(self.train.config(self.train.epochs), objective)?;
            let trainer = trainer.resuming(checkpoint).observed_by(observer);
            Ok(trainer.fit(&*net, &parts.train, &mut self.train.sgd()?, &Rng::new(self.seed))?)
        })
    }
}

/// A trained network in f64 on the CPU, the examples that Hessian and landscape are of, and the attack of its radius.
pub struct Wide {
    pub net: Box<dyn Network>,
    x: Tensor,
    y: Tensor,
    attack: Option<Pgd>,
}

impl Wide {
    /// Its losses, attacked at the weights as they are.
    pub fn losses(&self) -> Result<Losses<'_>> {
        let attack = self.attack.as_ref().map(|a| a as &dyn Attack);
        Ok(Losses::new(&*self.net, (&self.x, &self.y), attack, PART)?)
    }
}

/// Hessian and landscape of a trained network.
#[derive(Clone, Copy, Serialize)]
pub struct Measure<'a> {
    pub trained: Trained<'a>,
    pub examples: usize,
    pub tolerance: f64,
    pub products: usize,
    pub probes: usize,
    pub steps: &'a [f64],
    pub directions: usize,
    pub length: f64,
}

/// What was measured of one network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    pub clean_accuracy: f64,
    pub norm: f64,
    /// Of the clean loss and of the adversarial loss with the attack frozen.
    pub clean: Sharpness,
    pub adversarial: Sharpness,
    /// Over the steps, mean of the directions: clean loss, adversarial loss with the attack recomputed, each less that at w; then the
    /// latter along directions of one length for all radii.
    pub clean_line: Vec<f64>,
    pub adversarial_line: Vec<f64>,
    pub absolute_line: Vec<f64>,
}

/// Losses over the steps less those at w, mean of the directions.
struct Lines {
    clean: Vec<f64>,
    adversarial: Vec<f64>,
    absolute: Vec<f64>,
}

impl Measure<'_> {
    fn lines(&self, weights: &Weights<'_>, losses: &Losses<'_>) -> Result<Lines> {
        let start = losses.both()?;
        let zeros = || vec![0.0; self.steps.len()];
        let mut lines = Lines { clean: zeros(), adversarial: zeros(), absolute: zeros() };
        let along = |direction, steps| -> Result<Vec<Vec<f64>>> {
            let grid = Grid::line(direction, steps)?;
            Ok(grid.measure(weights, &["clean", "adversarial"], "", None, || losses.both())?.values)
        };
        let share = self.directions as f64;
        for k in 0..self.directions {
            let rng = Rng::new(self.trained.seed).at(k as u64);
            let filter = Direction::random(weights, Normalise::Filter, &rng)?;
            for (i, v) in along(filter, self.steps.to_vec())?.iter().enumerate() {
                lines.clean[i] += (v[0] - start[0]) / share;
                lines.adversarial[i] += (v[1] - start[1]) / share;
            }
            let unit = Direction::random(weights, Normalise::Unit, &rng)?;
            let steps = self.steps.iter().map(|s| s * self.length).collect();
            for (i, v) in along(unit, steps)?.iter().enumerate() {
                lines.absolute[i] += (v[1] - start[1]) / share;
            }
        }
        Ok(lines)
    }
}

impl Job for Measure<'_> {
    type Output = Measured;

    fn key(&self) -> String {
        self.trained.key().replacen("train", "measure", 1)
    }

    fn needs(&self) -> Vec<String> {
        vec![self.trained.key()]
    }

    fn cost(&self) -> f64 {
        // At radius 0 both losses are the clean one.
        let (hessians, attack) = if self.trained.eps > 0.0 { (2, self.trained.attack_steps) } else { (1, 0) };
        let line = 2 * self.directions * self.steps.len() * (2 + attack);
        (self.examples * (hessians * PRODUCT * (self.products + self.probes) + line)) as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Measured> {
        let wide = self.trained.widened(work, self.examples)?;
        let losses = wide.losses()?;
        let rng = Rng::new(self.trained.seed).stream("hessian");
        let close = SharpnessConfig { tolerance: self.tolerance, products: self.products, probes: self.probes };
        let clean = Sharpness::of(&losses, &|i| losses.clean(i), close, &rng)?;
        work.at(3, 10);
        let adversarial = match wide.attack {
            Some(_) => Sharpness::of(&losses, &|i| losses.frozen(i), close, &rng)?,
            None => clean,
        };
        work.at(6, 10);
        let weights = Weights::new(wide.net.params())?;
        let norm = weights.values()?.iter().map(|v| v * v).sum::<f64>().sqrt();
        let Lines { clean: clean_line, adversarial: adversarial_line, absolute: absolute_line } =
            self.lines(&weights, &losses)?;
        work.at(9, 10);
        let net = self.trained.restored(work)?;
        let test = &self.trained.data.load(work.site)?.test;
        let clean_accuracy = sconce_tensor_core::train::accuracy(&*net, test, 250)?;
        Ok(Measured { clean_accuracy, norm, clean, adversarial, clean_line, adversarial_line, absolute_line })
    }
}

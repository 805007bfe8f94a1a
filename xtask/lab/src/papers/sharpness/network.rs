//! A network at several radii of adversarial training: its Hessian and its landscape.

use super::config::NetworkPart;
use crate::losses::{Losses, Sharpness};
use crate::pieces::{Parts, train_stage};
use crate::run::{Run, Stage};
use anyhow::Result;
use candle_core::{DType, Device};
use sconce_attacks::training::Madry;
use sconce_attacks::{Attack, Norm, Pgd, PgdConfig, StepSize};
use sconce_tensor_core::train::{self, CrossEntropy, Objective, Trainer};
use sconce_tensor_core::{Network, Rng};
use sconce_theory::Weights;
use sconce_theory::landscape::{Axis, Direction, Grid, Normalise};
use serde::{Deserialize, Serialize};

/// What was measured of one network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    pub clean_accuracy: f64,
    pub norm: f64,
    /// Of the clean loss and of the adversarial loss with the attack frozen.
    pub clean: Sharpness,
    pub adversarial: Sharpness,
    /// Over the steps, mean of the directions: clean loss, adversarial loss with the attack made anew, each less that at w; then the
    /// latter along directions of one length for all radii.
    pub clean_line: Vec<f64>,
    pub adversarial_line: Vec<f64>,
    pub absolute_line: Vec<f64>,
    /// The first seed's adversarial loss, attack frozen, on a plane of two directions, row after row.
    pub plane: Vec<f64>,
}

/// Examples of a part of the loss.
const PART: usize = 100;

/// Steps of the plane: from -1 to 1.
pub fn plane_steps(n: usize) -> Vec<f64> {
    (0..n).map(|i| 2.0 * i as f64 / (n - 1) as f64 - 1.0).collect()
}

impl NetworkPart {
    fn attack(&self, eps: f64) -> Result<Pgd> {
        let step = StepSize::Relative(2.5 / self.attack_steps as f64);
        Ok(Pgd::new(PgdConfig {
            norm: Norm::L2,
            eps,
            steps: self.attack_steps,
            step_size: step,
            ..PgdConfig::default()
        })?)
    }

    /// Trains, or loads what was trained.
    pub fn train(&self, run: &Run, parts: &Parts, eps: f64, seed: u64) -> Result<Stage<Box<dyn Network>>> {
        let name = format!("net-{eps}-seed{seed}");
        let net = self.net.build(parts, seed, &run.device)?;
        let units = if eps > 0.0 { self.attack_steps as f64 + 1.0 } else { 1.0 };
        let attack = self.attack(eps.max(1e-9))?;
        let madry = Madry::new(&attack);
        let objective: &dyn Objective = if eps > 0.0 { &madry } else { &CrossEntropy };
        let done = train_stage(run, &name, units, |checkpoint, observer| {
            let trainer = Trainer::new(self.train.config(self.train.epochs), objective)?;
            let trainer = trainer.resuming(checkpoint).observed_by(observer);
            Ok(trainer.fit(&*net, &parts.train, &mut self.train.sgd()?, &Rng::new(seed))?)
        })?;
        Ok(Stage { value: net, wall_s: done.wall_s, fresh: done.fresh })
    }

    /// Measures the network in f64 on the first training examples.
    pub fn measure(&self, run: &Run, parts: &Parts, net: &dyn Network, eps: f64, seed: u64) -> Result<Stage<Measured>> {
        run.stage(&format!("measure net-{eps}-seed{seed}"), 3.0, |bar| {
            let wide = self.net.build_as(parts, seed, DType::F64, &Device::Cpu)?;
            wide.params().restore(&net.params().snapshot()?.into_iter().collect())?;
            let few = parts.train.slice(0, self.examples)?;
            let x = few.x().to_dtype(DType::F64)?;
            let pgd = self.attack(eps.max(1e-9))?;
            let attack = (eps > 0.0).then_some(&pgd as &dyn Attack);
            let losses = Losses::new(&*wide, (&x, few.y()), attack, PART)?;
            let rng = Rng::new(seed).stream("hessian");
            let clean = Sharpness::of(&losses, &|i| losses.clean(i), self.closeness(), &rng)?;
            bar.at(3, 10);
            let adversarial = match attack {
                Some(_) => Sharpness::of(&losses, &|i| losses.frozen(i), self.closeness(), &rng)?,
                None => clean,
            };
            bar.at(6, 10);
            let weights = Weights::new(wide.params())?;
            let values = weights.values()?;
            let norm = values.iter().map(|v| v * v).sum::<f64>().sqrt();
            let start = losses.both()?;
            let n = self.steps.len();
            let (mut lines, mut absolute_line) = (vec![[0.0; 2]; n], vec![0.0; n]);
            for k in 0..self.directions {
                let rng = Rng::new(seed).at(k as u64);
                let filter = Direction::random(&weights, Normalise::Filter, &rng)?;
                let found = Grid::line(filter, self.steps.clone())?.measure(
                    &weights,
                    &["clean", "adversarial"],
                    "",
                    None,
                    || losses.both(),
                )?;
                for (l, v) in lines.iter_mut().zip(&found.values) {
                    (0..2).for_each(|j| l[j] += (v[j] - start[j]) / self.directions as f64);
                }
                let unit = Direction::random(&weights, Normalise::Unit, &rng)?;
                let steps = self.steps.iter().map(|s| s * self.length).collect();
                let found = Grid::line(unit, steps)?
                    .measure(&weights, &["clean", "adversarial"], "", None, || losses.both())?;
                for (l, v) in absolute_line.iter_mut().zip(&found.values) {
                    *l += (v[1] - start[1]) / self.directions as f64;
                }
            }
            bar.at(9, 10);
            let mut plane = Vec::new();
            if run.seeds.first() == Some(&seed) {
                let steps = plane_steps(self.plane);
                let axis = |k| -> Result<Axis> {
                    let direction = Direction::random(&weights, Normalise::Filter, &Rng::new(seed).at(k))?;
                    Ok(Axis { direction, steps: steps.clone() })
                };
                let grid = Grid::plane(axis(0)?, axis(1)?)?;
                let note = "first training examples; running statistics of batch norm kept; attack frozen";
                let file = run.path(&format!("surface-{eps}.json"));
                let found = grid.measure(&weights, &["adversarial"], note, Some(&file), || {
                    Ok(vec![losses.total(|i| losses.frozen(i))?])
                })?;
                plane = found.values.iter().map(|v| v[0]).collect();
            }
            Ok(Measured {
                clean_accuracy: train::accuracy(net, &parts.test, 250)?,
                norm,
                clean,
                adversarial,
                clean_line: lines.iter().map(|l| l[0]).collect(),
                adversarial_line: lines.iter().map(|l| l[1]).collect(),
                absolute_line,
                plane,
            })
        })
    }
}

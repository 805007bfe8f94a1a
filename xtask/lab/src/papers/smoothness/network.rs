//! The job of an arm: training a small network, and measuring it.

use super::arms::{Arm, ArmTask, pgd};
use super::config::Training;
use super::mlp::Mlp;
use super::turns::{Turn, dichotomy};
use crate::jobs::{Job, Work};
use crate::pieces::data::Parts;
use crate::pieces::train;
use anyhow::Result;
use candle_core::DType;
use sconce_attacks::{Attack, ExampleRng, Goal};
use sconce_tensor_core::Rng;
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::train::Engine;
use serde::{Deserialize, Serialize};

/// What became of an arm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trained {
    pub arm: Arm,
    pub gradients: usize,
    pub clean: f64,
    pub robust: f64,
    /// Robust accuracy on the first training examples.
    pub robust_train: f64,
    /// The largest Lipschitz ratio of the adversarial gradient along random directions at the end.
    pub turning: f64,
}

/// One way to train with one seed. All arms of a seed start from the same weights and see the same batches in the same order.
#[derive(Clone, Copy, Serialize)]
pub struct OneArm<'a> {
    pub network: &'a Training,
    pub arm: Arm,
    pub seed: u64,
}

impl OneArm<'_> {
    /// The trained network, and how many gradients it took. A kill costs at most one pass over the data.
    fn train(&self, work: &Work<'_>, parts: &Parts) -> Result<(Mlp, usize)> {
        let (cfg, data) = (self.network, &parts.train);
        let sizes = (data.x().elem_count() / data.len(), cfg.hidden, data.classes());
        let net = Mlp::new(sizes, self.seed, DType::F32, &work.site.device)?;
        let mut task = ArmTask::new(cfg, self.arm, &net, data)?;
        let pass = (cfg.pass() / self.arm.gradients(cfg)).max(1);
        let mut watch = work.watch();
        let mut engine = Engine::new(1)?.resuming(work.checkpoint("train").every_steps(pass)?).observed_by(&mut watch);
        let report = engine.run(&mut task, &Rng::new(self.seed).stream("train"));
        report.map_err(|e| train::advise(e.into()))?;
        let gradients = task.gradients;
        Ok((net, gradients))
    }
}

impl Job for OneArm<'_> {
    /// For SGD with the Lipschitz ratios at every distance; for other arms without.
    type Output = (Trained, Vec<Turn>);

    fn key(&self) -> String {
        format!("arm/{}/seed{}", self.arm.key(), self.seed)
    }

    fn cost(&self) -> f64 {
        let cfg = self.network;
        let gradients = self.arm.steps(cfg) * self.arm.gradients(cfg);
        let tests = (cfg.data.test + cfg.examples) * cfg.test_steps;
        (gradients * cfg.batch_size * (cfg.attack_steps + 1) + tests) as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Self::Output> {
        let (cfg, seed) = (self.network, self.seed);
        let parts = cfg.data.load(work.site)?;
        let (net, gradients) = self.train(work, &parts)?;
        let turns = |distances: &[f64]| dichotomy(cfg, &parts, &net, seed, distances);
        let trained = Trained {
            arm: self.arm,
            gradients,
            clean: sconce_tensor_core::train::accuracy(&net, &parts.test, PART)?,
            robust: robust(cfg, &net, &parts.test)?,
            robust_train: robust(cfg, &net, &parts.train.slice(0, cfg.examples)?)?,
            turning: turns(&cfg.distances[..1])?[0].linf,
        };
        let turns = if self.arm == Arm::Sgd { turns(&cfg.distances)? } else { Vec::new() };
        Ok((trained, turns))
    }
}

/// Examples of one forward pass.
const PART: usize = 500;

/// Accuracy under PGD.
fn robust(cfg: &Training, net: &Mlp, data: &Labelled) -> Result<f64> {
    let rng = ExampleRng::new(Rng::new(0).stream("test"), (0..data.len() as u64).collect());
    let moved = pgd(cfg, cfg.test_steps)?.perturb(net, data.x(), &Goal::Untargeted(data.y().clone()), &rng)?.x;
    train::accuracy(net, &moved, data, PART)
}

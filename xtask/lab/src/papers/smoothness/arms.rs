//! The ways to train: EntropySGD beside its controls, as one task of the training loop.

use super::config::Training;
use super::mlp::Mlp;
use anyhow::Result;
use candle_core::Tensor;
use candle_core::backprop::GradStore;
use sconce_attacks::{Attack, ExampleRng, Goal, Norm, Pgd, PgdConfig, StepSize};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::optim::{Average, Optimizer, Schedule, Sgd, SgdConfig};
use sconce_tensor_core::store::State;
use sconce_tensor_core::train::{StepContext, Task};
use sconce_tensor_core::{Mode, Module, Network, Rng, ops};
use sconce_theory::entropy::{EntropySgd, EntropySgdConfig};
use serde::{Deserialize, Serialize};

/// A way to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arm {
    /// SGD with momentum.
    Sgd,
    /// The same, the mean of the second half's weights.
    Average,
    /// EntropySGD with as many steps as SGD: more gradients.
    EntropyEpochs,
    /// EntropySGD with as many gradients as SGD: fewer steps.
    EntropyGradients,
    /// The walk with noise and no pull, with as many gradients.
    Noise,
    /// SGD with as many gradients as EntropySGD at equal epochs.
    SgdLong,
}

/// All, in the order of the report.
pub const ARMS: [Arm; 6] =
    [Arm::Sgd, Arm::Average, Arm::EntropyEpochs, Arm::EntropyGradients, Arm::Noise, Arm::SgdLong];

impl Arm {
    /// The name in keys and metrics.
    pub fn key(self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::Average => "average",
            Self::EntropyEpochs => "entropy_epochs",
            Self::EntropyGradients => "entropy_gradients",
            Self::Noise => "noise",
            Self::SgdLong => "sgd_long",
        }
    }

    /// The name in prose.
    pub fn title(self) -> &'static str {
        match self {
            Self::Sgd => "SGD",
            Self::Average => "SGD, mean of the second half's weights",
            Self::EntropyEpochs => "EntropySGD, as many steps as SGD",
            Self::EntropyGradients => "EntropySGD, as many gradients as SGD",
            Self::Noise => "walks with noise, no pull; as many gradients as SGD",
            Self::SgdLong => "SGD, as many gradients as EntropySGD with SGD's steps",
        }
    }

    /// Whether a step is a walk of several gradients.
    pub fn walks(self) -> bool {
        matches!(self, Self::EntropyEpochs | Self::EntropyGradients | Self::Noise)
    }

    /// Its steps.
    pub fn steps(self, cfg: &Training) -> usize {
        let plain = cfg.steps();
        match self {
            Self::EntropyGradients | Self::Noise => plain / cfg.inner_steps,
            Self::SgdLong => plain * cfg.inner_steps,
            _ => plain,
        }
    }

    /// Gradients of a step.
    pub fn gradients(self, cfg: &Training) -> usize {
        if self.walks() { cfg.inner_steps } else { 1 }
    }
}

/// PGD in L-infinity of `steps` steps.
pub fn pgd(cfg: &Training, steps: usize) -> Result<Pgd> {
    let step = StepSize::Relative(2.5 / steps as f64);
    Ok(Pgd::new(PgdConfig { norm: Norm::Linf, eps: cfg.eps, steps, step_size: step, ..PgdConfig::default() })?)
}

/// One update of an arm: a gradient, or a walk of several.
enum Descent {
    Sgd(Sgd),
    Entropy(EntropySgd),
}

/// Adversarial training of one arm. An update takes the gradients of the batches that come next, over epochs of the data.
pub struct ArmTask<'a> {
    cfg: &'a Training,
    arm: Arm,
    net: &'a Mlp,
    data: &'a Labelled,
    attack: Pgd,
    steps: usize,
    descent: Descent,
    mean: Average,
    /// Gradients so far.
    pub gradients: usize,
}

impl<'a> ArmTask<'a> {
    pub fn new(cfg: &'a Training, arm: Arm, net: &'a Mlp, data: &'a Labelled) -> Result<Self> {
        let (gamma, noise) = if arm == Arm::Noise { (0.0, cfg.control_noise) } else { (cfg.gamma, cfg.noise) };
        let sgd = |lr, momentum| SgdConfig { lr, momentum, weight_decay: cfg.weight_decay, ..SgdConfig::default() };
        let descent = if arm.walks() {
            Descent::Entropy(EntropySgd::new(EntropySgdConfig {
                outer: sgd(cfg.outer_lr, 0.0),
                inner_steps: cfg.inner_steps,
                inner_lr: cfg.inner_lr,
                inner_momentum: cfg.momentum,
                gamma,
                noise,
                ..EntropySgdConfig::default()
            })?)
        } else {
            Descent::Sgd(Sgd::new(sgd(cfg.lr, cfg.momentum))?)
        };
        let attack = pgd(cfg, cfg.attack_steps)?;
        Ok(Self { cfg, arm, net, data, attack, steps: arm.steps(cfg), descent, mean: Average::mean(), gradients: 0 })
    }
}

/// The adversarial loss on the n-th batch of training, and its gradient.
fn gradient(
    (net, data, attack): (&Mlp, &Labelled, &Pgd),
    batch_size: usize,
    n: usize,
    rng: &Rng,
) -> sconce_theory::Result<(Tensor, GradStore)> {
    let batches = data.len().div_ceil(batch_size);
    let rows = data.epoch(n / batches, batch_size, rng).swap_remove(n % batches);
    let batch = data.batch(&rows)?;
    let each = ExampleRng::new(rng.stream("attack").at(n as u64), batch.indices.clone());
    let x = attack.perturb(net, &batch.x, &Goal::Untargeted(batch.y.clone()), &each)?.x;
    let loss = ops::cross_entropy(&net.forward(&x, Mode::Train)?, &batch.y)?.mean_all()?;
    let gradient = ops::last_backward(&loss)?;
    Ok((loss.detach(), gradient))
}

impl Task for ArmTask<'_> {
    fn batches(&self, _: usize, _: &Rng) -> sconce_theory::Result<Vec<Vec<usize>>> {
        Ok(vec![Vec::new(); self.steps])
    }

    fn step(&mut self, at: &StepContext<'_>) -> sconce_theory::Result<f64> {
        let params = self.net.params();
        // Half a cosine; the mean of weights goes with a constant rate.
        let factor = if self.arm == Arm::Average { 1.0 } else { Schedule::cosine().factor(at.step, self.steps) };
        let (taken, batch_size) = (&mut self.gradients, self.cfg.batch_size);
        let of = (self.net, self.data, &self.attack);
        let mut last = 0.0;
        let mut next = |_: usize| -> sconce_theory::Result<GradStore> {
            *taken += 1;
            let (loss, gradient) = gradient(of, batch_size, *taken - 1, &at.rng)?;
            last = at.finite("the adversarial loss", &loss)?;
            Ok(gradient)
        };
        match &mut self.descent {
            Descent::Sgd(sgd) => {
                sgd.set_lr(self.cfg.lr * factor)?;
                sgd.step(params, &next(0)?)?;
            }
            Descent::Entropy(entropy) => {
                entropy.set_lr(self.cfg.outer_lr * factor)?;
                entropy.step(params, &at.rng, &mut next)?;
            }
        }
        if self.arm == Arm::Average && 2 * at.step >= self.steps {
            self.mean.update(params)?;
        }
        // Of a walk, the loss at its last place.
        Ok(last)
    }

    fn finish(&mut self) -> sconce_theory::Result<()> {
        self.mean.swap(self.net.params())
    }

    fn state(&self) -> sconce_theory::Result<State> {
        let descent = match &self.descent {
            Descent::Sgd(sgd) => sgd.state()?,
            Descent::Entropy(entropy) => entropy.state()?,
        };
        State::new(&serde_json::json!({ "gradients": self.gradients }), Vec::<(String, Tensor)>::new())?
            .with("params", State::of(&(), self.net.params())?)?
            .with("descent", descent)?
            .with("mean", self.mean.state()?)
    }

    fn restore(&mut self, mut state: State) -> sconce_theory::Result<()> {
        let params = self.net.params();
        params.restore(&state.take("params")?.into_tensors())?;
        match &mut self.descent {
            Descent::Sgd(sgd) => sgd.restore(params, state.take("descent")?)?,
            Descent::Entropy(entropy) => entropy.restore(params, state.take("descent")?)?,
        }
        self.mean.restore(params, state.take("mean")?)?;
        let gradients = state.values.get("gradients").and_then(serde_json::Value::as_u64);
        self.gradients =
            gradients.ok_or_else(|| sconce_theory::Error::value("arm", "no number of gradients"))? as usize;
        Ok(())
    }
}

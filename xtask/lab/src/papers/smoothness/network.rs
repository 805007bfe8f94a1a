//! A small network: how fast its adversarial gradient turns, and training by EntropySGD beside its controls.

use super::config::Training;
use crate::pieces::Parts;
use crate::run::Bar;
use anyhow::{Result, ensure};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use sconce_attacks::{Attack, ExampleRng, Goal, Norm, Pgd, PgdConfig, StepSize};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::nn::{Builder, Init};
use sconce_tensor_core::optim::{Average, Optimizer, Schedule, Sgd, SgdConfig};
use sconce_tensor_core::store::State;
use sconce_tensor_core::train::{self, Engine, Progress, StepContext, Task};
use sconce_tensor_core::{Mode, Module, Network, Params, Rng, Role, attack, ops};
use sconce_theory::Weights;
use sconce_theory::entropy::{EntropySgd, EntropySgdConfig};
use sconce_theory::landscape::{Direction, Normalise};
use sconce_theory::smoothness::lipschitz_along;
use serde::{Deserialize, Serialize};

/// Two layers with tanh between: a network without kinks of its own.
#[derive(Debug)]
pub struct Mlp {
    params: Params,
    layers: [(Var, Var); 2],
    classes: usize,
}

impl Mlp {
    pub fn new(inputs: usize, hidden: usize, classes: usize, seed: u64, dtype: DType) -> Result<Self> {
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, Rng::new(seed), dtype, &Device::Cpu);
        let mut layer = |name: &str, from: usize, to: usize| -> Result<(Var, Var)> {
            let mut b = b.scope(name);
            let weight = b.param("weight", Role::Weight, (to, from), Init::fan_in(from))?;
            Ok((weight, b.param("bias", Role::Bias, to, Init::fan_in(from))?))
        };
        let layers = [layer("fc1", inputs, hidden)?, layer("fc2", hidden, classes)?];
        Ok(Self { params, layers, classes })
    }
}

impl Module for Mlp {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl Network for Mlp {
    fn forward(&self, x: &Tensor, mode: Mode) -> sconce_tensor_core::Result<Tensor> {
        let [a, b] = &self.layers;
        let linear = |x: &Tensor, l: &(Var, Var)| ops::linear(x, &mode.tensor(&l.0), Some(&mode.tensor(&l.1)));
        linear(&linear(&x.flatten_from(1)?, a)?.tanh()?, b)
    }

    fn outputs(&self) -> usize {
        self.classes
    }
}

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

pub const ARMS: [Arm; 6] =
    [Arm::Sgd, Arm::Average, Arm::EntropyEpochs, Arm::EntropyGradients, Arm::Noise, Arm::SgdLong];

impl Arm {
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

    fn walks(self) -> bool {
        matches!(self, Self::EntropyEpochs | Self::EntropyGradients | Self::Noise)
    }
}

/// What became of an arm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trained {
    pub arm: Arm,
    pub gradients: usize,
    pub clean: f64,
    pub robust: f64,
    /// Robust accuracy on the first training examples.
    pub robust_train: f64,
    /// The fastest turn of the adversarial gradient along random directions at the end.
    pub turning: f64,
}

fn pgd(cfg: &Training, steps: usize) -> Result<Pgd> {
    let step = StepSize::Relative(2.5 / steps as f64);
    Ok(Pgd::new(PgdConfig { norm: Norm::Linf, eps: cfg.eps, steps, step_size: step, ..PgdConfig::default() })?)
}

fn robust(cfg: &Training, net: &Mlp, x: &Tensor, y: &Tensor) -> Result<f64> {
    let n = x.dim(0)?;
    let rng = ExampleRng::new(Rng::new(0).stream("test"), (0..n as u64).collect());
    let moved = pgd(cfg, cfg.test_steps)?.perturb(net, x, &Goal::Untargeted(y.clone()), &rng)?.x;
    accuracy(net, &moved, y)
}

fn accuracy(net: &Mlp, x: &Tensor, y: &Tensor) -> Result<f64> {
    Ok(train::accuracy(net, &Labelled::new(x.clone(), &y.to_vec1::<u32>()?, net.classes)?, 500)?)
}

/// One update of an arm: a gradient, or a walk of several.
enum Descent {
    Sgd(Sgd),
    Entropy(EntropySgd),
}

/// Adversarial training of one arm. An update takes the gradients of the batches that come next, over epochs of the data.
struct ArmTask<'a> {
    cfg: &'a Training,
    arm: Arm,
    net: &'a Mlp,
    data: &'a Labelled,
    attack: Pgd,
    steps: usize,
    descent: Descent,
    mean: Average,
    /// Gradients so far.
    gradients: usize,
}

impl<'a> ArmTask<'a> {
    fn new(cfg: &'a Training, arm: Arm, net: &'a Mlp, data: &'a Labelled) -> Result<Self> {
        let plain = data.len().div_ceil(cfg.batch_size) * cfg.epochs;
        let steps = match arm {
            Arm::EntropyGradients | Arm::Noise => plain / cfg.inner_steps,
            Arm::SgdLong => plain * cfg.inner_steps,
            _ => plain,
        };
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
        Ok(Self { cfg, arm, net, data, attack, steps, descent, mean: Average::mean(), gradients: 0 })
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

/// Trains one arm. All arms of a seed start from the same weights and see the same batches in the same order.
pub fn train(cfg: &Training, parts: &Parts, arm: Arm, seed: u64, bar: &Bar) -> Result<(Mlp, Trained)> {
    let data = &parts.train;
    let net = Mlp::new(data.x().elem_count() / data.len(), cfg.hidden, data.classes(), seed, DType::F32)?;
    let mut task = ArmTask::new(cfg, arm, &net, data)?;
    let mut watch = |p: &Progress| bar.at(p.step, p.total);
    Engine::new(1)?.observed_by(&mut watch).run(&mut task, &Rng::new(seed).stream("train"))?;
    let gradients = task.gradients;
    let few = data.slice(0, cfg.examples)?;
    let trained = Trained {
        arm,
        gradients,
        clean: accuracy(&net, parts.test.x(), parts.test.y())?,
        robust: robust(cfg, &net, parts.test.x(), parts.test.y())?,
        robust_train: robust(cfg, &net, few.x(), few.y())?,
        turning: dichotomy(cfg, parts, &net, seed, &cfg.distances[..1])?[0].linf,
    };
    Ok((net, trained))
}

/// One distance: how fast the adversarial gradient turns at most.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Turn {
    pub distance: f64,
    pub clean: f64,
    pub l2: f64,
    pub linf: f64,
}

/// Ratios of neighbouring gradients along random directions, in f64, for the attack of one step at the same L2 norm:
/// `eps g / norm(g)` and `eps sign(g) / sqrt(D)`.
pub fn dichotomy(cfg: &Training, parts: &Parts, net: &Mlp, seed: u64, distances: &[f64]) -> Result<Vec<Turn>> {
    let few = parts.train.slice(0, cfg.examples)?;
    let x = few.x().to_dtype(DType::F64)?.flatten_from(1)?;
    let dims = x.dim(1)?;
    let wide = Mlp::new(dims, cfg.hidden, few.classes(), seed, DType::F64)?;
    wide.params().restore(&net.params().snapshot()?.into_iter().collect())?;
    let eps = cfg.eps * (dims as f64).sqrt();
    let weights = Weights::new(wide.params())?;
    let gradient = |kind: usize| -> sconce_theory::Result<Vec<f64>> {
        let loss = |x: &Tensor, mode| ops::cross_entropy(&wide.forward(x, mode)?, few.y());
        let at = if kind == 0 {
            x.clone()
        } else {
            let g = attack::input_gradient(&x, |x| Ok(loss(x, Mode::Frozen)?.sum_all()?))?.detach();
            let delta = match kind {
                1 => g.broadcast_div(&g.sqr()?.sum_keepdim(1)?.sqrt()?)?.affine(eps, 0.0)?,
                _ => g.sign()?.affine(cfg.eps, 0.0)?,
            };
            (&x + delta)?
        };
        let grads = ops::last_backward(&loss(&at, Mode::Train)?.mean_all()?)?;
        let mut all = Vec::new();
        for p in wide.params().trainable() {
            let missing = || sconce_theory::Error::NoGradient { name: p.name().to_owned() };
            all.extend(grads.get(p.var()).ok_or_else(missing)?.flatten_all()?.to_vec1::<f64>()?);
        }
        Ok(all)
    };
    let one = |&h: &f64| -> Result<Turn> {
        let mut found = [0.0f64; 3];
        for k in 0..3 {
            let d = Direction::random(&weights, Normalise::Unit, &Rng::new(seed).stream("turn").at(k))?;
            let steps: Vec<f64> = (0..4).map(|i| f64::from(i) * h).collect();
            for (kind, most) in found.iter_mut().enumerate() {
                *most = most.max(lipschitz_along(&weights, &d, &steps, || gradient(kind))?.largest);
            }
        }
        ensure!(found.iter().all(|v| v.is_finite()), "a gradient that is not finite");
        Ok(Turn { distance: h, clean: found[0], l2: found[1], linf: found[2] })
    };
    distances.iter().map(one).collect()
}

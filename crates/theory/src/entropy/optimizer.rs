//! The optimiser.

use crate::{Error, Result};
use candle_core::Tensor;
use candle_core::backprop::GradStore;
use sconce_tensor_core::error::require;
use sconce_tensor_core::optim::{Optimizer, Sgd, SgdConfig};
use sconce_tensor_core::store::State;
use sconce_tensor_core::{Params, Rng};

/// Configuration of [`EntropySgd`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `outer` | [`SgdConfig`] with lr 1 | the step towards the mean of the walk | |
/// | `inner_steps` | 20 | L, gradients of a walk; 0: plain SGD | |
/// | `inner_lr` | 0.1 | step of the walk | finite, > 0 |
/// | `inner_momentum` | 0.9 | Nesterov momentum inside a walk, from 0 at its start | [0, 1) |
/// | `average` | 0.75 | share of the mean that a step of the walk keeps | [0, 1) |
/// | `noise` | 1e-4 | times `sqrt(2 inner_lr)`: standard deviation of the noise of a step; 1 walks at the temperature of the objective | finite, >= 0 |
/// | `gamma` | 1e-2 | pull towards the walk's start | finite, >= 0 |
/// | `scoping` | 0 | gamma grows by `1 + scoping` each step | finite, >= 0 |
///
/// `inner_steps`, `inner_lr`, `average`, `noise`, `gamma` and `scoping` are the defaults of the authors' public code (L is the paper's
/// 20); that each walk starts with zero momentum, and the outer rate, are chosen by us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EntropySgdConfig {
    /// The outer step.
    pub outer: SgdConfig,
    /// L.
    pub inner_steps: usize,
    /// Step of the walk.
    pub inner_lr: f64,
    /// Momentum of the walk.
    pub inner_momentum: f64,
    /// Share of the mean that is kept.
    pub average: f64,
    /// Noise of the walk.
    pub noise: f64,
    /// Pull towards the start.
    pub gamma: f64,
    /// Growth of the pull.
    pub scoping: f64,
}

impl Default for EntropySgdConfig {
    fn default() -> Self {
        Self {
            outer: SgdConfig { lr: 1.0, ..SgdConfig::default() },
            inner_steps: 20,
            inner_lr: 0.1,
            inner_momentum: 0.9,
            average: 0.75,
            noise: 1e-4,
            gamma: 1e-2,
            scoping: 0.0,
        }
    }
}

/// EntropySGD: each step walks from the weights c by Langevin steps on `L(w) + gamma norm(w - c)^2 / 2`, keeps a running mean m of the
/// places, goes back to c and takes an SGD step with `c - m` for a gradient (for long walks with noise 1 that is
/// `grad F / gamma`, F as in [`super::LocalEntropy`]).
///
/// Its controls: `gamma` 0 is a walk with noise alone; [`sconce_tensor_core::optim::Average`] averages without one.
///
/// Source: Chaudhari et al. (arXiv 1611.01838), algorithm 1.
#[derive(Clone, Debug)]
pub struct EntropySgd {
    cfg: EntropySgdConfig,
    outer: Sgd,
    steps: u64,
}

impl EntropySgd {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: EntropySgdConfig) -> Result<Self> {
        let good = |v: f64| v.is_finite() && v >= 0.0;
        let lr = cfg.inner_lr;
        require("EntropySgdConfig.inner_lr", lr.is_finite() && lr > 0.0, "finite and > 0", lr)?;
        let momentum = cfg.inner_momentum;
        require("EntropySgdConfig.inner_momentum", (0.0..1.0).contains(&momentum), "in [0, 1)", momentum)?;
        require("EntropySgdConfig.average", (0.0..1.0).contains(&cfg.average), "in [0, 1)", cfg.average)?;
        require("EntropySgdConfig.noise", good(cfg.noise), "finite and >= 0", cfg.noise)?;
        require("EntropySgdConfig.gamma", good(cfg.gamma), "finite and >= 0", cfg.gamma)?;
        require("EntropySgdConfig.scoping", good(cfg.scoping), "finite and >= 0", cfg.scoping)?;
        Ok(Self { cfg, outer: Sgd::new(cfg.outer)?, steps: 0 })
    }

    /// Gradients that a step takes.
    pub fn gradients_per_step(&self) -> usize {
        self.cfg.inner_steps.max(1)
    }

    /// The learning rate of the next outer step.
    pub fn lr(&self) -> f64 {
        self.outer.lr()
    }

    /// Sets the learning rate of the next outer step.
    ///
    /// # Errors
    /// [`Error::Config`] unless it is finite and at least 0.
    pub fn set_lr(&mut self, lr: f64) -> Result<()> {
        self.outer.set_lr(lr)
    }

    /// The state of the outer optimizer and the number of steps, for a checkpoint.
    ///
    /// # Errors
    /// candle's only.
    pub fn state(&self) -> Result<State> {
        State::new(&serde_json::json!({ "steps": self.steps }), Vec::<(String, Tensor)>::new())?
            .with("outer", self.outer.state()?)
    }

    /// Takes back what [`EntropySgd::state`] gave.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Value`] where it is not a state of these parameters.
    pub fn restore(&mut self, params: &Params, mut state: State) -> Result<()> {
        self.outer.restore(params, state.take("outer")?)?;
        let steps = state.values.get("steps").and_then(serde_json::Value::as_u64);
        self.steps = steps.ok_or_else(|| Error::value("EntropySGD", "no number of steps"))?;
        Ok(())
    }

    /// One step at the optimizer's rate. `gradient(l)` is the gradient of the l-th batch of the walk at the weights as they then are.
    ///
    /// # Errors
    /// Those of `gradient`, after which the weights are where the step began; [`Error::NoGradient`].
    pub fn step(
        &mut self,
        params: &Params,
        rng: &Rng,
        gradient: &mut dyn FnMut(usize) -> Result<GradStore>,
    ) -> Result<()> {
        let EntropySgdConfig { inner_steps, .. } = self.cfg;
        let at = self.steps;
        self.steps += 1;
        if inner_steps == 0 {
            return self.outer.step(params, &gradient(0)?);
        }
        let start: Vec<Tensor> =
            params.trainable().map(|p| Ok(p.var().as_detached_tensor().copy()?)).collect::<Result<_>>()?;
        let walked = self.walk(params, &start, &rng.stream("entropy").at(at), gradient);
        for (p, c) in params.trainable().zip(&start) {
            p.var().set(c)?;
        }
        let (mut grads, mean) = walked?;
        for ((p, c), m) in params.trainable().zip(&start).zip(&mean) {
            grads.insert(p.var(), (c - m)?);
        }
        self.outer.step(params, &grads)
    }

    /// The walk: the last gradients, whose values the caller replaces, and the mean of the places.
    fn walk(
        &self,
        params: &Params,
        start: &[Tensor],
        rng: &Rng,
        gradient: &mut dyn FnMut(usize) -> Result<GradStore>,
    ) -> Result<(GradStore, Vec<Tensor>)> {
        let cfg = &self.cfg;
        let gamma = cfg.gamma * (1.0 + cfg.scoping).powf(self.steps as f64 - 1.0);
        let momentum = cfg.inner_momentum;
        let inner = SgdConfig { lr: cfg.inner_lr, momentum, nesterov: momentum > 0.0, ..cfg.outer };
        let mut sgd = Sgd::new(inner)?;
        let mut mean: Vec<Tensor> = start.to_vec();
        let mut last = None;
        for l in 0..cfg.inner_steps {
            let mut grads = gradient(l)?;
            for (i, (p, c)) in params.trainable().zip(start).enumerate() {
                let missing = || Error::NoGradient { name: p.name().to_owned() };
                let (w, g) = (p.var().as_detached_tensor(), grads.get(p.var()).ok_or_else(missing)?.detach());
                let mut g = (g + ((w - c)? * gamma)?)?;
                if cfg.noise > 0.0 {
                    let deviation = cfg.noise / (0.5 * cfg.inner_lr).sqrt();
                    let rng = rng.stream(p.name()).at((l * start.len() + i) as u64);
                    g = (g + rng.normal(c.dims(), 0.0, deviation, c.dtype(), c.device())?)?;
                }
                grads.insert(p.var(), g);
            }
            sgd.step(params, &grads)?;
            for (p, m) in params.trainable().zip(&mut mean) {
                *m = ((&*m * cfg.average)? + (p.var().as_detached_tensor() * (1.0 - cfg.average))?)?;
            }
            last = Some(grads);
        }
        last.map(|g| (g, mean))
            .ok_or_else(|| Error::config("EntropySgdConfig.inner_steps", "must be at least 1 for a walk"))
    }
}

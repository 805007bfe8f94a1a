//! Stochastic gradient descent.

use crate::{Error, Params, Result, error::require};
use candle_core::{Tensor, backprop::GradStore};
use std::collections::HashMap;

/// How weight decay enters the update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decay {
    /// Added to the gradient, so that momentum carries it (PyTorch's SGD).
    #[default]
    Coupled,
    /// `w <- (1 - lr decay) w` beside the gradient step (Loshchilov and Hutter 2019).
    Decoupled,
}

/// Configuration of [`Sgd`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lr` | 0.05 | base step size | finite, > 0 |
/// | `momentum` | 0.9 | share of the last update that is kept | [0, 1) |
/// | `nesterov` | false | look ahead along the momentum | needs momentum > 0 |
/// | `weight_decay` | 0 | factor on the weights in the gradient: `g + weight_decay w` | finite, >= 0 |
/// | `decay` | coupled | how the decay enters | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// Base step size.
    pub lr: f64,
    /// Momentum.
    pub momentum: f64,
    /// Nesterov's form.
    pub nesterov: bool,
    /// Weight decay on all trainable parameters.
    pub weight_decay: f64,
    /// How the decay enters.
    pub decay: Decay,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self { lr: 0.05, momentum: 0.9, nesterov: false, weight_decay: 0.0, decay: Decay::Coupled }
    }
}

/// SGD as PyTorch defines it: `v <- momentum v + g`, `w <- w - lr v` (Nesterov: `w <- w - lr (g + momentum v)`).
#[derive(Clone, Debug)]
pub struct Sgd {
    cfg: SgdConfig,
    velocity: HashMap<String, Tensor>,
}

impl Sgd {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: SgdConfig) -> Result<Self> {
        require("SgdConfig.lr", cfg.lr.is_finite() && cfg.lr > 0.0, "finite and > 0", cfg.lr)?;
        require("SgdConfig.momentum", (0.0..1.0).contains(&cfg.momentum), "in [0, 1)", cfg.momentum)?;
        let decay = cfg.weight_decay;
        require("SgdConfig.weight_decay", decay.is_finite() && decay >= 0.0, "finite and >= 0", decay)?;
        require("SgdConfig.nesterov", !cfg.nesterov || cfg.momentum > 0.0, "used with momentum > 0", cfg.momentum)?;
        Ok(Self { cfg, velocity: HashMap::new() })
    }

    /// The base step size.
    pub fn lr(&self) -> f64 {
        self.cfg.lr
    }

    /// One update with step size `lr` (the base times the schedule's factor).
    ///
    /// # Errors
    /// [`Error::NoGradient`] naming the first trainable parameter that the backward pass did not
    /// reach; nothing is updated then. candle's.
    pub fn step(&mut self, params: &Params, grads: &GradStore, lr: f64) -> Result<()> {
        if let Some(p) = params.trainable().find(|p| grads.get(p.var()).is_none()) {
            return Err(Error::NoGradient { name: p.name().to_owned() });
        }
        let SgdConfig { momentum, nesterov, weight_decay, decay, .. } = self.cfg;
        for p in params.trainable() {
            let Some(grad) = grads.get(p.var()) else { continue };
            let mut w = p.var().as_detached_tensor();
            let mut g = grad.detach();
            if weight_decay > 0.0 {
                match decay {
                    Decay::Coupled => g = (g + (&w * weight_decay)?)?,
                    Decay::Decoupled => w = (w * (1.0 - lr * weight_decay))?,
                }
            }
            if momentum > 0.0 {
                let v = match self.velocity.get(p.name()) {
                    Some(v) => ((v * momentum)? + &g)?,
                    None => g.copy()?,
                };
                g = if nesterov { (g + (&v * momentum)?)? } else { v.clone() };
                self.velocity.insert(p.name().to_owned(), v);
            }
            p.var().set(&(w - (g * lr)?)?)?;
        }
        Ok(())
    }

    /// The velocities, in the parameters' order, for a checkpoint.
    pub fn state(&self, params: &Params) -> Vec<(String, Tensor)> {
        params.trainable().filter_map(|p| Some((p.name().to_owned(), self.velocity.get(p.name())?.clone()))).collect()
    }

    /// Takes back what [`Sgd::state`] gave.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Value`] where a velocity does not belong to a parameter.
    pub fn restore(&mut self, params: &Params, state: HashMap<String, Tensor>) -> Result<()> {
        for (name, v) in &state {
            match params.get(name) {
                Some(p) if p.var().shape() == v.shape() => {}
                Some(p) => {
                    return Err(Error::shape(format!("velocity `{name}`"), format!("{:?}", p.var().dims()), v.dims()));
                }
                None => return Err(Error::value("velocity", format!("`{name}` is no parameter of the network"))),
            }
        }
        self.velocity = state;
        Ok(())
    }
}

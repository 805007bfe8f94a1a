//! RMSprop.

use super::adam::Mean;
use super::group::{Group, Groups};
use super::optimizer::{Optimizer, check_lr, with_gradients};
use super::slots::Slots;
use super::update::apply;
use crate::ops::cpu::element::Element;
use crate::ops::in_place::Update;
use crate::store::State;
use crate::{Params, Result, error::require};
use candle_core::backprop::GradStore;

/// Configuration of [`RmsProp`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lr` | 0.01 | learning rate | finite, > 0 |
/// | `alpha` | 0.99 | decay of the mean of squared gradients | [0, 1) |
/// | `eps` | 1e-8 | added to its root | finite, > 0 |
/// | `momentum` | 0 | share of the last update that is kept | [0, 1) |
/// | `centered` | false | divide by the standard deviation instead of the root mean square | |
/// | `weight_decay` | 0 | factor on the weights in the gradient | finite, >= 0 |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsPropConfig {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean of squared gradients.
    pub alpha: f64,
    /// Added to its root.
    pub eps: f64,
    /// Momentum.
    pub momentum: f64,
    /// Whether the mean gradient is taken off.
    pub centered: bool,
    /// Weight decay, in the gradient.
    pub weight_decay: f64,
}

impl Default for RmsPropConfig {
    fn default() -> Self {
        Self { lr: 0.01, alpha: 0.99, eps: 1e-8, momentum: 0.0, centered: false, weight_decay: 0.0 }
    }
}

/// RMSprop (Hinton, lecture 6e of "Neural networks for machine learning", 2012) as PyTorch computes it:
/// `s <- alpha s + (1 - alpha) g^2`, `u = g / (sqrt(s) + eps)`, `v <- momentum v + u`, `w <- w - lr v`; centered (Graves,
/// arXiv 1308.0850) with `s - m^2` in the place of `s`, `m <- alpha m + (1 - alpha) g`.
#[derive(Clone, Debug)]
pub struct RmsProp {
    cfg: RmsPropConfig,
    lr: f64,
    groups: Groups,
    slots: Slots<3>,
}

impl RmsProp {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the field.
    pub fn new(cfg: RmsPropConfig) -> Result<Self> {
        let good = |v: f64| v.is_finite() && v >= 0.0;
        require("RmsPropConfig.lr", cfg.lr.is_finite() && cfg.lr > 0.0, "finite and > 0", cfg.lr)?;
        require("RmsPropConfig.alpha", (0.0..1.0).contains(&cfg.alpha), "in [0, 1)", cfg.alpha)?;
        require("RmsPropConfig.eps", cfg.eps.is_finite() && cfg.eps > 0.0, "finite and > 0", cfg.eps)?;
        require("RmsPropConfig.momentum", (0.0..1.0).contains(&cfg.momentum), "in [0, 1)", cfg.momentum)?;
        require("RmsPropConfig.weight_decay", good(cfg.weight_decay), "finite and >= 0", cfg.weight_decay)?;
        let slots = Slots::new(["square", "mean", "velocity"]);
        Ok(Self { cfg, lr: cfg.lr, groups: Groups::default(), slots })
    }

    /// The defaults with a learning rate.
    ///
    /// # Errors
    /// A rate that is not finite and positive.
    pub fn with_lr(lr: f64) -> Result<Self> {
        Self::new(RmsPropConfig { lr, ..RmsPropConfig::default() })
    }

    /// Adds a rule for some of the parameters.
    #[must_use]
    pub fn with_group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }
}

impl Optimizer for RmsProp {
    fn step(&mut self, params: &Params, gradients: &GradStore) -> Result<()> {
        let RmsPropConfig { alpha, eps, momentum, centered, weight_decay, .. } = self.cfg;
        for (p, mut g) in with_gradients(params, gradients)? {
            let (lr, decay) = self.groups.of(p, self.lr, weight_decay);
            let w = p.var().as_detached_tensor();
            if decay > 0.0 {
                g = (g + (&w * decay)?)?;
            }
            let [square, mean, velocity] = self.slots.of(p)?;
            apply(square, &g, &g, &Mean { beta: alpha, square: true })?;
            let spread = if centered {
                apply(mean, &g, &g, &Mean { beta: alpha, square: false })?;
                (square - mean.sqr()?)?.relu()?
            } else {
                square.clone()
            };
            apply(velocity, &g, &spread, &Accelerate { momentum, eps })?;
            apply(&w, velocity, velocity, &Descend { lr })?;
        }
        Ok(())
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn set_lr(&mut self, lr: f64) -> Result<()> {
        self.lr = check_lr(lr)?;
        Ok(())
    }

    fn state(&self) -> Result<State> {
        self.slots.state(&())
    }

    fn restore(&mut self, params: &Params, state: State) -> Result<()> {
        self.slots.restore(params, state)
    }

    fn describe(&self) -> String {
        format!("{:?} {:?}", self.cfg, self.groups)
    }
}

/// `v <- momentum v + g / (sqrt(s) + eps)`.
struct Accelerate {
    momentum: f64,
    eps: f64,
}

impl Update for Accelerate {
    #[inline(always)]
    fn apply<T: Element>(&self, v: &mut [T], g: &[T], s: &[T]) {
        let (momentum, eps) = (T::from_f64(self.momentum), T::from_f64(self.eps));
        for (v, (g, s)) in v.iter_mut().zip(g.iter().zip(s)) {
            *v = momentum * *v + *g / (s.root() + eps);
        }
    }
}

/// `w <- w - lr v`.
struct Descend {
    lr: f64,
}

impl Update for Descend {
    #[inline(always)]
    fn apply<T: Element>(&self, w: &mut [T], v: &[T], _: &[T]) {
        let lr = T::from_f64(self.lr);
        for (w, v) in w.iter_mut().zip(v) {
            *w -= lr * *v;
        }
    }
}

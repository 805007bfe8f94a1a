//! Stochastic gradient descent.

use super::group::{Group, Groups};
use super::optimizer::{Optimizer, check_lr, with_gradients};
use super::slots::Slots;
use super::update::apply;
use crate::ops::cpu::element::Element;
use crate::ops::in_place::Update;
use crate::store::State;
use crate::{Params, Result, error::require};
use candle_core::backprop::GradStore;

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
/// | `lr` | 0.05 | learning rate | finite, > 0 |
/// | `momentum` | 0.9 | share of the last update that is kept | [0, 1) |
/// | `nesterov` | false | look ahead along the momentum | needs momentum > 0 |
/// | `weight_decay` | 0 | factor on the weights in the gradient: `g + weight_decay w` | finite, >= 0 |
/// | `decay` | coupled | how the decay enters | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// Learning rate.
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
    lr: f64,
    groups: Groups,
    velocity: Slots<1>,
}

impl Sgd {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the field.
    pub fn new(cfg: SgdConfig) -> Result<Self> {
        require("SgdConfig.lr", cfg.lr.is_finite() && cfg.lr > 0.0, "finite and > 0", cfg.lr)?;
        require("SgdConfig.momentum", (0.0..1.0).contains(&cfg.momentum), "in [0, 1)", cfg.momentum)?;
        let decay = cfg.weight_decay;
        require("SgdConfig.weight_decay", decay.is_finite() && decay >= 0.0, "finite and >= 0", decay)?;
        require("SgdConfig.nesterov", !cfg.nesterov || cfg.momentum > 0.0, "used with momentum > 0", cfg.momentum)?;
        Ok(Self { cfg, lr: cfg.lr, groups: Groups::default(), velocity: Slots::new(["velocity"]) })
    }

    /// The defaults with a learning rate.
    ///
    /// # Errors
    /// A rate that is not finite and positive.
    pub fn with_lr(lr: f64) -> Result<Self> {
        Self::new(SgdConfig { lr, ..SgdConfig::default() })
    }

    /// Adds a rule for some of the parameters.
    #[must_use]
    pub fn with_group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, params: &Params, gradients: &GradStore) -> Result<()> {
        let SgdConfig { momentum, nesterov, weight_decay, decay, .. } = self.cfg;
        for (p, g) in with_gradients(params, gradients)? {
            let (lr, weight_decay) = self.groups.of(p, self.lr, weight_decay);
            let w = p.var().as_detached_tensor();
            let shrink = if decay == Decay::Decoupled { lr * weight_decay } else { 0.0 };
            let coupled = if decay == Decay::Coupled { weight_decay } else { 0.0 };
            let descend = Descend { lr, shrink, momentum: if nesterov { momentum } else { 0.0 } };
            if momentum == 0.0 {
                // The gradient itself is the velocity; it is this step's own.
                let v = if coupled > 0.0 { (&g + (&w * coupled)?)? } else { g };
                apply(&w, &v, &v, &descend)?;
                continue;
            }
            let [v] = self.velocity.of(p)?;
            if nesterov && coupled > 0.0 {
                let g = (&g + (&w * coupled)?)?;
                apply(v, &g, &w, &Accelerate { momentum, decay: 0.0 })?;
                apply(&w, v, &g, &descend)?;
            } else {
                apply(v, &g, &w, &Accelerate { momentum, decay: coupled })?;
                apply(&w, v, &g, &descend)?;
            }
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
        self.velocity.state(&())
    }

    fn restore(&mut self, params: &Params, state: State) -> Result<()> {
        self.velocity.restore(params, state)
    }

    fn describe(&self) -> String {
        format!("{:?} {:?}", self.cfg, self.groups)
    }
}

/// `v <- momentum v + g + decay w`.
struct Accelerate {
    momentum: f64,
    decay: f64,
}

impl Update for Accelerate {
    #[inline(always)]
    fn apply<T: Element>(&self, v: &mut [T], g: &[T], w: &[T]) {
        let (m, d) = (T::from_f64(self.momentum), T::from_f64(self.decay));
        if self.decay == 0.0 {
            for (v, g) in v.iter_mut().zip(g) {
                *v = m * *v + *g;
            }
            return;
        }
        for (v, (g, w)) in v.iter_mut().zip(g.iter().zip(w)) {
            *v = m * *v + (*g + d * *w);
        }
    }
}

/// `w <- (1 - shrink) w - lr v`, or with momentum (Nesterov's) `- lr (g + momentum v)`.
struct Descend {
    lr: f64,
    shrink: f64,
    momentum: f64,
}

impl Update for Descend {
    #[inline(always)]
    fn apply<T: Element>(&self, w: &mut [T], v: &[T], g: &[T]) {
        let (lr, keep, m) = (T::from_f64(self.lr), T::from_f64(1.0 - self.shrink), T::from_f64(self.momentum));
        if self.momentum == 0.0 {
            for (w, v) in w.iter_mut().zip(v) {
                *w = keep * *w - lr * *v;
            }
            return;
        }
        for (w, (v, g)) in w.iter_mut().zip(v.iter().zip(g)) {
            *w = keep * *w - lr * (*g + m * *v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;
    use candle_core::{Device, Tensor};

    /// Two steps on `w^2 / 2` (gradient `w`) from 1, worked by hand.
    fn two_steps(cfg: SgdConfig) -> f64 {
        let mut params = Params::new();
        let w = params.add("w", Role::Weight, &Tensor::new(&[1f64], &Device::Cpu).unwrap()).unwrap();
        let mut sgd = Sgd::new(cfg).unwrap();
        for _ in 0..2 {
            let grads = (w.sqr().unwrap().sum_all().unwrap() / 2.0).unwrap().backward().unwrap();
            sgd.step(&params, &grads).unwrap();
        }
        w.to_vec1::<f64>().unwrap()[0]
    }

    #[test]
    fn steps_by_hand() {
        let cfg = SgdConfig { lr: 0.1, momentum: 0.0, nesterov: false, weight_decay: 0.0, decay: Decay::Coupled };
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-15, "{a}, by hand {b}");
        near(two_steps(cfg), 0.9 * 0.9);
        // v = 1, w = 0.9; v = 0.5 + 0.9, w = 0.9 - 0.14.
        near(two_steps(SgdConfig { momentum: 0.5, ..cfg }), 0.76);
        // w = 1 - 0.1 (1 + 0.5) = 0.85; v = 0.5 + 0.85, w = 0.85 - 0.1 (0.85 + 0.675).
        near(two_steps(SgdConfig { momentum: 0.5, nesterov: true, ..cfg }), 0.6975);
        // Coupled: gradient 1.2 w. Decoupled without momentum is the same.
        near(two_steps(SgdConfig { weight_decay: 0.2, ..cfg }), 0.88 * 0.88);
        near(two_steps(SgdConfig { weight_decay: 0.2, decay: Decay::Decoupled, ..cfg }), 0.88 * 0.88);
        // With momentum it is not: w = 0.98 - 0.1 = 0.88; v = 0.5 + 0.88, w = 0.98 * 0.88 - 0.138.
        near(two_steps(SgdConfig { weight_decay: 0.2, momentum: 0.5, decay: Decay::Decoupled, ..cfg }), 0.7244);
    }
}

//! Stochastic gradient descent.

use super::descent::{Descent, Rule, Update};
use crate::ops::cpu::element::Element;
use crate::ops::in_place::Update as Elementwise;
use crate::ops::in_place::apply;
use crate::{Param, Result, error::require};
use candle_core::Tensor;

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
pub type Sgd = Descent<SgdConfig>;

impl Rule for SgdConfig {
    const SLOTS: &'static [&'static str] = &["velocity"];

    fn validate(&self) -> Result<()> {
        let Self { lr, momentum, nesterov, weight_decay, .. } = *self;
        require("SgdConfig.lr", lr.is_finite() && lr > 0.0, "finite and > 0", lr)?;
        require("SgdConfig.momentum", (0.0..1.0).contains(&momentum), "in [0, 1)", momentum)?;
        let good = weight_decay.is_finite() && weight_decay >= 0.0;
        require("SgdConfig.weight_decay", good, "finite and >= 0", weight_decay)?;
        require("SgdConfig.nesterov", !nesterov || momentum > 0.0, "used with momentum > 0", momentum)
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn with_lr(self, lr: f64) -> Self {
        Self { lr, ..self }
    }

    fn weight_decay(&self, _: &Param) -> f64 {
        self.weight_decay
    }

    fn update(&self, mut u: Update<'_>) -> Result<()> {
        let Self { momentum, nesterov, decay, .. } = *self;
        let shrink = if decay == Decay::Decoupled { u.lr * u.decay } else { 0.0 };
        let coupled = if decay == Decay::Coupled { u.decay } else { 0.0 };
        let descend = Descend { lr: u.lr, shrink, momentum: if nesterov { momentum } else { 0.0 } };
        let w = u.weight.clone();
        let whole = if coupled > 0.0 { u.decayed_gradient()? } else { u.gradient.clone() };
        if momentum == 0.0 {
            // The gradient itself is the velocity; it is this step's own.
            return apply(&w, &whole, &whole, &descend);
        }
        let g = u.gradient.clone();
        let [v] = u.slots()?;
        if nesterov {
            apply(v, &whole, &w, &Accelerate { momentum, decay: 0.0 })?;
            return apply(&w, v, &whole, &descend);
        }
        apply(v, &g, &w, &Accelerate { momentum, decay: coupled })?;
        apply(&w, v, &g, &descend)
    }
}

/// `v <- momentum v + g + decay w`.
struct Accelerate {
    momentum: f64,
    decay: f64,
}

impl Elementwise for Accelerate {
    #[inline(always)]
    fn apply<T: Element>(&self, v: &mut [T], g: &[T], w: &[T]) {
        let (m, d) = (T::of_f64(self.momentum), T::of_f64(self.decay));
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

    fn of_tensors(&self, v: &Tensor, g: &Tensor, w: &Tensor) -> candle_core::Result<Tensor> {
        let kept = (v * self.momentum)?;
        if self.decay == 0.0 { kept + g } else { kept + (g + (w * self.decay)?)? }
    }
}

/// `w <- (1 - shrink) w - lr v`, or with momentum (Nesterov's) `- lr (g + momentum v)`.
struct Descend {
    lr: f64,
    shrink: f64,
    momentum: f64,
}

impl Elementwise for Descend {
    #[inline(always)]
    fn apply<T: Element>(&self, w: &mut [T], v: &[T], g: &[T]) {
        let (lr, keep, m) = (T::of_f64(self.lr), T::of_f64(1.0 - self.shrink), T::of_f64(self.momentum));
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

    fn of_tensors(&self, w: &Tensor, v: &Tensor, g: &Tensor) -> candle_core::Result<Tensor> {
        let along = if self.momentum == 0.0 { v.clone() } else { (g + (v * self.momentum)?)? };
        let kept = if self.shrink == 0.0 { w.clone() } else { (w * (1.0 - self.shrink))? };
        kept - (along * self.lr)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::in_place::assert_one_formula;
    use crate::optim::Optimizer;
    use crate::{Params, Role};
    use candle_core::Device;

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

    #[test]
    fn updates_of_tensors() {
        for (momentum, decay, shrink) in [(0.9, 0.0, 0.0), (0.9, 0.1, 0.0), (0.0, 0.0, 0.2), (0.5, 0.0, 0.2)] {
            assert_one_formula(&Accelerate { momentum, decay });
            assert_one_formula(&Descend { lr: 0.1, shrink, momentum });
        }
    }
}

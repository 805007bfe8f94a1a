//! Stochastic gradient descent.

use super::descent::{Descent, Rule, Update};
use crate::ops::cpu::element::Element;
use crate::ops::in_place::{Elementwise, apply};
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
        let decoupled = decay == Decay::Decoupled;
        let step = Step {
            lr: u.lr,
            shrink: if decoupled { u.lr * u.decay } else { 0.0 },
            decay: if decoupled { 0.0 } else { u.decay },
        };
        let (w, g) = (u.weight.clone(), u.gradient.clone());
        if momentum == 0.0 {
            return apply([&w], [&g], &step);
        }
        let [v] = u.slots()?;
        apply([&w, v], [&g], &WithMomentum { step, momentum, nesterov })
    }
}

/// `g <- g + decay w`, `w <- (1 - shrink) w - lr g`.
struct Step {
    lr: f64,
    shrink: f64,
    decay: f64,
}

impl Step {
    /// `g + decay w`.
    fn decayed(&self, g: &Tensor, w: &Tensor) -> candle_core::Result<Tensor> {
        if self.decay == 0.0 { Ok(g.clone()) } else { g + (w * self.decay)? }
    }

    /// `(1 - shrink) w - lr along`.
    fn descended(&self, w: &Tensor, along: &Tensor) -> candle_core::Result<Tensor> {
        let kept = if self.shrink == 0.0 { w.clone() } else { (w * (1.0 - self.shrink))? };
        kept - (along * self.lr)?
    }
}

impl Elementwise<1> for Step {
    #[inline(always)]
    fn apply<T: Element>(&self, [w]: [&mut [T]; 1], [g]: [&[T]; 1]) {
        let (lr, keep) = (T::of_f64(self.lr), T::of_f64(1.0 - self.shrink));
        let (decay, plain) = (T::of_f64(self.decay), self.decay == 0.0);
        for (w, g) in w.iter_mut().zip(g) {
            let g = if plain { *g } else { *g + decay * *w };
            *w = keep * *w - lr * g;
        }
    }

    fn of_tensors(&self, [w]: [&Tensor; 1], [g]: [&Tensor; 1]) -> candle_core::Result<[Tensor; 1]> {
        Ok([self.descended(w, &self.decayed(g, w)?)?])
    }
}

/// `g <- g + decay w`, `v <- momentum v + g`, `w <- (1 - shrink) w - lr v`, or (Nesterov's) `- lr (g + momentum v)`.
struct WithMomentum {
    step: Step,
    momentum: f64,
    nesterov: bool,
}

impl Elementwise<2> for WithMomentum {
    #[inline(always)]
    fn apply<T: Element>(&self, [w, v]: [&mut [T]; 2], [g]: [&[T]; 1]) {
        let (lr, keep, m) = (T::of_f64(self.step.lr), T::of_f64(1.0 - self.step.shrink), T::of_f64(self.momentum));
        let (decay, plain, nesterov) = (T::of_f64(self.step.decay), self.step.decay == 0.0, self.nesterov);
        for ((w, v), g) in w.iter_mut().zip(v).zip(g) {
            let g = if plain { *g } else { *g + decay * *w };
            *v = m * *v + g;
            *w = keep * *w - lr * if nesterov { g + m * *v } else { *v };
        }
    }

    fn of_tensors(&self, [w, v]: [&Tensor; 2], [g]: [&Tensor; 1]) -> candle_core::Result<[Tensor; 2]> {
        let g = self.step.decayed(g, w)?;
        let v = ((v * self.momentum)? + &g)?;
        let along = if self.nesterov { (g + (&v * self.momentum)?)? } else { v.clone() };
        Ok([self.step.descended(w, &along)?, v])
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
        for (momentum, decay, shrink) in [(0.9, 0.0, 0.0), (0.9, 0.1, 0.0), (0.5, 0.0, 0.2)] {
            let step = || Step { lr: 0.1, shrink, decay };
            assert_one_formula(&step());
            for nesterov in [false, true] {
                assert_one_formula(&WithMomentum { step: step(), momentum, nesterov });
            }
        }
    }
}

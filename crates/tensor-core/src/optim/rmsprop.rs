//! RMSprop.

use super::adam::Mean;
use super::descent::{Descent, Rule, Update};
use crate::ops::cpu::element::Element;
use crate::ops::in_place::Update as Elementwise;
use crate::ops::in_place::apply;
use crate::{Param, Result, error::require};
use candle_core::Tensor;

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
pub type RmsProp = Descent<RmsPropConfig>;

impl Rule for RmsPropConfig {
    const SLOTS: &'static [&'static str] = &["square", "mean", "velocity"];

    fn validate(&self) -> Result<()> {
        let Self { lr, alpha, eps, momentum, weight_decay, .. } = *self;
        require("RmsPropConfig.lr", lr.is_finite() && lr > 0.0, "finite and > 0", lr)?;
        require("RmsPropConfig.alpha", (0.0..1.0).contains(&alpha), "in [0, 1)", alpha)?;
        require("RmsPropConfig.eps", eps.is_finite() && eps > 0.0, "finite and > 0", eps)?;
        require("RmsPropConfig.momentum", (0.0..1.0).contains(&momentum), "in [0, 1)", momentum)?;
        let good = weight_decay.is_finite() && weight_decay >= 0.0;
        require("RmsPropConfig.weight_decay", good, "finite and >= 0", weight_decay)
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
        let Self { alpha, eps, momentum, centered, .. } = *self;
        let (w, g, lr) = (u.weight.clone(), u.decayed_gradient()?, u.lr);
        let [square, mean, velocity] = u.slots()?;
        apply(square, &g, &g, &Mean { beta: alpha, square: true })?;
        let spread = if centered {
            apply(mean, &g, &g, &Mean { beta: alpha, square: false })?;
            // Rounding can leave a variance of almost 0 below it.
            (square - mean.sqr()?)?.relu()?
        } else {
            square.clone()
        };
        apply(velocity, &g, &spread, &Accelerate { momentum, eps })?;
        apply(&w, velocity, velocity, &Descend { lr })
    }
}

/// `v <- momentum v + g / (sqrt(s) + eps)`.
struct Accelerate {
    momentum: f64,
    eps: f64,
}

impl Elementwise for Accelerate {
    #[inline(always)]
    fn apply<T: Element>(&self, v: &mut [T], g: &[T], s: &[T]) {
        let (momentum, eps) = (T::of_f64(self.momentum), T::of_f64(self.eps));
        for (v, (g, s)) in v.iter_mut().zip(g.iter().zip(s)) {
            *v = momentum * *v + *g / (s.root() + eps);
        }
    }

    fn of_tensors(&self, v: &Tensor, g: &Tensor, s: &Tensor) -> candle_core::Result<Tensor> {
        (v * self.momentum)? + (g / (s.sqrt()? + self.eps)?)?
    }
}

/// `w <- w - lr v`.
struct Descend {
    lr: f64,
}

impl Elementwise for Descend {
    #[inline(always)]
    fn apply<T: Element>(&self, w: &mut [T], v: &[T], _: &[T]) {
        let lr = T::of_f64(self.lr);
        for (w, v) in w.iter_mut().zip(v) {
            *w -= lr * *v;
        }
    }

    fn of_tensors(&self, w: &Tensor, v: &Tensor, _: &Tensor) -> candle_core::Result<Tensor> {
        w - (v * self.lr)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::in_place::assert_one_formula;

    #[test]
    fn updates_of_tensors() {
        assert_one_formula(&Accelerate { momentum: 0.9, eps: 1e-3 });
        assert_one_formula(&Descend { lr: 0.1 });
    }
}

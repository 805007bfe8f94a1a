//! RMSprop.

use super::descent::{Descent, Rule, Update};
use crate::ops::cpu::element::Element;
use crate::ops::in_place::{Elementwise, apply};
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
        let (w, g) = (u.weight.clone(), u.gradient.clone());
        let step = Step { alpha, eps, momentum, centered, lr: u.lr, decay: u.decay };
        let [square, mean, velocity] = u.slots()?;
        apply([&w, square, mean, velocity], [&g], &step)
    }
}

/// `g <- g + decay w`, `s <- alpha s + (1 - alpha) g^2`, centered `m <- alpha m + (1 - alpha) g`,
/// `v <- momentum v + g / (sqrt(s - m^2) + eps)`, `w <- w - lr v`.
struct Step {
    alpha: f64,
    eps: f64,
    momentum: f64,
    centered: bool,
    lr: f64,
    decay: f64,
}

impl Elementwise<4> for Step {
    #[inline(always)]
    fn apply<T: Element>(&self, [w, s, m, v]: [&mut [T]; 4], [g]: [&[T]; 1]) {
        let (keep, take) = (T::of_f64(self.alpha), T::of_f64(1.0 - self.alpha));
        let (momentum, eps, lr) = (T::of_f64(self.momentum), T::of_f64(self.eps), T::of_f64(self.lr));
        let (decay, plain, centered) = (T::of_f64(self.decay), self.decay == 0.0, self.centered);
        for (((w, v), g), (s, m)) in w.iter_mut().zip(v).zip(g).zip(s.iter_mut().zip(m)) {
            let g = if plain { *g } else { *g + decay * *w };
            *s = keep * *s + take * (g * g);
            let mut spread = *s;
            if centered {
                *m = keep * *m + take * g;
                // Rounding can leave a variance of almost 0 below it.
                spread = if *s < *m * *m { T::ZERO } else { *s - *m * *m };
            }
            *v = momentum * *v + g / (spread.root() + eps);
            *w -= lr * *v;
        }
    }

    fn of_tensors(&self, [w, s, m, v]: [&Tensor; 4], [g]: [&Tensor; 1]) -> candle_core::Result<[Tensor; 4]> {
        let g = if self.decay == 0.0 { g.clone() } else { (g + (w * self.decay)?)? };
        let s = ((s * self.alpha)? + (g.sqr()? * (1.0 - self.alpha))?)?;
        let (m, spread) = if self.centered {
            let m = ((m * self.alpha)? + (&g * (1.0 - self.alpha))?)?;
            let spread = (&s - m.sqr()?)?.relu()?;
            (m, spread)
        } else {
            (m.clone(), s.clone())
        };
        let v = ((v * self.momentum)? + (g / (spread.sqrt()? + self.eps)?)?)?;
        Ok([(w - (&v * self.lr)?)?, s, m, v])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::in_place::assert_one_formula;

    #[test]
    fn updates_of_tensors() {
        for (centered, decay) in [(false, 0.0), (true, 0.0), (true, 0.1)] {
            assert_one_formula(&Step { alpha: 0.9, eps: 1e-3, momentum: 0.5, centered, lr: 0.1, decay });
        }
    }
}

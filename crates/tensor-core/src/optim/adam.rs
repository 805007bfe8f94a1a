//! Adam and AdamW.

use super::Decay;
use super::descent::{Descent, Rule, Update};
use crate::ops::cpu::element::Element;
use crate::ops::in_place::{Elementwise, apply};
use crate::{Param, Result, error::require};
use candle_core::Tensor;

/// Configuration of [`Adam`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lr` | 0.001 | learning rate | finite, > 0 |
/// | `beta1` | 0.9 | decay of the mean of gradients | [0, 1) |
/// | `beta2` | 0.999 | decay of the mean of their squares | [0, 1) |
/// | `eps` | 1e-8 | added to the root of the latter | finite, > 0 |
/// | `weight_decay` | 0 | factor on the weights | finite, >= 0 |
/// | `decay` | decoupled | how the decay enters: decoupled is AdamW | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of their squares.
    pub beta2: f64,
    /// Added to the root of the latter.
    pub eps: f64,
    /// Weight decay on all trainable parameters.
    pub weight_decay: f64,
    /// How the decay enters.
    pub decay: Decay,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decay: Decay::Decoupled }
    }
}

impl AdamConfig {
    /// AdamW with PyTorch's defaults: the decoupled weight decay is 0.01.
    pub fn adamw() -> Self {
        Self { weight_decay: 0.01, decay: Decay::Decoupled, ..Self::default() }
    }
}

/// Adam (Kingma and Ba 2015, algorithm 1) as PyTorch computes it: `m <- b1 m + (1 - b1) g`,
/// `v <- b2 v + (1 - b2) g^2`, `w <- w - lr m' / (sqrt(v') + eps)` with `m' = m / (1 - b1^t)`, `v' = v / (1 - b2^t)`.
/// With a decoupled weight decay it is AdamW (Loshchilov and Hutter 2019).
pub type Adam = Descent<AdamConfig>;

impl Rule for AdamConfig {
    const SLOTS: &'static [&'static str] = &["m", "v"];

    fn validate(&self) -> Result<()> {
        let Self { lr, beta1, beta2, eps, weight_decay, .. } = *self;
        require("AdamConfig.lr", lr.is_finite() && lr > 0.0, "finite and > 0", lr)?;
        require("AdamConfig.beta1", (0.0..1.0).contains(&beta1), "in [0, 1)", beta1)?;
        require("AdamConfig.beta2", (0.0..1.0).contains(&beta2), "in [0, 1)", beta2)?;
        require("AdamConfig.eps", eps.is_finite() && eps > 0.0, "finite and > 0", eps)?;
        let good = weight_decay.is_finite() && weight_decay >= 0.0;
        require("AdamConfig.weight_decay", good, "finite and >= 0", weight_decay)
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
        let Self { beta1, beta2, eps, decay, .. } = *self;
        let t = u.step as f64;
        let (lr, decoupled) = (u.lr, decay == Decay::Decoupled);
        let step = Step {
            beta1,
            beta2,
            lr: lr / (1.0 - beta1.powf(t)),
            root: 1.0 / (1.0 - beta2.powf(t)).sqrt(),
            eps,
            shrink: if decoupled { lr * u.decay } else { 0.0 },
            decay: if decoupled { 0.0 } else { u.decay },
        };
        let (w, g) = (u.weight.clone(), u.gradient.clone());
        let [m, v] = u.slots()?;
        apply([&w, m, v], [&g], &step)
    }
}

/// `g <- g + decay w`, `m <- beta1 m + (1 - beta1) g`, `v <- beta2 v + (1 - beta2) g^2`,
/// `w <- (1 - shrink) w - lr m / (root sqrt(v) + eps)`.
struct Step {
    beta1: f64,
    beta2: f64,
    lr: f64,
    root: f64,
    eps: f64,
    shrink: f64,
    decay: f64,
}

impl Elementwise<3> for Step {
    #[inline(always)]
    fn apply<T: Element>(&self, [w, m, v]: [&mut [T]; 3], [g]: [&[T]; 1]) {
        let (keep1, take1) = (T::of_f64(self.beta1), T::of_f64(1.0 - self.beta1));
        let (keep2, take2) = (T::of_f64(self.beta2), T::of_f64(1.0 - self.beta2));
        let (lr, root, eps) = (T::of_f64(self.lr), T::of_f64(self.root), T::of_f64(self.eps));
        let (keep, decay, plain) = (T::of_f64(1.0 - self.shrink), T::of_f64(self.decay), self.decay == 0.0);
        for ((w, g), (m, v)) in w.iter_mut().zip(g).zip(m.iter_mut().zip(v)) {
            let g = if plain { *g } else { *g + decay * *w };
            *m = keep1 * *m + take1 * g;
            *v = keep2 * *v + take2 * (g * g);
            *w = keep * *w - lr * *m / (root * v.root() + eps);
        }
    }

    fn of_tensors(&self, [w, m, v]: [&Tensor; 3], [g]: [&Tensor; 1]) -> candle_core::Result<[Tensor; 3]> {
        let g = if self.decay == 0.0 { g.clone() } else { (g + (w * self.decay)?)? };
        let m = ((m * self.beta1)? + (&g * (1.0 - self.beta1))?)?;
        let v = ((v * self.beta2)? + (g.sqr()? * (1.0 - self.beta2))?)?;
        let along = ((&m * self.lr)? / v.sqrt()?.affine(self.root, self.eps)?)?;
        let kept = if self.shrink == 0.0 { w.clone() } else { (w * (1.0 - self.shrink))? };
        Ok([(kept - along)?, m, v])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::in_place::assert_one_formula;
    use crate::optim::Optimizer;
    use crate::store::State;
    use crate::{Error, Params, Role};
    use candle_core::Device;

    fn setup() -> (Params, candle_core::Var) {
        let mut params = Params::new();
        let w = params.add("w", Role::Weight, &Tensor::new(&[1f64, -2.0], &Device::Cpu).unwrap()).unwrap();
        (params, w)
    }

    #[test]
    fn two_steps_by_hand_and_through_a_checkpoint() {
        let cfg = AdamConfig { lr: 0.1, ..AdamConfig::default() };
        let (params, w) = setup();
        let mut adam = Adam::new(cfg).unwrap();
        let (mut by_hand, mut m, mut v) = ([1.0f64, -2.0], [0.0; 2], [0.0; 2]);
        for t in 1..=5 {
            let grads = (w.sqr().unwrap().sum_all().unwrap() / 2.0).unwrap().backward().unwrap();
            adam.step(&params, &grads).unwrap();
            for i in 0..2 {
                let g = by_hand[i];
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let (mh, vh) = (m[i] / (1.0 - 0.9f64.powi(t)), v[i] / (1.0 - 0.999f64.powi(t)));
                by_hand[i] -= 0.1 * mh / (vh.sqrt() + 1e-8);
            }
            let ours = w.to_vec1::<f64>().unwrap();
            assert!(ours.iter().zip(by_hand).all(|(a, b)| (a - b).abs() < 1e-12), "{ours:?} {by_hand:?}");
            let state = adam.state().unwrap();
            adam = Adam::new(cfg).unwrap();
            adam.restore(&params, state).unwrap();
        }
    }

    #[test]
    fn decay_decoupled_shrinks_the_weight_itself() {
        let (params, w) = setup();
        let cfg = AdamConfig { lr: 0.1, weight_decay: 0.5, ..AdamConfig::default() };
        let zeros = w.zeros_like().unwrap();
        let grads = w.mul(&zeros).unwrap().sum_all().unwrap().backward().unwrap();
        Adam::new(cfg).unwrap().step(&params, &grads).unwrap();
        let ours = w.to_vec1::<f64>().unwrap();
        assert!((ours[0] - 0.95).abs() < 1e-15 && (ours[1] + 1.9).abs() < 1e-15, "{ours:?}");
    }

    #[test]
    fn refuses() {
        for cfg in [
            AdamConfig { lr: f64::NAN, ..AdamConfig::default() },
            AdamConfig { beta1: 1.0, ..AdamConfig::default() },
            AdamConfig { beta2: -0.1, ..AdamConfig::default() },
            AdamConfig { eps: 0.0, ..AdamConfig::default() },
            AdamConfig { weight_decay: -1.0, ..AdamConfig::default() },
        ] {
            assert!(matches!(Adam::new(cfg), Err(Error::Config { .. })), "{cfg:?}");
        }
        let (params, _) = setup();
        let stray = State::new(&3u64, [("m.x", Tensor::new(0f64, &Device::Cpu).unwrap())]).unwrap();
        let e = Adam::new(AdamConfig::default()).unwrap().restore(&params, stray).unwrap_err().to_string();
        assert!(e.contains("`m.w` is missing"), "{e}");
        let mut adam = Adam::with_lr(0.1).unwrap();
        assert!(adam.set_lr(f64::NAN).is_err() && adam.set_lr(0.0).is_ok() && adam.lr() == 0.0);
    }

    #[test]
    fn updates_of_tensors() {
        for (shrink, decay) in [(0.0, 0.0), (0.2, 0.0), (0.0, 0.3)] {
            assert_one_formula(&Step { beta1: 0.9, beta2: 0.99, lr: 0.1, root: 1.5, eps: 1e-3, shrink, decay });
        }
    }
}

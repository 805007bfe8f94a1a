//! Layer-wise adaptive rates.

use super::group::{Group, Groups};
use super::optimizer::{Optimizer, check_lr, with_gradients};
use super::slots::Slots;
use super::update::apply;
use crate::ops::cpu::element::Element;
use crate::ops::in_place::Update;
use crate::store::State;
use crate::{Params, Result, Role, error::require};
use candle_core::{DType, Tensor, backprop::GradStore};

/// Configuration of [`Lars`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lr` | 0.2 | learning rate | finite, > 0 |
/// | `momentum` | 0.9 | share of the last update that is kept | [0, 1) |
/// | `weight_decay` | 1e-6 | factor on kernels and weights in the gradient | finite, >= 0 |
/// | `trust` | 1e-3 | length of a step as a share of the layer's weights | finite, > 0 |
///
/// `trust` is the paper's; the learning rate is chosen by us, momentum and weight decay are SimCLR's (arXiv 2002.05709).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LarsConfig {
    /// Learning rate.
    pub lr: f64,
    /// Momentum.
    pub momentum: f64,
    /// Weight decay of kernels and weights.
    pub weight_decay: f64,
    /// Length of a step as a share of the layer's weights.
    pub trust: f64,
}

impl Default for LarsConfig {
    fn default() -> Self {
        Self { lr: 0.2, momentum: 0.9, weight_decay: 1e-6, trust: 1e-3 }
    }
}

/// LARS (You, Gitman, Ginsburg, arXiv 1708.03888, algorithm 1), for large batches:
/// `v <- momentum v + lr trust |w| / (|g| + decay |w|) (g + decay w)`, `w <- w - v`, with the norms of each kernel and weight
/// matrix; biases and normalisations take plain steps `v <- momentum v + lr g` without decay, as in the usual code. Where a norm is
/// 0 the ratio is 1.
#[derive(Clone, Debug)]
pub struct Lars {
    cfg: LarsConfig,
    lr: f64,
    groups: Groups,
    velocity: Slots<1>,
}

impl Lars {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the field.
    pub fn new(cfg: LarsConfig) -> Result<Self> {
        let good = |v: f64| v.is_finite() && v >= 0.0;
        require("LarsConfig.lr", cfg.lr.is_finite() && cfg.lr > 0.0, "finite and > 0", cfg.lr)?;
        require("LarsConfig.momentum", (0.0..1.0).contains(&cfg.momentum), "in [0, 1)", cfg.momentum)?;
        require("LarsConfig.weight_decay", good(cfg.weight_decay), "finite and >= 0", cfg.weight_decay)?;
        require("LarsConfig.trust", good(cfg.trust) && cfg.trust > 0.0, "finite and > 0", cfg.trust)?;
        Ok(Self { cfg, lr: cfg.lr, groups: Groups::default(), velocity: Slots::new(["velocity"]) })
    }

    /// The defaults with a learning rate.
    ///
    /// # Errors
    /// A rate that is not finite and positive.
    pub fn with_lr(lr: f64) -> Result<Self> {
        Self::new(LarsConfig { lr, ..LarsConfig::default() })
    }

    /// Adds a rule for some of the parameters.
    #[must_use]
    pub fn with_group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }
}

fn norm(t: &Tensor) -> Result<f64> {
    Ok(t.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt())
}

impl Optimizer for Lars {
    fn step(&mut self, params: &Params, gradients: &GradStore) -> Result<()> {
        let LarsConfig { momentum, weight_decay, trust, .. } = self.cfg;
        for (p, g) in with_gradients(params, gradients)? {
            let w = p.var().as_detached_tensor();
            let matrix = matches!(p.role(), Role::Kernel | Role::Weight);
            let (mut lr, decay) = self.groups.of(p, self.lr, if matrix { weight_decay } else { 0.0 });
            if matrix {
                let (size, slope) = (norm(&w)?, norm(&g)?);
                if size > 0.0 && slope > 0.0 {
                    lr *= trust * size / (slope + decay * size);
                }
            }
            let [v] = self.velocity.of(p)?;
            apply(v, &g, &w, &Accelerate { momentum, lr, decay })?;
            apply(&w, v, v, &Descend)?;
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

/// `v <- momentum v + lr (g + decay w)`.
struct Accelerate {
    momentum: f64,
    lr: f64,
    decay: f64,
}

impl Update for Accelerate {
    #[inline(always)]
    fn apply<T: Element>(&self, v: &mut [T], g: &[T], w: &[T]) {
        let (momentum, lr, decay) = (T::from_f64(self.momentum), T::from_f64(self.lr), T::from_f64(self.decay));
        for (v, (g, w)) in v.iter_mut().zip(g.iter().zip(w)) {
            *v = momentum * *v + lr * (*g + decay * *w);
        }
    }
}

/// `w <- w - v`.
struct Descend;

impl Update for Descend {
    #[inline(always)]
    fn apply<T: Element>(&self, w: &mut [T], v: &[T], _: &[T]) {
        for (w, v) in w.iter_mut().zip(v) {
            *w -= *v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn two_steps_by_hand() -> Result<()> {
        let mut params = Params::new();
        let w = params.add("w", Role::Weight, &Tensor::new(&[[3f64, 4.0]], &Device::Cpu)?)?;
        let b = params.add("b", Role::Bias, &Tensor::new(&[1f64], &Device::Cpu)?)?;
        let mut lars = Lars::new(LarsConfig { lr: 0.5, momentum: 0.5, weight_decay: 0.1, trust: 0.02 })?;
        let (mut x, mut y, mut v, mut u) = ([3.0f64, 4.0], 1.0f64, [0.0; 2], 0.0);
        for _ in 0..2 {
            // The gradient of the squares' sum is twice the weights.
            let grads = (w.sqr()?.sum_all()? + b.sqr()?.sum_all()?)?.backward()?;
            lars.step(&params, &grads)?;
            let size = x[0].hypot(x[1]);
            let local = 0.5 * 0.02 * size / (2.0 * size + 0.1 * size);
            for i in 0..2 {
                v[i] = 0.5 * v[i] + local * (2.0 * x[i] + 0.1 * x[i]);
                x[i] -= v[i];
            }
            u = 0.5 * u + 0.5 * 2.0 * y;
            y -= u;
            let ours = w.flatten_all()?.to_vec1::<f64>()?;
            assert!((ours[0] - x[0]).abs() < 1e-14 && (ours[1] - x[1]).abs() < 1e-14, "{ours:?} {x:?}");
            assert!((b.to_vec1::<f64>()?[0] - y).abs() < 1e-14);
        }
        Ok(())
    }
}

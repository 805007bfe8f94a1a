//! Layer-wise adaptive rates.

use super::descent::{Descent, Rule, Update};
use crate::ops::composed::sum_all;
use crate::ops::cpu::element::Element;
use crate::ops::in_place::{Elementwise, apply};
use crate::{Param, Result, Role, error::require};
use candle_core::{DType, Tensor};

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
pub type Lars = Descent<LarsConfig>;

fn norm(t: &Tensor) -> Result<f64> {
    Ok(sum_all(&t.to_dtype(DType::F64)?.sqr()?)?.to_scalar::<f64>()?.sqrt())
}

fn is_matrix(p: &Param) -> bool {
    matches!(p.role(), Role::Kernel | Role::Weight)
}

impl Rule for LarsConfig {
    const SLOTS: &'static [&'static str] = &["velocity"];

    fn validate(&self) -> Result<()> {
        let Self { lr, momentum, weight_decay, trust } = *self;
        let good = |v: f64| v.is_finite() && v >= 0.0;
        require("LarsConfig.lr", good(lr) && lr > 0.0, "finite and > 0", lr)?;
        require("LarsConfig.momentum", (0.0..1.0).contains(&momentum), "in [0, 1)", momentum)?;
        require("LarsConfig.weight_decay", good(weight_decay), "finite and >= 0", weight_decay)?;
        require("LarsConfig.trust", good(trust) && trust > 0.0, "finite and > 0", trust)
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn with_lr(self, lr: f64) -> Self {
        Self { lr, ..self }
    }

    fn weight_decay(&self, p: &Param) -> f64 {
        if is_matrix(p) { self.weight_decay } else { 0.0 }
    }

    fn update(&self, mut u: Update<'_>) -> Result<()> {
        let (w, g, decay, mut lr) = (u.weight.clone(), u.gradient.clone(), u.decay, u.lr);
        if is_matrix(u.param) {
            let (size, slope) = (norm(&w)?, norm(&g)?);
            if size > 0.0 && slope > 0.0 {
                lr *= self.trust * size / (slope + decay * size);
            }
        }
        let [v] = u.slots()?;
        apply([&w, v], [&g], &Step { momentum: self.momentum, lr, decay })
    }
}

/// `v <- momentum v + lr (g + decay w)`, `w <- w - v`.
struct Step {
    momentum: f64,
    lr: f64,
    decay: f64,
}

impl Elementwise<2> for Step {
    #[inline(always)]
    fn apply<T: Element>(&self, [w, v]: [&mut [T]; 2], [g]: [&[T]; 1]) {
        let (momentum, lr, decay) = (T::of_f64(self.momentum), T::of_f64(self.lr), T::of_f64(self.decay));
        for ((w, v), g) in w.iter_mut().zip(v).zip(g) {
            *v = momentum * *v + lr * (*g + decay * *w);
            *w -= *v;
        }
    }

    fn of_tensors(&self, [w, v]: [&Tensor; 2], [g]: [&Tensor; 1]) -> candle_core::Result<[Tensor; 2]> {
        let v = ((v * self.momentum)? + ((g + (w * self.decay)?)? * self.lr)?)?;
        Ok([(w - &v)?, v])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Params;
    use crate::ops::in_place::assert_one_formula;
    use crate::optim::Optimizer;
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

    #[test]
    fn updates_of_tensors() {
        assert_one_formula(&Step { momentum: 0.9, lr: 0.1, decay: 0.2 });
    }
}

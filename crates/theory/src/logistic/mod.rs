//! Adversarial binary linear classification in closed form.

mod minimum;

pub use minimum::Minimum;

use crate::dense::{dot, norm};
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::error::require;

/// Configuration of [`AdversarialLogistic`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `eps` | 0 | largest norm of a perturbation, in the units of x | finite, >= 0 |
/// | `p` | 2 | exponent p of the Lp norm | [1, infinity] |
/// | `l2` | 0 | lambda of the penalty `lambda norm(w)^2 / 2` | finite, >= 0 |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogisticConfig {
    /// Largest norm of a perturbation.
    pub eps: f64,
    /// Exponent of the norm.
    pub p: f64,
    /// Weight of the penalty.
    pub l2: f64,
}

impl Default for LogisticConfig {
    fn default() -> Self {
        Self { eps: 0.0, p: 2.0, l2: 0.0 }
    }
}

/// Whether the attack of a Hessian depends on the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinearAttack {
    /// The attack is the worst case at each w: the second derivative of the adversarial loss.
    Following,
    /// The attack is the worst case at this w and stays fixed: the second derivative of the loss at perturbed examples.
    Frozen,
}

/// Logistic regression without an intercept under the worst-case attack of norm at most eps, with labels y = -1 or 1:
///
/// `L(w) = mean log(1 + exp(-m)) + lambda norm(w)^2 / 2`, `m = y w.x - eps norm_q(w)`, `1 / p + 1 / q = 1`.
///
/// The worst-case attack is `-eps y g(w)` with g the gradient of `norm_q`: `w / norm(w)` for p = 2, `sign(w)` for p = infinity.
/// With `s = 1 / (1 + e^m)` and `G = y x - eps g` the gradient is `-mean(s G) + lambda w` and the Hessian
/// `mean(s (1 - s) G G^T) + eps mean(s) H_q + lambda I`, H_q the Hessian of `norm_q` (`(I - g g^T) / norm(w)` for p = 2, 0 for
/// p = infinity away from the kinks); with a frozen attack the middle term is missing. L is convex.
///
/// Source: Yamada et al. (arXiv 2102.02950) and Kanai et al. (arXiv 2103.01400) study this model; the formulas are derived by
/// us.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use sconce_theory::logistic::{AdversarialLogistic, LinearAttack, LogisticConfig};
/// let x = Tensor::new(&[[1f64, 0.2], [-0.5, 1.0], [0.3, -1.0], [0.8, 0.9], [-1.0, 0.1]], &Device::Cpu)?;
/// let y = [true, false, true, false, true];
/// let model = AdversarialLogistic::new(&x, &y, LogisticConfig { eps: 0.05, ..Default::default() })?;
/// let best = model.minimise()?;
/// let moved = model.hessian(&best.w, LinearAttack::Following)?;
/// assert!(best.gradient_norm < 1e-9 && sconce_theory::eigenvalues(&moved, 2)?[0] > 0.0);
/// # Ok::<(), sconce_theory::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AdversarialLogistic {
    /// y x in row-major order.
    rows: Vec<f64>,
    d: usize,
    cfg: LogisticConfig,
}

/// `log(1 + e^z)`.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// `1 / (1 + e^-z)`.
fn sigmoid(z: f64) -> f64 {
    let e = (-z.abs()).exp();
    if z >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

impl AdversarialLogistic {
    /// From examples (N, D), and whether the class of each is 1.
    ///
    /// # Errors
    /// A configuration out of range; shapes that do not match; a value that is not finite, with its row and column.
    pub fn new(x: &Tensor, y: &[bool], cfg: LogisticConfig) -> Result<Self> {
        require("LogisticConfig.eps", cfg.eps.is_finite() && cfg.eps >= 0.0, "finite and >= 0", cfg.eps)?;
        require("LogisticConfig.p", cfg.p >= 1.0, "in [1, infinity]", cfg.p)?;
        require("LogisticConfig.l2", cfg.l2.is_finite() && cfg.l2 >= 0.0, "finite and >= 0", cfg.l2)?;
        let &[n, d] = x.dims() else { return Err(Error::shape("examples", "(N, D)", x.dims())) };
        if n != y.len() || n * d == 0 {
            return Err(Error::shape("examples", format!("({}, D), one row for each label", y.len()), x.dims()));
        }
        let mut rows = x.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        if let Some(i) = rows.iter().position(|v| !v.is_finite()) {
            return Err(Error::value("examples", format!("{} at row {}, column {}", rows[i], i / d, i % d)));
        }
        for (row, y) in rows.chunks_exact_mut(d).zip(y) {
            row.iter_mut().for_each(|v| *v *= if *y { 1.0 } else { -1.0 });
        }
        Ok(Self { rows, d, cfg })
    }

    /// The same examples with another attack or penalty.
    ///
    /// # Errors
    /// As [`AdversarialLogistic::new`].
    pub fn with(&self, cfg: LogisticConfig) -> Result<Self> {
        let x = Tensor::from_slice(&self.rows, (self.len(), self.d), &Device::Cpu)?;
        Self::new(&x, &vec![true; self.len()], cfg)
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.rows.len() / self.d
    }

    /// Always false; there is at least one example.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The number of weights.
    pub fn dim(&self) -> usize {
        self.d
    }

    /// The examples times their labels.
    pub(crate) fn examples(&self) -> impl Iterator<Item = &[f64]> {
        self.rows.chunks_exact(self.d)
    }

    /// The configuration.
    pub fn config(&self) -> LogisticConfig {
        self.cfg
    }

    fn check(&self, w: &[f64]) -> Result<()> {
        match w.len() == self.d && w.iter().all(|v| v.is_finite()) {
            true => Ok(()),
            false => Err(Error::value("w", format!("must be {} finite weights, got {w:?}", self.d))),
        }
    }

    /// The dual exponent.
    fn q(&self) -> f64 {
        match self.cfg.p {
            1.0 => f64::INFINITY,
            p if p.is_infinite() => 1.0,
            p => p / (p - 1.0),
        }
    }

    /// `norm_q(w)` and its gradient g; a coordinate where the derivative does not exist is 0 (p = infinity, weight 0), and at w
    /// = 0 all are 0.
    fn dual(&self, w: &[f64]) -> (f64, Vec<f64>) {
        let q = self.q();
        let largest = w.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
        if largest == 0.0 {
            return (0.0, vec![0.0; w.len()]);
        }
        let sign = |v: f64| if v == 0.0 { 0.0 } else { v.signum() };
        if q.is_infinite() {
            let first = w.iter().position(|v| v.abs() == largest);
            return (
                largest,
                w.iter().enumerate().map(|(i, v)| if Some(i) == first { sign(*v) } else { 0.0 }).collect(),
            );
        }
        let norm = largest * w.iter().map(|v| (v.abs() / largest).powf(q)).sum::<f64>().powf(1.0 / q);
        (norm, w.iter().map(|v| sign(*v) * (v.abs() / norm).powf(q - 1.0)).collect())
    }

    /// The worst-case perturbation of an example of class 1; for the other class it is the negative.
    ///
    /// # Errors
    /// A wrong number of weights, or a weight that is not finite.
    pub fn attack(&self, w: &[f64]) -> Result<Vec<f64>> {
        self.check(w)?;
        Ok(self.dual(w).1.into_iter().map(|g| -self.cfg.eps * g).collect())
    }

    /// The adversarial loss L(w).
    ///
    /// # Errors
    /// As [`AdversarialLogistic::attack`].
    pub fn loss(&self, w: &[f64]) -> Result<f64> {
        self.check(w)?;
        let moved = self.cfg.eps * self.dual(w).0;
        let sum: f64 = self.rows.chunks_exact(self.d).map(|r| softplus(moved - dot(r, w))).sum();
        Ok(sum / self.len() as f64 + 0.5 * self.cfg.l2 * dot(w, w))
    }

    /// The s of each example, and their mean.
    fn shares(&self, w: &[f64], norm: f64) -> (Vec<f64>, f64) {
        let moved = self.cfg.eps * norm;
        let s: Vec<f64> = self.rows.chunks_exact(self.d).map(|r| sigmoid(moved - dot(r, w))).collect();
        let mean = s.iter().sum::<f64>() / s.len() as f64;
        (s, mean)
    }

    /// The gradient of L, given the gradient g of the dual norm.
    fn slope(&self, w: &[f64], norm: f64, g: &[f64]) -> Vec<f64> {
        let (s, mean) = self.shares(w, norm);
        let n = s.len() as f64;
        let mut out: Vec<f64> = g.iter().zip(w).map(|(g, w)| self.cfg.eps * mean * g + self.cfg.l2 * w).collect();
        for (row, s) in self.rows.chunks_exact(self.d).zip(&s) {
            out.iter_mut().zip(row).for_each(|(o, v)| *o -= s * v / n);
        }
        out
    }

    /// The gradient of L. Where the dual norm has a kink, it is the subgradient with 0 for that coordinate.
    ///
    /// # Errors
    /// As [`AdversarialLogistic::attack`].
    pub fn gradient(&self, w: &[f64]) -> Result<Vec<f64>> {
        self.check(w)?;
        let (norm, g) = self.dual(w);
        Ok(self.slope(w, norm, &g))
    }

    /// The Hessian (D x D, in row-major order).
    ///
    /// # Errors
    /// As [`AdversarialLogistic::attack`]; [`Error::Unsupported`] for [`LinearAttack::Following`] where the dual norm has no
    /// second derivative: at w = 0, and for p = infinity (or p > 2) if a weight is 0.
    pub fn hessian(&self, w: &[f64], attack: LinearAttack) -> Result<Vec<f64>> {
        self.check(w)?;
        let (norm, g) = self.dual(w);
        let mut h = self.frozen(w, norm, &g);
        let (q, eps) = (self.q(), self.cfg.eps);
        if attack == LinearAttack::Frozen || eps == 0.0 {
            return Ok(h);
        }
        let kink = |reason: String| Err(Error::Unsupported { what: "the Hessian of the adversarial loss", reason });
        if norm == 0.0 {
            return kink("w = 0, where the attack has no direction; use the minimiser for a smaller eps".to_owned());
        }
        if let Some(j) = w.iter().position(|v| *v == 0.0).filter(|_| q < 2.0) {
            return kink(format!("weight {j} is 0, where the dual norm has a kink"));
        }
        // The maximum norm and the L1 norm are piecewise linear.
        if q > 1.0 && q.is_finite() {
            let weight = eps * self.shares(w, norm).1 * (q - 1.0) / norm;
            for i in 0..self.d {
                h[i * self.d + i] += weight * (w[i].abs() / norm).powf(q - 2.0);
                (0..self.d).for_each(|j| h[i * self.d + j] -= weight * g[i] * g[j]);
            }
        }
        Ok(h)
    }

    fn frozen(&self, w: &[f64], norm: f64, g: &[f64]) -> Vec<f64> {
        let (d, n) = (self.d, self.len() as f64);
        let mut h = vec![0.0; d * d];
        (0..d).for_each(|i| h[i * d + i] = self.cfg.l2);
        for (row, s) in self.rows.chunks_exact(d).zip(self.shares(w, norm).0) {
            let moved: Vec<f64> = row.iter().zip(g).map(|(v, g)| v - self.cfg.eps * g).collect();
            for i in 0..d {
                let a = s * (1.0 - s) * moved[i] / n;
                (0..d).for_each(|j| h[i * d + j] += a * moved[j]);
            }
        }
        h
    }

    /// The smallest eps for which w = 0 is the minimiser: `norm_p(mean(y x))`.
    pub fn critical_eps(&self) -> f64 {
        let n = self.len() as f64;
        let mut mean = vec![0.0; self.d];
        self.rows.chunks_exact(self.d).for_each(|r| mean.iter_mut().zip(r).for_each(|(m, v)| *m += v / n));
        let largest = mean.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
        match self.cfg.p {
            _ if largest == 0.0 => 0.0,
            p if p.is_infinite() => largest,
            2.0 => norm(&mean),
            p => largest * mean.iter().map(|v| (v.abs() / largest).powf(p)).sum::<f64>().powf(1.0 / p),
        }
    }
}

//! CAGrad: conflict-averse gradient descent.

use crate::weighting::linear::{solve, subsets};
use crate::weighting::min_norm::{bordered, on_simplex, require_few};
use crate::weighting::{Gram, Step, Weighting, Weights};
use crate::{Error, Result};
use sconce_tensor_core::error::require;
use serde::{Deserialize, Serialize};

/// Largest duality gap of the inner problem, in units of the largest squared norm.
const GAP: f64 = 1e-8;
/// Below this, `|g_u|^2` over the squares that it is a sum of is rounding: the direction of g_u is unknown.
const STATIONARY: f64 = 1e-13;

/// Configuration of [`CaGrad`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `c` | 0.4 | radius of the ball around the mean gradient, in units of its norm | finite, >= 0 |
/// | `rescale` | false | divide by `1 + c^2`, as LibMTL does by default and TorchJD does not | |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaGradConfig {
    /// Radius of the ball around the mean gradient, in units of its norm.
    pub c: f64,
    /// Whether the weights are divided by `1 + c^2`.
    pub rescale: bool,
}

impl Default for CaGradConfig {
    fn default() -> Self {
        Self { c: 0.4, rescale: false }
    }
}

/// CAGrad (Liu, Liu, Jin, Stone and Liu 2021): in the ball of radius `c |g0|` around the mean gradient g0, the direction whose worst
/// rate of descent is best.
///
/// `b = 1/T`, `phi = c sqrt(b'Mb)`, `u = argmin u'Mb + phi sqrt(u'Mu)` over the simplex, `w = b + phi u / sqrt(u'Mu)`. Hence
/// `|d - g0| = c |g0|`, and one task alone has the weight 1 + c. Exact, for at most 8 tasks. With c = 0 it is the mean. Undefined, an error:
/// a gradient of 0, or `u'Mu = 0` at the minimum (Pareto-stationary gradients with c >= 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CaGrad {
    cfg: CaGradConfig,
}

impl CaGrad {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: CaGradConfig) -> Result<Self> {
        require("CaGradConfig.c", cfg.c.is_finite() && cfg.c >= 0.0, "finite and >= 0", cfg.c)?;
        Ok(Self { cfg })
    }
}

impl Weighting for CaGrad {
    fn name(&self) -> &'static str {
        "cagrad"
    }

    fn describe(&self) -> String {
        format!("{:?}", self.cfg)
    }

    fn weights(&mut self, step: &Step<'_>) -> Result<Weights> {
        let gram = step.gram("cagrad")?;
        gram.require_nonzero("cagrad")?;
        let (t, shrink) = (step.tasks(), if self.cfg.rescale { 1.0 + self.cfg.c.powi(2) } else { 1.0 });
        let b = vec![1.0 / t as f64; t];
        let phi = self.cfg.c * gram.quadratic(&b).sqrt();
        if phi == 0.0 {
            return Weights::new("cagrad", b.iter().map(|b| b / shrink).collect());
        }
        let inner = Inner { gram, mean: gram.times(&b), phi };
        let (u, gap) = inner.minimise()?;
        let factor = phi / gram.quadratic(&u).sqrt();
        let w = b.iter().zip(&u).map(|(b, u)| (b + factor * u) / shrink).collect();
        Ok(Weights::new("cagrad", w)?.with_alpha(u).with_residual(gap))
    }
}

/// The problem `min u'm + phi sqrt(u'Mu)` over the simplex, with `m = Mb`.
struct Inner<'a> {
    gram: &'a Gram,
    mean: Vec<f64>,
    phi: f64,
}

impl Inner<'_> {
    /// The minimiser and its duality gap over the largest squared norm. Of all faces' stationary points it has the smallest gap.
    fn minimise(&self) -> Result<(Vec<f64>, f64)> {
        let (t, norms) = (self.gram.tasks(), self.gram.norms());
        require_few("an exact solution of CAGrad", t)?;
        let mut best: Option<(Vec<f64>, f64)> = None;
        for face in subsets(t).skip(1) {
            let Some(u) = self.stationary(&norms, &face) else { continue };
            let gap = self.gap(&u);
            if best.as_ref().is_none_or(|b| gap < b.1) {
                best = Some((u, gap));
            }
        }
        match best {
            Some((u, gap)) if gap <= GAP => Ok((u, gap)),
            _ => Err(Error::value("cagrad", "is undefined: the gradients are Pareto-stationary; use c < 1, or stop")),
        }
    }

    /// The duality gap over the largest squared norm; infinite where the direction of g_u is unknown.
    fn gap(&self, u: &[f64]) -> f64 {
        let q = self.gram.quadratic(u).sqrt();
        if q * q <= STATIONARY / (16.0 * f64::EPSILON) * self.gram.rounding(u) {
            return f64::INFINITY;
        }
        let slope: Vec<f64> = self.gram.times(u).iter().zip(&self.mean).map(|(g, m)| m + self.phi * g / q).collect();
        let least = slope.iter().copied().fold(f64::INFINITY, f64::min);
        let gap = slope.iter().zip(u).map(|(s, u)| s * u).sum::<f64>() - least;
        (gap / self.gram.largest()).max(0.0)
    }

    /// The stationary point of a face, in closed form. On the face `M u = lambda - tau m` with `tau = sqrt(u'Mu) / phi`, so that
    /// `u = p + tau r` with p the point of smallest norm and `p'Mr = 0`; then `tau^2 = p'Mp / (phi^2 - r'Mr)`.
    fn stationary(&self, norms: &[f64], face: &[usize]) -> Option<Vec<f64>> {
        let shortest = face.iter().map(|i| norms[*i]).fold(f64::INFINITY, f64::min);
        let (matrix, scale) = bordered(self.gram, norms, face);
        let mut right: Vec<[f64; 2]> = face.iter().map(|i| [0.0, -self.mean[*i] / norms[*i] / shortest]).collect();
        right.push([1.0, 0.0]);
        let found = solve(matrix, right)?;
        let part = |c: usize| -> Vec<f64> { found.iter().zip(&scale).map(|(b, s)| b[c] * s).collect() };
        let (p, r) = (part(0), part(1));
        let square = |v: &[f64]| -> f64 {
            let row = |i: usize| -> f64 { face.iter().zip(v).map(|(j, v)| self.gram.at(i, *j) * v).sum() };
            face.iter().zip(v).map(|(i, v)| v * row(*i)).sum::<f64>().max(0.0)
        };
        let tau = (square(&p) / (self.phi.powi(2) - square(&r))).sqrt();
        let u = tau.is_finite().then(|| p.iter().zip(&r).map(move |(p, r)| p + tau * r))?;
        on_simplex(self.gram.tasks(), face, u)
    }
}

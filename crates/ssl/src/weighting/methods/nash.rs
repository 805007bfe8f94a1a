//! Nash-MTL and FairGrad: directions that are fair by an equation for the rates of descent.

use crate::weighting::linear::solve;
use crate::weighting::{Gram, Step, Weighting, Weights};
use crate::{Error, Result};
use sconce_tensor_core::error::require;
use serde::{Deserialize, Serialize};

/// Relative violation of `(Ma)_i = a_i^-p` of a solution. Where a sum `(Ma)_i` cancels, its rounding error is allowed too, up to `WORST`.
const RESIDUAL: f64 = 1e-8;
const WORST: f64 = 1e-6;
const NEWTON_STEPS: usize = 500;

/// Configuration of [`NashMtl`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `max_norm` | 1 | largest norm of the direction, to which it is scaled down; none for no bound | finite, > 0 |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NashMtlConfig {
    /// Largest norm of the direction.
    pub max_norm: Option<f64>,
}

impl Default for NashMtlConfig {
    fn default() -> Self {
        Self { max_norm: Some(1.0) }
    }
}

/// Nash-MTL (Navon et al. 2022): the Nash bargaining solution, `a > 0` with `M a = 1/a`, by a damped Newton method on the convex
/// `a'Ma/2 - sum log a`.
///
/// The direction has the norm sqrt(T) whatever the scale of the gradients, before it is scaled down to `max_norm`: the weights are
/// proportional to 1 over the scale. Undefined, an error, where a gradient is 0 or the gradients are Pareto-stationary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NashMtl {
    cfg: NashMtlConfig,
}

impl NashMtl {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: NashMtlConfig) -> Result<Self> {
        if let Some(max) = cfg.max_norm {
            require("NashMtlConfig.max_norm", max.is_finite() && max > 0.0, "finite and > 0", max)?;
        }
        Ok(Self { cfg })
    }
}

impl Weighting for NashMtl {
    fn name(&self) -> &'static str {
        "nash-mtl"
    }

    fn describe(&self) -> String {
        format!("{:?}", self.cfg)
    }

    fn weights(&mut self, step: &Step<'_>) -> Result<Weights> {
        let gram = step.gram("nash-mtl")?;
        let (mut a, residual) = balance(gram, 1.0, "nash-mtl")?;
        if let Some(max) = self.cfg.max_norm {
            let scale = (max / gram.quadratic(&a).sqrt()).min(1.0);
            a.iter_mut().for_each(|a| *a *= scale);
        }
        Ok(Weights::new("nash-mtl", a)?.with_residual(residual))
    }
}

/// Configuration of [`FairGrad`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `alpha` | 2 (chosen by us) | order of the fairness; 1 is Nash-MTL without a bound on the norm | finite, > 0 |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FairGradConfig {
    /// Order of the fairness.
    pub alpha: f64,
}

impl Default for FairGradConfig {
    fn default() -> Self {
        Self { alpha: 2.0 }
    }
}

/// FairGrad (Ban and Ji 2024): alpha-fair rates of descent, `a > 0` with `(Ma)_i = a_i^(-1/alpha)`.
///
/// Gradients scaled by s give a direction scaled by `s^((1 - alpha)/(1 + alpha))`. Undefined, an error, as [`NashMtl`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FairGrad {
    cfg: FairGradConfig,
}

impl FairGrad {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: FairGradConfig) -> Result<Self> {
        require("FairGradConfig.alpha", cfg.alpha.is_finite() && cfg.alpha > 0.0, "finite and > 0", cfg.alpha)?;
        Ok(Self { cfg })
    }
}

impl Weighting for FairGrad {
    fn name(&self) -> &'static str {
        "fairgrad"
    }

    fn describe(&self) -> String {
        format!("{:?}", self.cfg)
    }

    fn weights(&mut self, step: &Step<'_>) -> Result<Weights> {
        let (a, residual) = balance(step.gram("fairgrad")?, 1.0 / self.cfg.alpha, "fairgrad")?;
        Ok(Weights::new("fairgrad", a)?.with_residual(residual))
    }
}

/// `a > 0` with `(Ma)_i = a_i^-p`, and the largest relative violation: the minimiser of the convex `a'Ma/2 - sum h(a_i)` with
/// `h' = a^-p`.
///
/// In the unknowns `b_i = a_i |g_i|`, of gradients in units of their mean norm, the equations are `(C b)_i = k_i b_i^-p` with the cosines C
/// and `k_i = |g_i|^(p-1)`. A step of Newton's method is shortened until b stays positive and the function's slope along it does not turn.
fn balance(gram: &Gram, p: f64, method: &str) -> Result<(Vec<f64>, f64)> {
    gram.require_nonzero(method)?;
    let (t, norms) = (gram.tasks(), gram.norms());
    let unit = (norms.iter().map(|n| n.ln()).sum::<f64>() / t as f64).exp();
    let k: Vec<f64> = norms.iter().map(|n| (n / unit).powf(p - 1.0)).collect();
    let times = |b: &[f64]| -> Vec<f64> { (0..t).map(|i| (0..t).map(|j| gram.cosine(i, j) * b[j]).sum()).collect() };
    // The derivative by b.
    let gradient = |b: &[f64]| -> Vec<f64> { (0..t).zip(times(b)).map(|(i, c)| c - k[i] * b[i].powf(-p)).collect() };
    // The solution of a task alone.
    let mut b: Vec<f64> = k.iter().map(|k| k.powf(1.0 / (1.0 + p))).collect();
    let (mut residual, mut last, mut solved) = (f64::INFINITY, f64::INFINITY, false);
    for _ in 0..NEWTON_STEPS {
        let c = times(&b);
        (residual, solved) = (0.0, true);
        for i in 0..t {
            let (unit, violation) = (b[i].powf(p) / k[i], (c[i] * b[i].powf(p) / k[i] - 1.0).abs());
            let terms: f64 = (0..t).map(|j| gram.cosine(i, j).abs() * b[j]).sum();
            solved &= violation <= (RESIDUAL + 8.0 * f64::EPSILON * terms * unit).min(WORST);
            residual = f64::max(residual, violation);
        }
        // Further steps no longer help.
        if residual <= 1e-14 || (solved && residual >= last / 2.0) {
            break;
        }
        last = residual;
        // Unknowns relative to b: the Hessian is diag(b) C diag(b) + p diag(k b^(1-p)), with its diagonal scaled to 1.
        let h: Vec<f64> = (0..t).map(|i| b[i] * b[i] + p * k[i] * b[i].powf(1.0 - p)).collect();
        let scale: Vec<f64> = h.iter().map(|h| 1.0 / h.sqrt()).collect();
        let entry = |i: usize, j: usize| {
            if i == j { 1.0 } else { gram.cosine(i, j) * b[i] * b[j] * scale[i] * scale[j] }
        };
        let matrix = (0..t * t).map(|n| entry(n / t, n % t)).collect();
        let slope: Vec<f64> = (0..t).map(|i| b[i] * c[i] - k[i] * b[i].powf(1.0 - p)).collect();
        let Some(x) = solve(matrix, (0..t).map(|i| [-slope[i] * scale[i]]).collect()) else { break };
        let step: Vec<f64> = x.iter().zip(&scale).map(|(x, s)| x[0] * s).collect();
        let fall: f64 = step.iter().zip(&slope).map(|(s, g)| s * g).sum();
        let moved = |by: f64| -> Vec<f64> { b.iter().zip(&step).map(|(b, s)| b * (1.0 + by * s)).collect() };
        let most = step.iter().fold(0.0, |most: f64, s| most.max(-s));
        let mut by = if most >= 1.0 { 0.9 / most } else { 1.0 };
        // The function is convex: its slope along the step rises, and a slope far above 0 tells that the step is too long.
        let slope_at =
            |by: f64| -> f64 { gradient(&moved(by)).iter().zip(&b).zip(&step).map(|((g, b), s)| g * b * s).sum() };
        while slope_at(by) > 0.5 * fall.abs() && by > 1e-10 {
            by /= 2.0;
        }
        let next = moved(by);
        if next == b {
            break;
        }
        b = next;
    }
    if !solved {
        let reason = format!(
            "has no solution: the equations are violated by {residual:e} after Newton's method; the gradients are Pareto-stationary or nearly"
        );
        return Err(Error::value(method, reason));
    }
    let back = unit.powf(-2.0 / (1.0 + p));
    Ok((b.iter().zip(&norms).map(|(b, n)| b / (n / unit) * back).collect(), residual))
}

//! FMN: the fast minimum-norm attack.

use crate::geometry::rows::{distance, dual, norm, project};
use crate::loss::Loss;
use crate::probe::{Probe, Row};
use crate::smallest::SmallestSuccess;
use candle_core::Tensor;
use rayon::prelude::*;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Attack, Classifier, ExampleRng, Goal, Norm, Perturbed, Result, Threat};
use std::f64::consts::PI;

/// Configuration of [`Fmn`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `norm` | L2 | the norm that is minimised | |
/// | `steps` | 100 | gradient steps | >= 1 |
/// | `step_size` | 1 | initial step size in L2; it decreases to a hundredth on a cosine schedule | finite, > 0 |
/// | `gamma` | 0.05 | initial relative change of the radius; it decreases to 0.001 on a cosine schedule | in (0, 1) |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FmnConfig {
    /// The norm that is minimised.
    pub norm: Norm,
    /// Gradient steps.
    pub steps: usize,
    /// Initial step size.
    pub step_size: f64,
    /// Initial relative change of the radius.
    pub gamma: f64,
}

impl Default for FmnConfig {
    fn default() -> Self {
        Self { norm: Norm::L2, steps: 100, step_size: 1.0, gamma: 0.05 }
    }
}

/// Minimum-norm attack that minimises the margin inside a ball. The radius of the ball shrinks by the share `gamma`
/// while the point fools the model and grows by it while it does not; before the first success, the radius is the
/// distance to the linearised decision boundary. The attack returns the smallest successful perturbation, or the input if
/// there is none. It generalises DDN (Rony et al. 2019), which is for L2.
///
/// Source: Pintor, Roli, Brendel, Biggio (2021), algorithm 1; the final values of `gamma` and of the step size are those of Foolbox.
#[derive(Clone, Copy, Debug)]
pub struct Fmn {
    cfg: FmnConfig,
}

struct Walk {
    at: Row,
    radius: f64,
    best: SmallestSuccess,
    /// The radius at which the ball contains the whole box.
    max_radius: f64,
}

impl Fmn {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`sconce_tensor_core::Error::Config`] naming the field.
    pub fn new(cfg: FmnConfig) -> Result<Self> {
        require("FmnConfig.steps", cfg.steps >= 1, "at least 1", cfg.steps)?;
        require(
            "FmnConfig.step_size",
            cfg.step_size.is_finite() && cfg.step_size > 0.0,
            "finite and > 0",
            cfg.step_size,
        )?;
        require("FmnConfig.gamma", cfg.gamma > 0.0 && cfg.gamma < 1.0, "between 0 and 1", cfg.gamma)?;
        Ok(Self { cfg })
    }
}

impl Attack for Fmn {
    fn threat(&self) -> Threat {
        Threat::unbounded(self.cfg.norm)
    }

    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, _rng: &ExampleRng) -> Result<Perturbed> {
        let (mut probe, clean, goals) = Probe::new(model, x, goal)?;
        let (n, bounds, dtype) = (self.cfg.norm, probe.bounds(), probe.dtype());
        let mut walks: Vec<Walk> = clean
            .iter()
            .map(|x| {
                let max_radius = norm(x.iter().map(|v| (v - bounds.lo()).max(bounds.hi() - v)), n);
                Walk { at: x.clone(), radius: f64::INFINITY, best: SmallestSuccess::none(), max_radius }
            })
            .collect();
        for i in 0..self.cfg.steps {
            let decay = 0.5 * (1.0 + (PI * i as f64 / self.cfg.steps as f64).cos());
            let step = self.cfg.step_size * (0.01 + 0.99 * decay);
            let gamma = 0.001 + (self.cfg.gamma - 0.001) * decay;
            let rows: Vec<(usize, &[f64])> = walks.iter().map(|w| w.at.as_slice()).enumerate().collect();
            let answers = probe.gradients(&rows, |i, z| Loss::Margin.at(z, goals[i]))?;
            drop(rows);
            walks.par_iter_mut().zip(answers).zip(&clean).zip(&goals).for_each(|(((w, a), x), goal)| {
                let length = distance(&w.at, x, n);
                if goal.reached(&a.logits) {
                    w.best.record(&w.at, length);
                    w.radius = (w.radius * (1.0 - gamma)).min(w.best.length);
                } else if w.best.found() {
                    w.radius *= 1.0 + gamma;
                } else {
                    w.radius = length + a.loss.abs() / dual(&a.gradient, n).max(1e-12);
                }
                w.radius = w.radius.min(w.max_radius);
                let gradient_norm = norm(a.gradient.iter().copied(), Norm::L2).max(1e-12);
                w.at.iter_mut().zip(&a.gradient).for_each(|(v, g)| *v += step * g / gradient_norm);
                project(&mut w.at, x, n, w.radius, bounds, dtype);
            });
        }
        let out: Vec<Row> = walks.into_iter().zip(clean).map(|(w, x)| w.best.or_input(x)).collect();
        probe.finish(&out)
    }
}

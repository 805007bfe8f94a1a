//! DDN: the decoupled direction and norm attack.

use crate::geometry::rows::{distance, norm};
use crate::loss::Loss;
use crate::probe::{Probe, Row};
use crate::smallest::SmallestSuccess;
use candle_core::Tensor;
use rayon::prelude::*;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Attack, Classifier, ExampleRng, Goal, Norm, Perturbed, Result, Threat};
use std::f64::consts::PI;

/// Configuration of [`Ddn`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `steps` | 100 | gradient steps | >= 1 |
/// | `radius` | 1 | initial L2 norm of the perturbation | finite, > 0 |
/// | `gamma` | 0.05 | relative change of the norm after each step | in (0, 1) |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DdnConfig {
    /// Gradient steps.
    pub steps: usize,
    /// Initial L2 norm of the perturbation.
    pub radius: f64,
    /// Relative change of the norm after each step.
    pub gamma: f64,
}

impl Default for DdnConfig {
    fn default() -> Self {
        Self { steps: 100, radius: 1.0, gamma: 0.05 }
    }
}

/// Minimum-norm attack whose radius adapts at each step. It maximises the cross-entropy with normalised gradient steps
/// (the step size decreases from 1 to 0.01 on a cosine schedule) and keeps the perturbation on a sphere, whose radius
/// shrinks by the share `gamma` after a success and grows by it after a failure. The attack returns the smallest
/// successful perturbation, or the input if there is none.
///
/// Source: Rony et al. (2019), algorithm 1.
#[derive(Clone, Copy, Debug)]
pub struct Ddn {
    cfg: DdnConfig,
}

struct Walk {
    at: Row,
    radius: f64,
    best: SmallestSuccess,
    /// The radius at which the sphere contains the whole box.
    max_radius: f64,
}

impl Ddn {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`sconce_tensor_core::Error::Config`] naming the field.
    pub fn new(cfg: DdnConfig) -> Result<Self> {
        require("DdnConfig.steps", cfg.steps >= 1, "at least 1", cfg.steps)?;
        require("DdnConfig.radius", cfg.radius.is_finite() && cfg.radius > 0.0, "finite and > 0", cfg.radius)?;
        require("DdnConfig.gamma", cfg.gamma > 0.0 && cfg.gamma < 1.0, "between 0 and 1", cfg.gamma)?;
        Ok(Self { cfg })
    }
}

impl Attack for Ddn {
    fn threat(&self) -> Threat {
        Threat::unbounded(Norm::L2)
    }

    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, _rng: &ExampleRng) -> Result<Perturbed> {
        let (mut probe, clean, goals) = Probe::new(model, x, goal)?;
        let (cfg, n, bounds) = (self.cfg, Norm::L2, probe.bounds());
        let mut walks: Vec<Walk> = clean
            .iter()
            .map(|x| {
                let max_radius = norm(x.iter().map(|v| (v - bounds.lo()).max(bounds.hi() - v)), n);
                Walk { at: x.clone(), radius: cfg.radius, best: SmallestSuccess::none(), max_radius }
            })
            .collect();
        for i in 0..cfg.steps {
            let step = 0.01 + 0.99 * 0.5 * (1.0 + (PI * i as f64 / cfg.steps as f64).cos());
            let rows: Vec<(usize, &[f64])> = walks.iter().map(|w| w.at.as_slice()).enumerate().collect();
            let answers = probe.gradients(&rows, |i, z| Loss::CrossEntropy.at(z, goals[i]))?;
            drop(rows);
            walks.par_iter_mut().zip(answers).zip(&clean).zip(&goals).for_each(|(((w, a), x), goal)| {
                let (length, reached) = (distance(&w.at, x, n), goal.reached(&a.logits));
                if reached {
                    w.best.record(&w.at, length);
                }
                w.radius = (w.radius * if reached { 1.0 - cfg.gamma } else { 1.0 + cfg.gamma }).min(w.max_radius);
                let gradient_norm = norm(a.gradient.iter().copied(), n).max(f64::MIN_POSITIVE);
                w.at.iter_mut().zip(&a.gradient).for_each(|(v, g)| *v += step * g / gradient_norm);
                let scale = w.radius / distance(&w.at, x, n).max(f64::MIN_POSITIVE);
                w.at.iter_mut().zip(x).for_each(|(v, x)| *v = (x + (*v - x) * scale).clamp(bounds.lo(), bounds.hi()));
            });
        }
        let out: Vec<Row> = walks.into_iter().zip(clean).map(|(w, x)| w.best.or_input(x)).collect();
        probe.finish(&out)
    }
}

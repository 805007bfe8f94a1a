//! DDN: direction and norm, decoupled.

use crate::geometry::rows::{distance, norm};
use crate::loss::{Aim, Loss};
use crate::probe::{Probe, Row};
use crate::smallest::Smallest;
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
/// | `radius` | 1 | first length of the perturbation | finite, > 0 |
/// | `gamma` | 0.05 | share by which the length changes | in (0, 1) |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DdnConfig {
    /// Gradient steps.
    pub steps: usize,
    /// First length.
    pub radius: f64,
    /// Change of the length.
    pub gamma: f64,
}

impl Default for DdnConfig {
    fn default() -> Self {
        Self { steps: 100, radius: 1.0, gamma: 0.05 }
    }
}

/// Climbs the cross-entropy by steps of unit direction (their length falls from 1 to 0.01 along a cosine), and sets the
/// perturbation's L2 length apart: shorter by `gamma` after a success, longer after a failure, always on that sphere. The
/// smallest success is returned, the input itself where there is none.
///
/// Source: Rony et al. (2019), algorithm 1.
#[derive(Clone, Copy, Debug)]
pub struct Ddn {
    cfg: DdnConfig,
}

struct Walk {
    at: Row,
    radius: f64,
    best: Smallest,
    most: f64,
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
        let (mut probe, clean) = Probe::new(model, x)?;
        let (cfg, n, bounds, aims) = (self.cfg, Norm::L2, probe.bounds(), Aim::of(goal)?);
        let mut walks: Vec<Walk> = clean
            .iter()
            .map(|x| {
                let most = norm(x.iter().map(|v| (v - bounds.lo()).max(bounds.hi() - v)), n);
                Walk { at: x.clone(), radius: cfg.radius, best: Smallest::none(), most }
            })
            .collect();
        for i in 0..cfg.steps {
            let step = 0.01 + 0.99 * 0.5 * (1.0 + (PI * i as f64 / cfg.steps as f64).cos());
            let rows: Vec<(usize, &[f64])> = walks.iter().map(|w| w.at.as_slice()).enumerate().collect();
            let answers = probe.slopes(&rows, |i, z| Loss::CrossEntropy.at(z, aims[i]))?;
            drop(rows);
            walks.par_iter_mut().zip(answers).zip(&clean).zip(&aims).for_each(|(((w, a), x), aim)| {
                let (length, reached) = (distance(&w.at, x, n), aim.reached(&a.logits));
                if reached {
                    w.best.offer(&w.at, length);
                }
                w.radius = (w.radius * if reached { 1.0 - cfg.gamma } else { 1.0 + cfg.gamma }).min(w.most);
                let slope = norm(a.gradient.iter().copied(), n).max(f64::MIN_POSITIVE);
                w.at.iter_mut().zip(&a.gradient).for_each(|(v, g)| *v += step * g / slope);
                let scale = w.radius / distance(&w.at, x, n).max(f64::MIN_POSITIVE);
                w.at.iter_mut().zip(x).for_each(|(v, x)| *v = (x + (*v - x) * scale).clamp(bounds.lo(), bounds.hi()));
            });
        }
        let out: Vec<Row> = walks.into_iter().zip(clean).map(|(w, x)| w.best.or(x)).collect();
        probe.finish(&out)
    }
}

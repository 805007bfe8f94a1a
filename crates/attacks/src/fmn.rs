//! FMN: fast minimum-norm attacks.

use crate::geometry::rows::{distance, dual, norm, project};
use crate::loss::{Aim, Loss};
use crate::probe::{Probe, Row};
use crate::smallest::Smallest;
use candle_core::Tensor;
use rayon::prelude::*;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Attack, Classifier, ExampleRng, Goal, Norm, Perturbed, Result, Threat};
use std::f64::consts::PI;

/// Configuration of [`Fmn`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `norm` | L2 | the norm that is made small | |
/// | `steps` | 100 | gradient steps | >= 1 |
/// | `step` | 1 | length of the first step in L2, falling to a hundredth along a cosine | finite, > 0 |
/// | `gamma` | 0.05 | share by which the radius changes at first, falling to 0.001 along a cosine | in (0, 1) |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FmnConfig {
    /// The norm that is made small.
    pub norm: Norm,
    /// Gradient steps.
    pub steps: usize,
    /// Length of the first step.
    pub step: f64,
    /// First change of the radius.
    pub gamma: f64,
}

impl Default for FmnConfig {
    fn default() -> Self {
        Self { norm: Norm::L2, steps: 100, step: 1.0, gamma: 0.05 }
    }
}

/// Descends the margin inside a ball whose radius shrinks by `gamma` while the point fools the model and grows by it
/// while it does not; before the first success the radius is the distance to the boundary as it looks from there. The
/// smallest success is returned, the input itself where there is none. DDN (Rony et al. 2019) is its L2 ancestor.
///
/// Source: Pintor, Roli, Brendel, Biggio (2021), algorithm 1; the floor of `gamma` and the last step as in Foolbox.
#[derive(Clone, Copy, Debug)]
pub struct Fmn {
    cfg: FmnConfig,
}

struct Walk {
    at: Row,
    radius: f64,
    best: Smallest,
    /// The radius at which the ball holds the whole box.
    most: f64,
}

impl Fmn {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`sconce_tensor_core::Error::Config`] naming the field.
    pub fn new(cfg: FmnConfig) -> Result<Self> {
        require("FmnConfig.steps", cfg.steps >= 1, "at least 1", cfg.steps)?;
        require("FmnConfig.step", cfg.step.is_finite() && cfg.step > 0.0, "finite and > 0", cfg.step)?;
        require("FmnConfig.gamma", cfg.gamma > 0.0 && cfg.gamma < 1.0, "between 0 and 1", cfg.gamma)?;
        Ok(Self { cfg })
    }
}

impl Attack for Fmn {
    fn threat(&self) -> Threat {
        Threat::unbounded(self.cfg.norm)
    }

    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, _rng: &ExampleRng) -> Result<Perturbed> {
        let (mut probe, clean) = Probe::new(model, x)?;
        let (n, bounds, dtype, aims) = (self.cfg.norm, probe.bounds(), probe.dtype(), Aim::of(goal)?);
        let mut walks: Vec<Walk> = clean
            .iter()
            .map(|x| {
                let most = norm(x.iter().map(|v| (v - bounds.lo()).max(bounds.hi() - v)), n);
                Walk { at: x.clone(), radius: f64::INFINITY, best: Smallest::none(), most }
            })
            .collect();
        for i in 0..self.cfg.steps {
            let fall = 0.5 * (1.0 + (PI * i as f64 / self.cfg.steps as f64).cos());
            let step = self.cfg.step * (0.01 + 0.99 * fall);
            let gamma = 0.001 + (self.cfg.gamma - 0.001) * fall;
            let rows: Vec<(usize, &[f64])> = walks.iter().map(|w| w.at.as_slice()).enumerate().collect();
            let answers = probe.slopes(&rows, |i, z| Loss::Margin.at(z, aims[i]))?;
            drop(rows);
            walks.par_iter_mut().zip(answers).zip(&clean).zip(&aims).for_each(|(((w, a), x), aim)| {
                let length = distance(&w.at, x, n);
                if aim.reached(&a.logits) {
                    w.best.offer(&w.at, length);
                    w.radius = (w.radius * (1.0 - gamma)).min(w.best.length);
                } else if w.best.found() {
                    w.radius *= 1.0 + gamma;
                } else {
                    w.radius = length + a.value.abs() / dual(&a.gradient, n).max(1e-12);
                }
                w.radius = w.radius.min(w.most);
                let slope = norm(a.gradient.iter().copied(), Norm::L2).max(1e-12);
                w.at.iter_mut().zip(&a.gradient).for_each(|(v, g)| *v += step * g / slope);
                project(&mut w.at, x, (n, w.radius), bounds, dtype);
            });
        }
        let out: Vec<Row> = walks.into_iter().zip(clean).map(|(w, x)| w.best.or(x)).collect();
        probe.finish(&out)
    }
}

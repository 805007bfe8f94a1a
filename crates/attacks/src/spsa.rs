//! SPSA: gradients that are estimated from scores.

use crate::geometry::rows::project;
use crate::loss::{ExampleGoal, Loss};
use crate::probe::{Probe, Row};
use candle_core::Tensor;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Attack, Classifier, ExampleRng, Goal, Norm, Perturbed, Result, Threat};

/// Configuration of [`Spsa`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `norm` | Linf | norm of the threat | |
/// | `eps` | 8/255 | its radius | finite, >= 0 |
/// | `steps` | 20 | steps of Adam | >= 1 |
/// | `samples` | 128 | random directions per gradient; each costs two forward passes | >= 1 |
/// | `delta` | 0.01 | half the distance between the two points of a direction, in the input's units | finite, > 0 |
/// | `step_size` | 0.01 | Adam's step size | finite, > 0 |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpsaConfig {
    /// Norm of the threat.
    pub norm: Norm,
    /// Radius of the threat, in the input's units.
    pub eps: f64,
    /// Steps of Adam.
    pub steps: usize,
    /// Random directions per gradient.
    pub samples: usize,
    /// Half the distance between the two points of a direction.
    pub delta: f64,
    /// Adam's step size.
    pub step_size: f64,
}

impl Default for SpsaConfig {
    fn default() -> Self {
        Self { norm: Norm::Linf, eps: 8.0 / 255.0, steps: 20, samples: 128, delta: 0.01, step_size: 0.01 }
    }
}

/// Maximises the margin loss by Adam with the gradient estimate `mean_v [L(x + delta v) - L(x - delta v)] / (2 delta) v`,
/// where `v` are vectors of random signs. It is meant for models whose gradients are masked.
///
/// Source: Uesato, O'Donoghue, van den Oord, Kohli (2018), section 3.2.
#[derive(Clone, Copy, Debug)]
pub struct Spsa {
    threat: Threat,
    cfg: SpsaConfig,
}

/// Number of rows in one forward pass.
const ROWS: usize = 256;

impl Spsa {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`sconce_tensor_core::Error::Config`] naming the field.
    pub fn new(cfg: SpsaConfig) -> Result<Self> {
        let threat = Threat::new(cfg.norm, cfg.eps)?;
        let good = |v: f64| v.is_finite() && v > 0.0;
        require("SpsaConfig.steps", cfg.steps >= 1, "at least 1", cfg.steps)?;
        require("SpsaConfig.samples", cfg.samples >= 1, "at least 1", cfg.samples)?;
        require("SpsaConfig.delta", good(cfg.delta), "finite and > 0", cfg.delta)?;
        require("SpsaConfig.step_size", good(cfg.step_size), "finite and > 0", cfg.step_size)?;
        Ok(Self { threat, cfg })
    }

    /// Estimates the gradient at one point, in batches of at most [`ROWS`] rows.
    fn estimate(
        &self,
        probe: &mut Probe<'_>,
        example: usize,
        at: &[f64],
        goal: ExampleGoal,
        bits: &[u64],
    ) -> Result<Row> {
        let d = at.len();
        let sign = |s: usize, i: usize| if bits[(s * d + i) / 64] >> ((s * d + i) % 64) & 1 == 1 { 1.0 } else { -1.0 };
        let mut g = vec![0.0; d];
        let samples: Vec<usize> = (0..self.cfg.samples).collect();
        for part in samples.chunks(ROWS / 2) {
            let shifted = |side: f64| {
                part.iter().map(move |&s| {
                    at.iter().enumerate().map(|(i, a)| a + side * self.cfg.delta * sign(s, i)).collect::<Row>()
                })
            };
            let points: Vec<Row> = shifted(1.0).chain(shifted(-1.0)).collect();
            let rows: Vec<(usize, &[f64])> = points.iter().map(|p| (example, p.as_slice())).collect();
            let logits = probe.logits(&rows)?;
            for (k, &s) in part.iter().enumerate() {
                let loss = |z: &[f64]| Loss::Margin.at(z, goal).map(|l| l.value);
                let rise = (loss(&logits[k])? - loss(&logits[k + part.len()])?) / (2.0 * self.cfg.delta);
                g.iter_mut().enumerate().for_each(|(i, g)| *g += rise * sign(s, i) / self.cfg.samples as f64);
            }
        }
        Ok(g)
    }
}

impl Attack for Spsa {
    fn threat(&self) -> Threat {
        self.threat
    }

    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, rng: &ExampleRng) -> Result<Perturbed> {
        let (mut probe, clean, goals) = Probe::new(model, x, goal)?;
        let (cfg, bounds, dtype) = (self.cfg, probe.bounds(), probe.dtype());
        let d = clean[0].len();
        let mut at = clean.clone();
        let mut moments = vec![(vec![0.0; d], vec![0.0; d]); at.len()];
        for t in 1..=cfg.steps {
            let noise = rng.stream(&format!("spsa {t}"));
            for (i, at) in at.iter_mut().enumerate() {
                let bits = noise.row(i).bits((cfg.samples * d).div_ceil(64));
                let g = self.estimate(&mut probe, i, at, goals[i], &bits)?;
                let (first, second) = &mut moments[i];
                let (c1, c2) = (1.0 - 0.9f64.powi(t as i32), 1.0 - 0.999f64.powi(t as i32));
                for j in 0..d {
                    first[j] = 0.9 * first[j] + 0.1 * g[j];
                    second[j] = 0.999 * second[j] + 0.001 * g[j] * g[j];
                    at[j] += cfg.step_size * (first[j] / c1) / ((second[j] / c2).sqrt() + 1e-8);
                }
                project(at, &clean[i], cfg.norm, cfg.eps, bounds, dtype);
            }
        }
        probe.finish(&at)
    }
}

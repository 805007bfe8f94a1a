//! DeepFool: repeated steps to the nearest boundary of the linearised model.

use crate::geometry::rows::{distance, dual};
use crate::loss::{ExampleGoal, Loss, others_by_logit};
use crate::probe::{Probe, Row, select_rows};
use candle_core::Tensor;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Attack, Bounds, Classifier, Error, ExampleRng, Goal, Norm, Perturbed, Result, Threat};

/// Configuration of [`DeepFool`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `norm` | L2 | the norm that is minimised | |
/// | `steps` | 50 | maximum number of steps | >= 1 |
/// | `candidates` | 10 | number of most likely classes whose boundaries are considered, counting the label | >= 2 |
/// | `overshoot` | 0.02 | relative amount by which the sum of steps goes past the boundary | finite, >= 0 |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeepFoolConfig {
    /// The norm that is minimised.
    pub norm: Norm,
    /// Maximum number of steps.
    pub steps: usize,
    /// Number of most likely classes that are considered.
    pub candidates: usize,
    /// Overshoot.
    pub overshoot: f64,
}

impl Default for DeepFoolConfig {
    fn default() -> Self {
        Self { norm: Norm::L2, steps: 50, candidates: 10, overshoot: 0.02 }
    }
}

/// With `f_k = z_k - z_y` and `w_k` its gradient, each step crosses the nearest linearised boundary,
/// `|f_k| / |w_k|_dual`, by the smallest step in the norm: for L2 along `w`, for Linf along its sign, for L1 along its
/// largest element that is not yet at the end of the box. The attack stops at the first point past a boundary.
///
/// Source: Moosavi-Dezfooli, Fawzi, Frossard (2016), algorithm 2 and section 3.4.
#[derive(Clone, Copy, Debug)]
pub struct DeepFool {
    cfg: DeepFoolConfig,
}

/// Added to each distance, so that a step crosses the boundary (as in the authors' code).
const MARGIN: f64 = 1e-4;

impl DeepFool {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: DeepFoolConfig) -> Result<Self> {
        require("DeepFoolConfig.steps", cfg.steps >= 1, "at least 1", cfg.steps)?;
        require("DeepFoolConfig.candidates", cfg.candidates >= 2, "at least 2", cfg.candidates)?;
        let over = cfg.overshoot.is_finite() && cfg.overshoot >= 0.0;
        require("DeepFoolConfig.overshoot", over, "finite and >= 0", cfg.overshoot)?;
        Ok(Self { cfg })
    }

    /// The step from `at` across the boundary of a function with this `value` and gradient `w`.
    fn cross(&self, value: f64, w: &[f64], at: &[f64], bounds: Bounds) -> Row {
        let length = value.abs() + MARGIN;
        match self.cfg.norm {
            Norm::Linf => {
                let t = length / w.iter().map(|v| v.abs()).sum::<f64>().max(1e-12);
                w.iter().map(|v| if *v == 0.0 { 0.0 } else { t * v.signum() }).collect()
            }
            Norm::L2 => {
                let t = length / w.iter().map(|v| v * v).sum::<f64>().max(1e-24);
                w.iter().map(|v| t * v).collect()
            }
            Norm::L1 => {
                let free = |i: usize| if w[i] > 0.0 { at[i] < bounds.hi() } else { at[i] > bounds.lo() };
                let best = (0..w.len())
                    .filter(|&i| w[i] != 0.0 && free(i))
                    .max_by(|&a, &b| w[a].abs().total_cmp(&w[b].abs()).then(b.cmp(&a)));
                let mut step = vec![0.0; w.len()];
                if let Some(i) = best {
                    step[i] = length / w[i];
                }
                step
            }
        }
    }
}

impl Attack for DeepFool {
    fn threat(&self) -> Threat {
        Threat::unbounded(self.cfg.norm)
    }

    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, _rng: &ExampleRng) -> Result<Perturbed> {
        let Goal::Untargeted(labels) = goal else {
            let reason = "DeepFool moves to the nearest boundary; use PGD or FMN for one target class".to_owned();
            return Err(Error::Unsupported { what: "DeepFool with a target", reason });
        };
        let labels: Vec<usize> = labels.to_vec1::<u32>()?.into_iter().map(|y| y as usize).collect();
        let (mut probe, clean, _) = Probe::new(model, x, goal)?;
        let (bounds, n) = (probe.bounds(), self.cfg.norm);
        let mut open: Vec<usize> = (0..clean.len()).collect();
        let logits = probe.logits(&select_rows(&clean, &open))?;
        let classes: Vec<Vec<usize>> = logits
            .iter()
            .zip(&labels)
            .map(|(z, y)| {
                let mut order = others_by_logit(z, *y);
                order.truncate(self.cfg.candidates - 1);
                order
            })
            .collect();
        // The n-th candidate of each example.
        let count = classes.first().map_or(0, Vec::len);
        let candidates: Vec<Vec<usize>> = (0..count).map(|n| classes.iter().map(|o| o[n]).collect()).collect();
        open.retain(|&i| !ExampleGoal::Untargeted(labels[i]).reached(&logits[i]));
        let (mut at, mut sum) = (clean.clone(), vec![vec![0.0; clean[0].len()]; clean.len()]);
        for _ in 0..self.cfg.steps {
            let rows = select_rows(&at, &open);
            let mut nearest: Vec<Option<(f64, Row)>> = vec![None; open.len()];
            let mut reached = vec![false; open.len()];
            for target in &candidates {
                let answers = probe.gradients(&rows, |j, z| {
                    Loss::Margin.at(z, ExampleGoal::TowardClass { label: labels[open[j]], target: target[open[j]] })
                })?;
                for (j, a) in answers.into_iter().enumerate() {
                    reached[j] = ExampleGoal::Untargeted(labels[open[j]]).reached(&a.logits);
                    let size = dual(&a.gradient, n);
                    let distance = a.loss.abs() / size.max(1e-12);
                    if size > 0.0 && nearest[j].as_ref().is_none_or(|b| distance < b.0) {
                        nearest[j] = Some((distance, self.cross(a.loss, &a.gradient, &at[open[j]], bounds)));
                    }
                }
            }
            let mut keep = Vec::new();
            for ((&i, step), reached) in open.iter().zip(nearest).zip(reached) {
                let Some((_, step)) = step.filter(|_| !reached) else { continue };
                for (j, s) in step.into_iter().enumerate() {
                    sum[i][j] += s;
                    at[i][j] = (clean[i][j] + (1.0 + self.cfg.overshoot) * sum[i][j]).clamp(bounds.lo(), bounds.hi());
                    if n == Norm::L1 {
                        // The part of the step that the box clipped is dropped for good.
                        sum[i][j] = (at[i][j] - clean[i][j]) / (1.0 + self.cfg.overshoot);
                    }
                }
                keep.push(i);
            }
            open = keep;
            if open.is_empty() {
                break;
            }
        }
        // An example without success gets its input back, so that a failure is not mistaken for a large perturbation.
        let rows: Vec<usize> = (0..at.len()).filter(|&i| distance(&at[i], &clean[i], n) > 0.0).collect();
        for (&i, z) in rows.iter().zip(probe.logits(&select_rows(&at, &rows))?) {
            if !ExampleGoal::Untargeted(labels[i]).reached(&z) {
                at[i].clone_from(&clean[i]);
            }
        }
        probe.finish(&at)
    }
}

//! The L2 attack of Carlini and Wagner.

use crate::geometry::rows::distance;
use crate::loss::Loss;
use crate::probe::{Probe, Row};
use crate::smallest::SmallestSuccess;
use candle_core::Tensor;
use rayon::prelude::*;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Attack, Classifier, ExampleRng, Goal, Norm, Perturbed, Result, Threat};

/// Configuration of [`CarliniWagner`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `searches` | 6 | steps of the binary search for the constant | >= 1 |
/// | `steps` | 200 | steps of Adam for each value of the constant | >= 1 |
/// | `step_size` | 0.02 | Adam's step size | finite, > 0 |
/// | `constant` | 0.1 | initial constant `c`: the weight of the margin relative to the squared distance | finite, > 0 |
/// | `confidence` | 0 | required margin of a success, in the logits' units | finite, >= 0 |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CarliniWagnerConfig {
    /// Steps of the binary search.
    pub searches: usize,
    /// Steps of Adam for each value of the constant.
    pub steps: usize,
    /// Adam's step size.
    pub step_size: f64,
    /// Initial constant.
    pub constant: f64,
    /// Required margin of a success.
    pub confidence: f64,
}

impl Default for CarliniWagnerConfig {
    fn default() -> Self {
        Self { searches: 6, steps: 200, step_size: 0.02, constant: 0.1, confidence: 0.0 }
    }
}

/// Minimum-norm attack that minimises `|x' - x|_2^2 + c max(m(x') + confidence, 0)` by Adam over `w`, where
/// `x' = (tanh w + 1) / 2` is scaled to the box and `m` is the margin that is left to the goal. The constant `c` is found
/// for each example by binary search (it is multiplied by ten until the first success). The attack returns the smallest
/// successful perturbation, or the input if there is none.
///
/// Source: Carlini and Wagner (2017), section 5.2 and 6.1 (f_6); Adam's constants are 0.9, 0.999, 1e-8.
#[derive(Clone, Copy, Debug)]
pub struct CarliniWagner {
    cfg: CarliniWagnerConfig,
}

/// Keeps the input inside the box, because `atanh` is infinite at its ends.
const INSIDE: f64 = 0.999_999;

/// The state of the search on one example.
struct Search {
    /// The input in the variable `w`, and the change of `w`.
    from: Row,
    delta: Row,
    /// Adam's moments.
    first: Row,
    second: Row,
    at: Row,
    /// Lower bound, current value and upper bound of the constant.
    constant: (f64, f64, f64),
    reached: bool,
    best: SmallestSuccess,
}

impl CarliniWagner {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`sconce_tensor_core::Error::Config`] naming the field.
    pub fn new(cfg: CarliniWagnerConfig) -> Result<Self> {
        let good = |v: f64| v.is_finite() && v > 0.0;
        require("CarliniWagnerConfig.searches", cfg.searches >= 1, "at least 1", cfg.searches)?;
        require("CarliniWagnerConfig.steps", cfg.steps >= 1, "at least 1", cfg.steps)?;
        require("CarliniWagnerConfig.step_size", good(cfg.step_size), "finite and > 0", cfg.step_size)?;
        require("CarliniWagnerConfig.constant", good(cfg.constant), "finite and > 0", cfg.constant)?;
        let valid = cfg.confidence.is_finite() && cfg.confidence >= 0.0;
        require("CarliniWagnerConfig.confidence", valid, "finite and >= 0", cfg.confidence)?;
        Ok(Self { cfg })
    }
}

impl Attack for CarliniWagner {
    fn threat(&self) -> Threat {
        Threat::unbounded(Norm::L2)
    }

    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, _rng: &ExampleRng) -> Result<Perturbed> {
        let (mut probe, clean, goals) = Probe::new(model, x, goal)?;
        let (cfg, bounds) = (self.cfg, probe.bounds());
        let (middle, half) = (0.5 * (bounds.lo() + bounds.hi()), 0.5 * (bounds.hi() - bounds.lo()));
        let to_box = |w: f64| middle + half * w.tanh();
        let width = clean[0].len();
        let mut all: Vec<Search> = clean
            .iter()
            .map(|x| Search {
                from: x.iter().map(|v| ((v - middle) / half * INSIDE).atanh()).collect(),
                delta: Row::new(),
                first: Row::new(),
                second: Row::new(),
                at: Row::new(),
                constant: (0.0, cfg.constant, f64::INFINITY),
                reached: false,
                best: SmallestSuccess::none(),
            })
            .collect();
        for _ in 0..cfg.searches {
            for s in &mut all {
                (s.delta, s.first, s.second) = (vec![0.0; width], vec![0.0; width], vec![0.0; width]);
                s.reached = false;
            }
            for t in 1..=cfg.steps {
                all.par_iter_mut().for_each(|s| {
                    s.at = s.from.iter().zip(&s.delta).map(|(f, d)| to_box(f + d)).collect();
                });
                let rows: Vec<(usize, &[f64])> = all.iter().map(|s| s.at.as_slice()).enumerate().collect();
                let answers = probe.gradients(&rows, |i, z| Loss::Margin.at(z, goals[i]))?;
                drop(rows);
                all.par_iter_mut().zip(answers).zip(&clean).zip(&goals).for_each(|(((s, a), x), goal)| {
                    if goal.reached(&a.logits) && a.loss >= cfg.confidence {
                        s.reached = true;
                        s.best.record(&s.at, distance(&s.at, x, Norm::L2));
                    }
                    let weight = if cfg.confidence - a.loss > 0.0 { s.constant.1 } else { 0.0 };
                    let (c1, c2) = (1.0 - 0.9f64.powi(t as i32), 1.0 - 0.999f64.powi(t as i32));
                    for i in 0..width {
                        let out = (s.at[i] - middle) / half;
                        let derivative = half * (1.0 - out * out);
                        // The distance is measured to the mapped input, so that it starts at 0.
                        let g = (2.0 * (s.at[i] - to_box(s.from[i])) - weight * a.gradient[i]) * derivative;
                        s.first[i] = 0.9 * s.first[i] + 0.1 * g;
                        s.second[i] = 0.999 * s.second[i] + 0.001 * g * g;
                        s.delta[i] -= cfg.step_size * (s.first[i] / c1) / ((s.second[i] / c2).sqrt() + 1e-8);
                    }
                });
            }
            for s in &mut all {
                let (lo, c, hi) = s.constant;
                let (lo, hi) = if s.reached { (lo, c) } else { (c, hi) };
                s.constant = (lo, if hi.is_finite() { 0.5 * (lo + hi) } else { 10.0 * c }, hi);
            }
        }
        let out: Vec<Row> = all.into_iter().zip(clean).map(|(s, x)| s.best.or_input(x)).collect();
        probe.finish(&out)
    }
}

//! FAB: the fast adaptive boundary attack.

use crate::geometry::rows::{distance, dual, norm, to_hyperplane};
use crate::loss::{ExampleGoal, Loss, LossGradient, others_by_logit, rival};
use crate::probe::{InputGradient, Probe, Row, select_rows};
use candle_core::Tensor;
use rayon::prelude::*;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Attack, Bounds, Classifier, Error, ExampleRng, Goal, Norm, Perturbed, Result, Threat};

/// Configuration of [`Fab`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `norm` | Linf | the norm that is minimised | |
/// | `steps` | 100 | steps per start | >= 1 |
/// | `restarts` | 1 | starts: the first at the input, the others at random points | >= 1 |
/// | `targets` | 9 | number of most likely wrong classes to target, in turn (at most K - 1); `None` considers the boundaries of all classes in each step, at the cost of K gradients | >= 1 |
/// | `radius` | 0.1 | twice the radius of the random starts | finite, > 0 |
/// | `alpha` | 0.1 | largest weight of the bias towards the input | in [0, 1] |
/// | `overshoot` | 1.05 | factor by which a step goes past the boundary | >= 1 |
/// | `backward` | 0.9 | share of the perturbation that is kept after the boundary was crossed | in (0, 1) |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FabConfig {
    /// The norm that is minimised.
    pub norm: Norm,
    /// Steps per start.
    pub steps: usize,
    /// Starts.
    pub restarts: usize,
    /// Number of target classes.
    pub targets: Option<usize>,
    /// Twice the radius of the random starts.
    pub radius: f64,
    /// Largest weight of the bias towards the input.
    pub alpha: f64,
    /// Overshoot.
    pub overshoot: f64,
    /// Backward step.
    pub backward: f64,
}

impl Default for FabConfig {
    fn default() -> Self {
        Self {
            norm: Norm::Linf,
            steps: 100,
            restarts: 1,
            targets: Some(9),
            radius: 0.1,
            alpha: 0.1,
            overshoot: 1.05,
            backward: 0.9,
        }
    }
}

/// Minimum-norm attack. Each step moves to the decision boundary, linearised at the current point, inside the box; the
/// step is biased towards the point of this hyperplane that is nearest to the input. After it has crossed the boundary,
/// it moves part of the way back to the input. The attack returns the smallest successful perturbation, or the input if
/// there is none.
///
/// The goal must be untargeted; the target classes are tried in turn.
///
/// Source: Croce and Hein (2020, "Minimally distorted adversarial examples"), algorithm 1; the targeted form of Croce and
/// Hein (2020, AutoAttack), section 4.
#[derive(Clone, Copy, Debug)]
pub struct Fab {
    cfg: FabConfig,
}

/// The state of the search on one example.
struct Walk {
    example: usize,
    label: usize,
    target: Option<usize>,
    at: Row,
}

/// The nearest boundary, linearised at a point: the value of its function there and its gradient.
struct Plane {
    value: f64,
    gradient: Row,
}

impl Fab {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: FabConfig) -> Result<Self> {
        require("FabConfig.steps", cfg.steps >= 1, "at least 1", cfg.steps)?;
        require("FabConfig.restarts", cfg.restarts >= 1, "at least 1", cfg.restarts)?;
        require("FabConfig.targets", cfg.targets != Some(0), "at least 1", 0)?;
        require("FabConfig.radius", cfg.radius.is_finite() && cfg.radius > 0.0, "finite and > 0", cfg.radius)?;
        require("FabConfig.alpha", (0.0..=1.0).contains(&cfg.alpha), "in [0, 1]", cfg.alpha)?;
        let over = cfg.overshoot.is_finite() && cfg.overshoot >= 1.0;
        require("FabConfig.overshoot", over, "finite and at least 1", cfg.overshoot)?;
        require("FabConfig.backward", cfg.backward > 0.0 && cfg.backward < 1.0, "between 0 and 1", cfg.backward)?;
        Ok(Self { cfg })
    }

    /// The boundary of each walk: that of its target class, or the nearest of all classes.
    fn planes(&self, probe: &mut Probe<'_>, walks: &[Walk]) -> Result<Vec<Plane>> {
        let rows: Vec<(usize, &[f64])> = walks.iter().map(|w| (w.example, w.at.as_slice())).collect();
        let plane = |a: InputGradient| Plane { value: a.loss, gradient: a.gradient };
        if walks.iter().all(|w| w.target.is_some()) {
            let answers = probe.gradients(&rows, |i, z| {
                let label = walks[i].label;
                let target = walks[i].target.unwrap_or_else(|| rival(z, label));
                Loss::Margin.at(z, ExampleGoal::TowardClass { label, target })
            })?;
            return Ok(answers.into_iter().map(plane).collect());
        }
        let mut nearest: Vec<Option<(f64, Plane)>> = walks.iter().map(|_| None).collect();
        for class in 0..probe.classes() {
            let answers = probe.gradients(&rows, |i, z| {
                if walks[i].label == class {
                    return Ok(LossGradient { value: f64::INFINITY, by_logit: vec![0.0; z.len()] });
                }
                Loss::Margin.at(z, ExampleGoal::TowardClass { label: walks[i].label, target: class })
            })?;
            for (best, a) in nearest.iter_mut().zip(answers).filter(|e| e.1.loss.is_finite()) {
                let distance = a.loss.abs() / (1e-12 + dual(&a.gradient, self.cfg.norm));
                if best.as_ref().is_none_or(|b| distance < b.0) {
                    *best = Some((distance, plane(a)));
                }
            }
        }
        let all: Option<Vec<Plane>> = nearest.into_iter().map(|n| n.map(|n| n.1)).collect();
        all.ok_or_else(|| Error::value("FAB", "a model with one class has no boundary"))
    }

    fn step(&self, walk: &mut Walk, plane: &Plane, x: &[f64], bounds: Bounds) {
        let (n, cfg) = (self.cfg.norm, &self.cfg);
        let w = &plane.gradient;
        let along: f64 = w.iter().zip(x.iter().zip(&walk.at)).map(|(w, (x, at))| w * (x - at)).sum();
        // The plane is value + w . (p - at) = 0; at the input the left side is value + w . (x - at).
        let from_here = to_hyperplane(&walk.at, w, -plane.value, n, bounds);
        let from_input = to_hyperplane(x, w, -(plane.value + along), n, bounds);
        let here = norm(from_here.iter().copied(), n).max(1e-8);
        let there = norm(from_input.iter().copied(), n).max(1e-8);
        let alpha = (here / (here + there)).clamp(0.0, cfg.alpha);
        for (i, at) in walk.at.iter_mut().enumerate() {
            let a = *at + cfg.overshoot * from_here[i];
            let b = x[i] + cfg.overshoot * from_input[i];
            *at = (a * (1.0 - alpha) + b * alpha).clamp(bounds.lo(), bounds.hi());
        }
    }
}

/// A random point at distance `radius / 2` from the input, clipped to the box.
fn start(x: &[f64], rng: &sconce_tensor_core::Rng, n: Norm, radius: f64, bounds: Bounds) -> Row {
    let t: Row = match n {
        Norm::Linf => rng.uniforms(x.len()).into_iter().map(|u| 2.0 * u - 1.0).collect(),
        _ => rng.normals(x.len()),
    };
    let length = norm(t.iter().copied(), n).max(1e-12);
    x.iter().zip(t).map(|(x, t)| (x + 0.5 * radius * t / length).clamp(bounds.lo(), bounds.hi())).collect()
}

impl Attack for Fab {
    fn threat(&self) -> Threat {
        Threat::unbounded(self.cfg.norm)
    }

    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, rng: &ExampleRng) -> Result<Perturbed> {
        let Goal::Untargeted(labels) = goal else {
            let reason = "FAB targets all classes in turn; use PGD or FMN for one target class".to_owned();
            return Err(Error::Unsupported { what: "FAB with a target", reason });
        };
        let labels = labels.to_vec1::<u32>()?;
        let (mut probe, clean, _) = Probe::new(model, x, goal)?;
        let (n, bounds, k) = (self.cfg.norm, probe.bounds(), probe.classes());
        let all: Vec<usize> = (0..clean.len()).collect();
        let logits = probe.logits(&select_rows(&clean, &all))?;
        let open: Vec<usize> =
            all.into_iter().filter(|&i| !ExampleGoal::Untargeted(labels[i] as usize).reached(&logits[i])).collect();
        let mut out = clean.clone();
        let mut smallest = vec![f64::INFINITY; clean.len()];
        let targets = self.cfg.targets.map(|t| t.min(k.saturating_sub(1)));
        for round in 0..targets.unwrap_or(1) * self.cfg.restarts {
            let (turn, restart) = (round / self.cfg.restarts, round % self.cfg.restarts);
            let noise = rng.stream(&format!("fab target {turn} start {restart}"));
            let mut walks: Vec<Walk> = open
                .iter()
                .map(|&example| {
                    let label = labels[example] as usize;
                    let target = targets.map(|_| others_by_logit(&logits[example], label)[turn]);
                    let radius = self.cfg.radius.min(smallest[example]);
                    let at = if restart == 0 {
                        clean[example].clone()
                    } else {
                        start(&clean[example], &noise.row(example), n, radius, bounds)
                    };
                    Walk { example, label, target, at }
                })
                .collect();
            for _ in 0..self.cfg.steps {
                let planes = self.planes(&mut probe, &walks)?;
                walks.par_iter_mut().zip(planes).for_each(|(w, p)| self.step(w, &p, &clean[w.example], bounds));
                let rows: Vec<(usize, &[f64])> = walks.iter().map(|w| (w.example, w.at.as_slice())).collect();
                let outputs = probe.logits(&rows)?;
                drop(rows);
                for (w, z) in walks.iter_mut().zip(outputs) {
                    if !ExampleGoal::Untargeted(w.label).reached(&z) {
                        continue;
                    }
                    let x = &clean[w.example];
                    let length = distance(&w.at, x, n);
                    if length < smallest[w.example] {
                        smallest[w.example] = length;
                        out[w.example].clone_from(&w.at);
                    }
                    w.at.iter_mut().zip(x).for_each(|(a, x)| *a = x + (*a - x) * self.cfg.backward);
                }
            }
        }
        probe.finish(&out)
    }
}

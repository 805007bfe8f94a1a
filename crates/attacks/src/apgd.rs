//! Auto-PGD: projected gradient descent with an automatic step size.

use crate::geometry::rows::{norm, project};
use crate::loss::{ExampleGoal, Loss, others_by_logit};
use crate::probe::{Probe, Row};
use candle_core::{DType, Tensor};
use rayon::prelude::*;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Attack, Bounds, Classifier, Error, ExampleRng, Goal, Norm, Perturbed, Result, Threat};

/// Configuration of [`Apgd`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `norm` | Linf | norm of the threat | |
/// | `eps` | 8/255 | its radius | finite, >= 0 |
/// | `steps` | 100 | gradient steps per start | >= 1 |
/// | `restarts` | 1 | random starts (for each target class) | >= 1 |
/// | `loss` | cross-entropy | the loss that is maximised | |
/// | `targets` | none | for an untargeted goal: number of most likely wrong classes to target, in turn | 1 to K - 1 |
/// | `draws` | 1 | passes that are averaged for each loss and gradient, for a randomised model | >= 1 |
/// | `rho` | 0.75 | share of steps that must raise the loss, otherwise the step size is halved | in (0, 1) |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ApgdConfig {
    /// Norm of the threat.
    pub norm: Norm,
    /// Radius of the threat, in the input's units.
    pub eps: f64,
    /// Gradient steps per start.
    pub steps: usize,
    /// Random starts.
    pub restarts: usize,
    /// The loss that is maximised.
    pub loss: Loss,
    /// Number of target classes.
    pub targets: Option<usize>,
    /// Passes that are averaged for each loss and gradient.
    pub draws: usize,
    /// Share of steps that must raise the loss.
    pub rho: f64,
}

impl Default for ApgdConfig {
    fn default() -> Self {
        Self {
            norm: Norm::Linf,
            eps: 8.0 / 255.0,
            steps: 100,
            restarts: 1,
            loss: Loss::CrossEntropy,
            targets: None,
            draws: 1,
            rho: 0.75,
        }
    }
}

/// Projected gradient descent with momentum. The step size starts at twice the radius. At each checkpoint it is halved,
/// and the search returns to the best point so far, if too few steps raised the loss or if the best loss has not improved
/// since the last checkpoint. The first checkpoint comes after 22 % of the steps; the intervals then shrink by 3 % of the
/// steps, down to 6 %. In L1 the steps are sparse, and the attack uses three radii in turn (3, 2 and 1 times `eps`, for
/// 30, 30 and 40 % of the steps).
///
/// The attack stops on an example as soon as it is fooled; otherwise it returns the point with the highest loss. Unlike
/// the authors' code, each example has its own random start, and with `draws` > 1 the logits and the loss are averaged
/// as well as the gradients.
///
/// Source: Croce and Hein (2020), algorithm 1 and section 3 (DLR: equations 6 and 7); for L1 Croce and Hein (2021,
/// "Mind the box"), section 3.
#[derive(Clone, Copy, Debug)]
pub struct Apgd {
    threat: Threat,
    cfg: ApgdConfig,
}

/// The state of the search on one example.
struct Search {
    /// Index of the example in the batch.
    example: usize,
    goal: ExampleGoal,
    x: Row,
    at: Row,
    previous: Row,
    gradient: Row,
    best: Row,
    best_gradient: Row,
    best_loss: f64,
    losses: Vec<f64>,
    step_size: f64,
    /// Best loss at the last checkpoint, and whether the step size was halved there.
    last_best: f64,
    halved: bool,
    /// L1: share of elements that a step changes, and number of elements that differed from the input at the last
    /// checkpoint.
    share: f64,
    moved: f64,
    fooled: Option<Row>,
}

/// The radius and number of steps of one phase.
#[derive(Clone, Copy)]
struct Phase {
    eps: f64,
    steps: usize,
    /// Whether a point that fools the model counts as a success: only where the phase's radius is the threat's.
    counts: bool,
}

fn non_zero(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).filter(|(a, b)| a != b).count() as f64
}

impl Search {
    /// Takes one step; the first step has no momentum.
    fn advance(&mut self, i: usize, n: Norm, eps: f64, bounds: Bounds, dtype: DType) {
        let (a, first) = if i > 0 { (0.75, false) } else { (1.0, true) };
        let mut next = self.at.clone();
        match n {
            Norm::Linf => next.iter_mut().zip(&self.gradient).for_each(|(v, g)| *v += self.step_size * sign(*g)),
            Norm::L2 => {
                let length = norm(self.gradient.iter().copied(), n).max(f64::MIN_POSITIVE);
                next.iter_mut().zip(&self.gradient).for_each(|(v, g)| *v += self.step_size * g / length);
            }
            Norm::L1 => {
                let d = next.len();
                let at = (((1.0 - self.share) * d as f64).max(0.0) as usize).min(d - 1);
                let mut size: Vec<f64> = self.gradient.iter().map(|g| g.abs()).collect();
                let (_, threshold, _) = size.select_nth_unstable_by(at, f64::total_cmp);
                let threshold = *threshold;
                let chosen = |g: f64| g != 0.0 && g.abs() >= threshold;
                let count = self.gradient.iter().filter(|g| chosen(**g)).count() as f64 + 1e-10;
                let step = self.step_size / count;
                next.iter_mut().zip(&self.gradient).filter(|e| chosen(*e.1)).for_each(|(v, g)| *v += step * sign(*g));
            }
        }
        project(&mut next, &self.x, n, eps, bounds, dtype);
        if n != Norm::L1 && !first {
            for ((v, at), previous) in next.iter_mut().zip(&self.at).zip(&self.previous) {
                *v = at + (*v - at) * a + (at - previous) * (1.0 - a);
            }
            project(&mut next, &self.x, n, eps, bounds, dtype);
        }
        self.previous = std::mem::replace(&mut self.at, next);
    }

    /// Records loss and gradient at the current point.
    fn record(&mut self, loss: f64, gradient: Row) {
        self.gradient = gradient;
        self.losses.push(loss);
        if loss > self.best_loss {
            self.best_loss = loss;
            self.best.clone_from(&self.at);
            self.best_gradient.clone_from(&self.gradient);
        }
    }

    /// Checkpoint for Linf and L2: halves the step size and returns to the best point if too few of the last `k` steps
    /// raised the loss.
    fn checkpoint(&mut self, k: usize, rho: f64) {
        let recent = &self.losses[self.losses.len() - 1 - k..];
        let rising = recent.windows(2).filter(|w| w[1] > w[0]).count() as f64;
        let stuck = !self.halved && self.last_best >= self.best_loss;
        self.halved = rising <= k as f64 * rho || stuck;
        self.last_best = self.best_loss;
        if self.halved {
            self.step_size /= 2.0;
            self.return_to_best();
        }
    }

    /// Checkpoint for L1: the sparsity follows that of the best point; if it has become sparser, the step size is reset.
    fn checkpoint_l1(&mut self, eps: f64) {
        let moved = non_zero(&self.best, &self.x);
        let sparser = moved / self.moved < 0.95;
        self.share = moved / self.x.len() as f64 / 1.5;
        self.step_size = if sparser { eps } else { (self.step_size / 1.5).clamp(eps / 10.0, eps) };
        self.moved = moved;
        if sparser {
            self.return_to_best();
        }
    }

    fn return_to_best(&mut self) {
        self.at.clone_from(&self.best);
        self.gradient.clone_from(&self.best_gradient);
    }
}

fn sign(g: f64) -> f64 {
    if g == 0.0 { 0.0 } else { g.signum() }
}

impl Apgd {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: ApgdConfig) -> Result<Self> {
        let threat = Threat::new(cfg.norm, cfg.eps)?;
        require("ApgdConfig.steps", cfg.steps >= 1, "at least 1", cfg.steps)?;
        require("ApgdConfig.restarts", cfg.restarts >= 1, "at least 1", cfg.restarts)?;
        require("ApgdConfig.targets", cfg.targets != Some(0), "at least 1", 0)?;
        require("ApgdConfig.draws", cfg.draws >= 1, "at least 1", cfg.draws)?;
        require("ApgdConfig.rho", cfg.rho > 0.0 && cfg.rho < 1.0, "between 0 and 1", cfg.rho)?;
        Ok(Self { threat, cfg })
    }

    /// A random start on the ball: for Linf a uniform point of the cube, scaled to its surface; for L2 a random direction
    /// of length `eps`; for L1 the projection of a normal vector.
    fn start(&self, x: &[f64], rng: &sconce_tensor_core::Rng, eps: f64, bounds: Bounds, dtype: DType) -> Row {
        let n = self.cfg.norm;
        let mut t: Row = match n {
            Norm::Linf => rng.uniforms(x.len()).into_iter().map(|u| 2.0 * u - 1.0).collect(),
            _ => rng.normals(x.len()),
        };
        let scale = if n == Norm::L1 { 1.0 } else { eps / (norm(t.iter().copied(), n) + 1e-12) };
        t.iter_mut().zip(x).for_each(|(t, x)| *t = x + scale * *t);
        project(&mut t, x, n, eps, bounds, dtype);
        t
    }

    fn phases(&self) -> Vec<Phase> {
        let Self { threat, cfg } = self;
        let eps = threat.eps();
        if cfg.norm != Norm::L1 {
            return vec![Phase { eps, steps: cfg.steps, counts: true }];
        }
        let early = ((0.3 * cfg.steps as f64).ceil() as usize).min(cfg.steps / 2);
        [(3.0, early), (2.0, early), (1.0, cfg.steps - 2 * early)]
            .into_iter()
            .filter(|p| p.1 > 0)
            .map(|(by, steps)| Phase { eps: by * eps, steps, counts: by == 1.0 })
            .collect()
    }

    /// Runs one phase on all examples at once, from their current points.
    fn maximise(&self, probe: &mut Probe<'_>, all: &mut [Search], phase: Phase) -> Result<()> {
        let (n, eps, bounds, dtype) = (self.cfg.norm, phase.eps, probe.bounds(), probe.dtype());
        let min_interval = (0.06 * self.cfg.steps as f64).max(1.0) as usize;
        let shrink = (0.03 * self.cfg.steps as f64).max(1.0) as usize;
        let first = if n == Norm::L1 { 0.04 } else { 0.22 };
        let (mut interval, mut since) = ((first * phase.steps as f64).max(1.0) as usize, 0);
        self.evaluate(probe, all, phase.counts)?;
        for c in all.iter_mut() {
            c.last_best = c.best_loss;
        }
        for i in 0..phase.steps {
            let mut live: Vec<&mut Search> = all.iter_mut().filter(|c| c.fooled.is_none()).collect();
            if live.is_empty() {
                break;
            }
            live.par_iter_mut().for_each(|c| c.advance(i, n, eps, bounds, dtype));
            self.evaluate(probe, all, phase.counts)?;
            since += 1;
            if since == interval {
                for c in all.iter_mut().filter(|c| c.fooled.is_none()) {
                    if n == Norm::L1 { c.checkpoint_l1(eps) } else { c.checkpoint(interval, self.cfg.rho) }
                }
                since = 0;
                interval = if n == Norm::L1 { interval } else { interval.saturating_sub(shrink).max(min_interval) };
            }
        }
        Ok(())
    }

    /// Computes loss and gradient at the current points of the examples that are not fooled yet.
    fn evaluate(&self, probe: &mut Probe<'_>, all: &mut [Search], counts: bool) -> Result<()> {
        let mut live: Vec<&mut Search> = all.iter_mut().filter(|c| c.fooled.is_none()).collect();
        let rows: Vec<(usize, &[f64])> = live.iter().map(|c| (c.example, c.at.as_slice())).collect();
        let goals: Vec<ExampleGoal> = live.iter().map(|c| c.goal).collect();
        let mut answers = probe.gradients(&rows, |i, z| self.cfg.loss.at(z, goals[i]))?;
        if self.cfg.draws > 1 {
            for _ in 1..self.cfg.draws {
                for (sum, more) in answers.iter_mut().zip(probe.gradients(&rows, |i, z| self.cfg.loss.at(z, goals[i]))?)
                {
                    sum.loss += more.loss;
                    sum.logits.iter_mut().zip(more.logits).for_each(|(s, m)| *s += m);
                    sum.gradient.iter_mut().zip(more.gradient).for_each(|(s, m)| *s += m);
                }
            }
            let share = 1.0 / self.cfg.draws as f64;
            answers.iter_mut().for_each(|a| {
                a.loss *= share;
                a.logits.iter_mut().chain(&mut a.gradient).for_each(|v| *v *= share);
            });
        }
        drop(rows);
        for (c, a) in live.iter_mut().zip(answers) {
            if counts && c.goal.reached(&a.logits) {
                c.fooled = Some(c.at.clone());
            }
            c.record(a.loss, a.gradient);
        }
        Ok(())
    }

    /// Runs all phases from one random start per example and returns the final states.
    fn run(
        &self,
        probe: &mut Probe<'_>,
        from: Vec<(usize, ExampleGoal, Row)>,
        rng: &ExampleRng,
    ) -> Result<Vec<Search>> {
        let (bounds, dtype, phases) = (probe.bounds(), probe.dtype(), self.phases());
        let random = |example: usize, x: &[f64]| self.start(x, &rng.row(example), phases[0].eps, bounds, dtype);
        let mut all: Vec<Search> = from
            .into_par_iter()
            .map(|(example, goal, x)| {
                let at = random(example, &x);
                Search {
                    example,
                    goal,
                    previous: at.clone(),
                    gradient: Vec::new(),
                    best: at.clone(),
                    best_gradient: Vec::new(),
                    best_loss: f64::NEG_INFINITY,
                    losses: Vec::new(),
                    step_size: 0.0,
                    last_best: f64::NEG_INFINITY,
                    halved: true,
                    share: 0.2,
                    moved: x.len() as f64,
                    fooled: None,
                    at,
                    x,
                }
            })
            .collect();
        for (i, phase) in phases.iter().enumerate() {
            for c in &mut all {
                if i > 0 {
                    // The phase with the next smaller radius starts at the best point of the phase before.
                    c.at.clone_from(&c.best);
                    project(&mut c.at, &c.x, self.cfg.norm, phase.eps, bounds, dtype);
                    c.moved = non_zero(&c.at, &c.x).max(1.0);
                    c.share = c.moved / c.x.len() as f64 / 1.5;
                    c.previous.clone_from(&c.at);
                    c.losses.clear();
                    c.best_loss = f64::NEG_INFINITY;
                }
                c.step_size = phase.eps * if self.cfg.norm == Norm::L1 { 1.0 } else { 2.0 };
            }
            self.maximise(probe, &mut all, *phase)?;
        }
        Ok(all)
    }
}

impl Attack for Apgd {
    fn threat(&self) -> Threat {
        self.threat
    }

    fn supports(&self, _input: &[usize], classes: usize) -> Result<()> {
        let goal = if self.cfg.targets.is_some() {
            ExampleGoal::TowardClass { label: 0, target: 1 }
        } else {
            ExampleGoal::Untargeted(0)
        };
        self.cfg.loss.require_classes(goal, classes)?;
        let most = classes.saturating_sub(1);
        let must = format!("at most {most}, the number of wrong classes of the model");
        require("ApgdConfig.targets", self.cfg.targets.is_none_or(|t| t <= most), &must, self.cfg.targets.unwrap_or(0))
    }

    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, rng: &ExampleRng) -> Result<Perturbed> {
        let (mut probe, clean, goals) = Probe::new(model, x, goal)?;
        let k = probe.classes();
        let targets = match (self.cfg.targets, goal) {
            (Some(t), Goal::Untargeted(_)) if t >= k => {
                let reason = format!(
                    "must be at most {}, the number of wrong classes of the model, got {t}",
                    k.saturating_sub(1)
                );
                return Err(Error::config("ApgdConfig.targets", reason));
            }
            (Some(t), Goal::Untargeted(_)) => t,
            _ => 0,
        };
        // The wrong classes by decreasing logit at the clean inputs: the n-th of them is the n-th target.
        let mut order = Vec::new();
        if targets > 0 {
            let rows: Vec<(usize, &[f64])> = clean.iter().map(Vec::as_slice).enumerate().collect();
            for (z, goal) in probe.logits(&rows)?.into_iter().zip(&goals) {
                let ExampleGoal::Untargeted(y) = *goal else { continue };
                order.push(others_by_logit(&z, y));
            }
        }
        let mut out = clean.clone();
        let mut best = vec![f64::NEG_INFINITY; clean.len()];
        let mut live: Vec<usize> = (0..clean.len()).collect();
        for round in 0..targets.max(1) * self.cfg.restarts {
            let (target, restart) = (round / self.cfg.restarts, round % self.cfg.restarts);
            let goal_of = |i: usize| match (goals[i], order.get(i)) {
                (ExampleGoal::Untargeted(label), Some(o)) => ExampleGoal::TowardClass { label, target: o[target] },
                (goal, _) => goal,
            };
            let from = live.iter().map(|&i| (i, goal_of(i), clean[i].clone())).collect();
            for c in self.run(&mut probe, from, &rng.stream(&format!("apgd target {target} start {restart}")))? {
                if let Some(fooled) = c.fooled {
                    out[c.example] = fooled;
                    live.retain(|i| *i != c.example);
                } else if c.best_loss > best[c.example] {
                    best[c.example] = c.best_loss;
                    out[c.example] = c.best;
                }
            }
        }
        probe.finish(&out)
    }
}

//! Auto-PGD: projected gradient descent that finds its own step size.

use crate::geometry::rows::{norm, project};
use crate::loss::{Aim, Loss, others_by_logit};
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
/// | `loss` | cross-entropy | what is climbed | |
/// | `targets` | none | for an untargeted goal: the so many likeliest other classes, one after the other | 1 to K - 1 |
/// | `draws` | 1 | passes that loss and gradient are the mean of, for a randomised model | >= 1 |
/// | `rho` | 0.75 | share of steps that must raise the loss for a step size to stay | in (0, 1) |
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
    /// What is climbed.
    pub loss: Loss,
    /// Target classes.
    pub targets: Option<usize>,
    /// Passes of each evaluation.
    pub draws: usize,
    /// Share of rising steps.
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

/// Projected gradient descent with momentum that starts with steps of twice the radius and halves them, going back to
/// the best point so far, where too few steps raised the loss or nothing was gained since the last look. Looks come
/// after 22 % of the steps, then at intervals that shrink by 3 % of the steps to no less than 6 %. In L1 the steps are
/// sparse, and three radii (3, 2, 1 times `eps`; 30, 30, 40 % of the steps) follow each other.
///
/// An example leaves as soon as it is fooled; else the point of the highest loss is returned. Unlike the authors' code,
/// the random start is each example's own, and the mean over `draws` is taken of logits and loss as well as gradients.
///
/// Source: Croce and Hein (2020), algorithm 1 and section 3 (DLR: equations 6 and 7); for L1 Croce and Hein (2021,
/// "Mind the box"), section 3.
#[derive(Clone, Copy, Debug)]
pub struct Apgd {
    threat: Threat,
    cfg: ApgdConfig,
}

/// One example on its way up.
struct Climb {
    /// Its place in the batch.
    who: usize,
    aim: Aim,
    x: Row,
    at: Row,
    before: Row,
    gradient: Row,
    best: Row,
    best_gradient: Row,
    best_loss: f64,
    losses: Vec<f64>,
    step: f64,
    /// Best loss at the last look, and whether the step was halved there.
    last_best: f64,
    halved: bool,
    /// L1: share of elements that a step moves, and how many had moved at the last look.
    share: f64,
    moved: f64,
    fooled: Option<Row>,
}

/// The radius and number of steps of one phase.
#[derive(Clone, Copy)]
struct Phase {
    eps: f64,
    steps: usize,
    /// Whether what fools the model counts: only inside the threat.
    counts: bool,
}

fn non_zero(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).filter(|(a, b)| a != b).count() as f64
}

impl Climb {
    /// The first momentum step is a plain one.
    fn advance(&mut self, i: usize, n: Norm, eps: f64, bounds: Bounds, dtype: DType) {
        let (a, first) = if i > 0 { (0.75, false) } else { (1.0, true) };
        let mut next = self.at.clone();
        match n {
            Norm::Linf => next.iter_mut().zip(&self.gradient).for_each(|(v, g)| *v += self.step * sign(*g)),
            Norm::L2 => {
                let length = norm(self.gradient.iter().copied(), n).max(f64::MIN_POSITIVE);
                next.iter_mut().zip(&self.gradient).for_each(|(v, g)| *v += self.step * g / length);
            }
            Norm::L1 => {
                let d = next.len();
                let at = (((1.0 - self.share) * d as f64).max(0.0) as usize).min(d - 1);
                let mut size: Vec<f64> = self.gradient.iter().map(|g| g.abs()).collect();
                let (_, least, _) = size.select_nth_unstable_by(at, f64::total_cmp);
                let least = *least;
                let chosen = |g: f64| g != 0.0 && g.abs() >= least;
                let count = self.gradient.iter().filter(|g| chosen(**g)).count() as f64 + 1e-10;
                let step = self.step / count;
                next.iter_mut().zip(&self.gradient).filter(|e| chosen(*e.1)).for_each(|(v, g)| *v += step * sign(*g));
            }
        }
        project(&mut next, &self.x, (n, eps), bounds, dtype);
        if n != Norm::L1 && !first {
            for ((v, at), before) in next.iter_mut().zip(&self.at).zip(&self.before) {
                *v = at + (*v - at) * a + (at - before) * (1.0 - a);
            }
            project(&mut next, &self.x, (n, eps), bounds, dtype);
        }
        self.before = std::mem::replace(&mut self.at, next);
    }

    fn hear(&mut self, value: f64, gradient: Row) {
        self.gradient = gradient;
        self.losses.push(value);
        if value > self.best_loss {
            self.best_loss = value;
            self.best.clone_from(&self.at);
            self.best_gradient.clone_from(&self.gradient);
        }
    }

    /// Linf and L2: halves the step and goes back to the best point where the last `k` steps were not worth it.
    fn look(&mut self, k: usize, rho: f64) {
        let recent = &self.losses[self.losses.len() - 1 - k..];
        let rising = recent.windows(2).filter(|w| w[1] > w[0]).count() as f64;
        let stuck = !self.halved && self.last_best >= self.best_loss;
        self.halved = rising <= k as f64 * rho || stuck;
        self.last_best = self.best_loss;
        if self.halved {
            self.step /= 2.0;
            self.back();
        }
    }

    /// L1: the sparsity follows that of the best point; where it has fallen, steps start long again.
    fn look_sparse(&mut self, eps: f64) {
        let moved = non_zero(&self.best, &self.x);
        let sparser = moved / self.moved < 0.95;
        self.share = moved / self.x.len() as f64 / 1.5;
        self.step = if sparser { eps } else { (self.step / 1.5).clamp(eps / 10.0, eps) };
        self.moved = moved;
        if sparser {
            self.back();
        }
    }

    fn back(&mut self) {
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

    /// A random start on the ball: uniform in the cube and blown up to its faces for Linf, a random direction of full
    /// length for L2, a normal vector projected for L1.
    fn start(&self, x: &[f64], rng: &sconce_tensor_core::Rng, eps: f64, bounds: Bounds, dtype: DType) -> Row {
        let n = self.cfg.norm;
        let mut t: Row = match n {
            Norm::Linf => rng.uniforms(x.len()).into_iter().map(|u| 2.0 * u - 1.0).collect(),
            _ => rng.normals(x.len()),
        };
        let scale = if n == Norm::L1 { 1.0 } else { eps / (norm(t.iter().copied(), n) + 1e-12) };
        t.iter_mut().zip(x).for_each(|(t, x)| *t = x + scale * *t);
        project(&mut t, x, (n, eps), bounds, dtype);
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

    /// Climbs from where each example stands, in lock step.
    fn climb(&self, probe: &mut Probe<'_>, all: &mut [Climb], phase: Phase) -> Result<()> {
        let (n, eps, bounds, dtype) = (self.cfg.norm, phase.eps, probe.bounds(), probe.dtype());
        let least = (0.06 * self.cfg.steps as f64).max(1.0) as usize;
        let shrink = (0.03 * self.cfg.steps as f64).max(1.0) as usize;
        let first = if n == Norm::L1 { 0.04 } else { 0.22 };
        let (mut k, mut since) = ((first * phase.steps as f64).max(1.0) as usize, 0);
        self.evaluate(probe, all, phase.counts)?;
        for c in all.iter_mut() {
            c.last_best = c.best_loss;
        }
        for i in 0..phase.steps {
            let mut live: Vec<&mut Climb> = all.iter_mut().filter(|c| c.fooled.is_none()).collect();
            if live.is_empty() {
                break;
            }
            live.par_iter_mut().for_each(|c| c.advance(i, n, eps, bounds, dtype));
            self.evaluate(probe, all, phase.counts)?;
            since += 1;
            if since == k {
                for c in all.iter_mut().filter(|c| c.fooled.is_none()) {
                    if n == Norm::L1 { c.look_sparse(eps) } else { c.look(k, self.cfg.rho) }
                }
                since = 0;
                k = if n == Norm::L1 { k } else { k.saturating_sub(shrink).max(least) };
            }
        }
        Ok(())
    }

    /// Loss and gradient where the examples that are not fooled yet stand.
    fn evaluate(&self, probe: &mut Probe<'_>, all: &mut [Climb], counts: bool) -> Result<()> {
        let mut live: Vec<&mut Climb> = all.iter_mut().filter(|c| c.fooled.is_none()).collect();
        let rows: Vec<(usize, &[f64])> = live.iter().map(|c| (c.who, c.at.as_slice())).collect();
        let aims: Vec<Aim> = live.iter().map(|c| c.aim).collect();
        let mut answers = probe.slopes(&rows, |i, z| self.cfg.loss.at(z, aims[i]))?;
        if self.cfg.draws > 1 {
            for _ in 1..self.cfg.draws {
                for (sum, more) in answers.iter_mut().zip(probe.slopes(&rows, |i, z| self.cfg.loss.at(z, aims[i]))?) {
                    sum.value += more.value;
                    sum.logits.iter_mut().zip(more.logits).for_each(|(s, m)| *s += m);
                    sum.gradient.iter_mut().zip(more.gradient).for_each(|(s, m)| *s += m);
                }
            }
            let share = 1.0 / self.cfg.draws as f64;
            answers.iter_mut().for_each(|a| {
                a.value *= share;
                a.logits.iter_mut().chain(&mut a.gradient).for_each(|v| *v *= share);
            });
        }
        drop(rows);
        for (c, a) in live.iter_mut().zip(answers) {
            if counts && c.aim.reached(&a.logits) {
                c.fooled = Some(c.at.clone());
            }
            c.hear(a.value, a.gradient);
        }
        Ok(())
    }

    /// One start for each of the examples; what came of them.
    fn run(&self, probe: &mut Probe<'_>, from: Vec<(usize, Aim, Row)>, rng: &ExampleRng) -> Result<Vec<Climb>> {
        let (bounds, dtype, phases) = (probe.bounds(), probe.dtype(), self.phases());
        let random = |who: usize, x: &[f64]| self.start(x, &rng.row(who), phases[0].eps, bounds, dtype);
        let mut all: Vec<Climb> = from
            .into_par_iter()
            .map(|(who, aim, x)| {
                let at = random(who, &x);
                Climb {
                    who,
                    aim,
                    before: at.clone(),
                    gradient: Vec::new(),
                    best: at.clone(),
                    best_gradient: Vec::new(),
                    best_loss: f64::NEG_INFINITY,
                    losses: Vec::new(),
                    step: 0.0,
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
                    // The next, smaller ball starts from the best point of the last.
                    c.at.clone_from(&c.best);
                    project(&mut c.at, &c.x, (self.cfg.norm, phase.eps), bounds, dtype);
                    c.moved = non_zero(&c.at, &c.x).max(1.0);
                    c.share = c.moved / c.x.len() as f64 / 1.5;
                    c.before.clone_from(&c.at);
                    c.losses.clear();
                    c.best_loss = f64::NEG_INFINITY;
                }
                c.step = phase.eps * if self.cfg.norm == Norm::L1 { 1.0 } else { 2.0 };
            }
            self.climb(probe, &mut all, *phase)?;
        }
        Ok(all)
    }
}

impl Attack for Apgd {
    fn threat(&self) -> Threat {
        self.threat
    }

    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, rng: &ExampleRng) -> Result<Perturbed> {
        let (mut probe, clean) = Probe::new(model, x)?;
        let k = probe.classes();
        let aims = Aim::of(goal)?;
        let targets = match (self.cfg.targets, goal) {
            (Some(t), Goal::Untargeted(_)) if t >= k => {
                let reason = format!("{t} target classes are asked for, the model has {} others", k.saturating_sub(1));
                return Err(Error::config("ApgdConfig.targets", reason));
            }
            (Some(t), Goal::Untargeted(_)) => t,
            _ => 0,
        };
        // The classes by falling logit at the clean inputs; the n-th likeliest but the label is the n-th target.
        let mut order = Vec::new();
        if targets > 0 {
            let rows: Vec<(usize, &[f64])> = clean.iter().map(Vec::as_slice).enumerate().collect();
            for (z, aim) in probe.logits(&rows)?.into_iter().zip(&aims) {
                let Aim::Away(y) = *aim else { continue };
                order.push(others_by_logit(&z, y));
            }
        }
        let mut out = clean.clone();
        let mut best = vec![f64::NEG_INFINITY; clean.len()];
        let mut live: Vec<usize> = (0..clean.len()).collect();
        for round in 0..targets.max(1) * self.cfg.restarts {
            let (target, restart) = (round / self.cfg.restarts, round % self.cfg.restarts);
            let aim = |i: usize| match (aims[i], order.get(i)) {
                (Aim::Away(label), Some(o)) => Aim::Toward { label, into: o[target] },
                (aim, _) => aim,
            };
            let from = live.iter().map(|&i| (i, aim(i), clean[i].clone())).collect();
            for c in self.run(&mut probe, from, &rng.stream(&format!("apgd target {target} start {restart}")))? {
                if let Some(fooled) = c.fooled {
                    out[c.who] = fooled;
                    live.retain(|i| *i != c.who);
                } else if c.best_loss > best[c.who] {
                    best[c.who] = c.best_loss;
                    out[c.who] = c.best;
                }
            }
        }
        probe.finish(&out)
    }
}

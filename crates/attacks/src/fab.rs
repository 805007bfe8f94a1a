//! FAB: the fast adaptive boundary attack.

use crate::geometry::rows::{distance, dual, norm, to_hyperplane};
use crate::loss::{Aim, Loss, Slope, others_by_logit, rival};
use crate::probe::{Answer, Probe, Row, some};
use candle_core::Tensor;
use rayon::prelude::*;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Attack, Bounds, Classifier, Error, ExampleRng, Goal, Norm, Perturbed, Result, Threat};

/// Configuration of [`Fab`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `norm` | Linf | the norm that is made small | |
/// | `steps` | 100 | steps per start | >= 1 |
/// | `restarts` | 1 | starts: the first at the input, the others at random | >= 1 |
/// | `targets` | 9 | the so many likeliest other classes, one after the other (at most K - 1); none looks at all boundaries in each step, at K gradients | >= 1 |
/// | `radius` | 0.1 | twice the radius of the random starts | finite, > 0 |
/// | `alpha` | 0.1 | largest pull back to the input | in [0, 1] |
/// | `overshoot` | 1.05 | how far past the boundary a step goes | >= 1 |
/// | `backward` | 0.9 | share of the way from the input kept after the boundary was crossed | in (0, 1) |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FabConfig {
    /// The norm that is made small.
    pub norm: Norm,
    /// Steps per start.
    pub steps: usize,
    /// Starts.
    pub restarts: usize,
    /// Target classes.
    pub targets: Option<usize>,
    /// Scale of the random starts.
    pub radius: f64,
    /// Largest pull back to the input.
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

/// Looks for the smallest perturbation: each step goes to the boundary as it looks from where it stands (a hyperplane,
/// met inside the box), biased towards the point of that plane that is nearest to the input; where it has crossed, it
/// goes a part of the way back. The smallest success is returned, the input itself where there is none.
///
/// For an untargeted goal; its classes are tried one after the other.
///
/// Source: Croce and Hein (2020, "Minimally distorted adversarial examples"), algorithm 1; the targeted form of Croce and
/// Hein (2020, AutoAttack), section 4.
#[derive(Clone, Copy, Debug)]
pub struct Fab {
    cfg: FabConfig,
}

/// One example's search.
struct Walk {
    who: usize,
    label: usize,
    into: Option<usize>,
    at: Row,
}

/// The nearest boundary, as it looks from a point: the value of its function there and its gradient.
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

    /// The boundaries that the walks look at: towards their class, or the nearest of all.
    fn planes(&self, probe: &mut Probe<'_>, walks: &[Walk]) -> Result<Vec<Plane>> {
        let rows: Vec<(usize, &[f64])> = walks.iter().map(|w| (w.who, w.at.as_slice())).collect();
        let plane = |a: Answer| Plane { value: a.value, gradient: a.gradient };
        if walks.iter().all(|w| w.into.is_some()) {
            let answers = probe.slopes(&rows, |i, z| {
                let (label, into) = (walks[i].label, walks[i].into.unwrap_or_else(|| rival(z, walks[i].label)));
                Loss::Margin.at(z, Aim::Toward { label, into })
            })?;
            return Ok(answers.into_iter().map(plane).collect());
        }
        let mut nearest: Vec<Option<(f64, Plane)>> = walks.iter().map(|_| None).collect();
        for class in 0..probe.classes() {
            let answers = probe.slopes(&rows, |i, z| {
                if walks[i].label == class {
                    return Ok(Slope { value: f64::INFINITY, by_logit: vec![0.0; z.len()] });
                }
                Loss::Margin.at(z, Aim::Toward { label: walks[i].label, into: class })
            })?;
            for (best, a) in nearest.iter_mut().zip(answers).filter(|e| e.1.value.is_finite()) {
                let away = a.value.abs() / (1e-12 + dual(&a.gradient, self.cfg.norm));
                if best.as_ref().is_none_or(|b| away < b.0) {
                    *best = Some((away, plane(a)));
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
        // The plane: value + w . (p - at) = 0; from the input its height is value + w . (x - at).
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

/// A random point within half a radius of the input, at full length of that half.
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
            let reason = "it tries the classes one after the other; use PGD or FMN for one class".to_owned();
            return Err(Error::Unsupported { what: "FAB with a target", reason });
        };
        let labels = labels.to_vec1::<u32>()?;
        let (mut probe, clean) = Probe::new(model, x)?;
        let (n, bounds, k) = (self.cfg.norm, probe.bounds(), probe.classes());
        let everyone: Vec<usize> = (0..clean.len()).collect();
        let logits = probe.logits(&some(&clean, &everyone))?;
        let open: Vec<usize> =
            everyone.into_iter().filter(|&i| !Aim::Away(labels[i] as usize).reached(&logits[i])).collect();
        let mut out = clean.clone();
        let mut smallest = vec![f64::INFINITY; clean.len()];
        let targets = self.cfg.targets.map(|t| t.min(k.saturating_sub(1)));
        for round in 0..targets.unwrap_or(1) * self.cfg.restarts {
            let (target, restart) = (round / self.cfg.restarts, round % self.cfg.restarts);
            let noise = rng.stream(&format!("fab target {target} start {restart}"));
            let mut walks: Vec<Walk> = open
                .iter()
                .map(|&who| {
                    let label = labels[who] as usize;
                    let into = targets.map(|_| others_by_logit(&logits[who], label)[target]);
                    let radius = self.cfg.radius.min(smallest[who]);
                    let at = if restart == 0 {
                        clean[who].clone()
                    } else {
                        start(&clean[who], &noise.row(who), n, radius, bounds)
                    };
                    Walk { who, label, into, at }
                })
                .collect();
            for _ in 0..self.cfg.steps {
                let planes = self.planes(&mut probe, &walks)?;
                walks.par_iter_mut().zip(planes).for_each(|(w, p)| self.step(w, &p, &clean[w.who], bounds));
                let rows: Vec<(usize, &[f64])> = walks.iter().map(|w| (w.who, w.at.as_slice())).collect();
                let said = probe.logits(&rows)?;
                drop(rows);
                for (w, z) in walks.iter_mut().zip(said) {
                    if !Aim::Away(w.label).reached(&z) {
                        continue;
                    }
                    let x = &clean[w.who];
                    let length = distance(&w.at, x, n);
                    if length < smallest[w.who] {
                        smallest[w.who] = length;
                        out[w.who].clone_from(&w.at);
                    }
                    w.at.iter_mut().zip(x).for_each(|(a, x)| *a = x + (*a - x) * self.cfg.backward);
                }
            }
        }
        probe.finish(&out)
    }
}

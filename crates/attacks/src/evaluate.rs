//! Robust accuracies that one can trust: a suite of attacks over radii, example by example.

use crate::flags::{self, DiagnosisConfig, Flag};
use crate::ledger::{Entry, Ledger, within};
use crate::run::{check, run_batch};
use crate::suite::{Access, Suite};
use crate::{RunConfig, geometry};
use candle_core::Tensor;
use sconce_tensor_core::error::require;
use sconce_tensor_core::stats::{Interval, Proportion};
use sconce_tensor_core::{Classifier, Error, ExampleRng, Goal, Norm, Result, Rng, Threat};
use std::fmt;
use std::path::Path;

/// Configuration of [`evaluate`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `norm` | Linf | norm of the threat | |
/// | `eps` | [8/255] | radii, in the input's units | finite, >= 0, rising, at least one |
/// | `survivors_only` | true | later attacks see only what earlier ones left (else each sees all that is classified right) | |
/// | `seed` | 0 | of all attacks | |
/// | `run` | | how batches are cut; results do not depend on it | |
/// | `diagnosis` | on | the checks behind the flags | |
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationConfig {
    /// Norm of the threat.
    pub norm: Norm,
    /// Radii, rising.
    pub eps: Vec<f64>,
    /// Whether later attacks see survivors only.
    pub survivors_only: bool,
    /// The seed of all attacks.
    pub seed: u64,
    /// How batches are cut.
    pub run: RunConfig,
    /// The checks behind the flags; without them the status says so.
    pub diagnosis: Option<DiagnosisConfig>,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            norm: Norm::Linf,
            eps: vec![8.0 / 255.0],
            survivors_only: true,
            seed: 0,
            run: RunConfig::default(),
            diagnosis: Some(DiagnosisConfig::default()),
        }
    }
}

/// Where an evaluation stands.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The attack that runs.
    pub attack: &'a str,
    /// Its radius; infinite where it looks for the smallest perturbation.
    pub eps: f64,
    /// Examples done by it, and all that it is run on.
    pub done: usize,
    /// All that it is run on.
    pub total: usize,
    /// Examples still robust at the radius (at the smallest radius for an infinite one).
    pub robust: usize,
}

/// How far a robust accuracy is to be trusted.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// The checks were not run.
    Unchecked,
    /// The checks found nothing.
    Sound,
    /// The checks found these: read them before the number.
    Flagged(Vec<Flag>),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchecked => write!(f, "not checked"),
            Self::Sound => write!(f, "no flags"),
            Self::Flagged(flags) => {
                let names: Vec<&str> = flags.iter().map(|f| f.kind.name()).collect();
                write!(f, "FLAGGED: {}", names.join(", "))
            }
        }
    }
}

/// A robust accuracy with what one must know to use it.
#[derive(Clone, Debug, PartialEq)]
pub struct RobustAccuracy {
    /// The threat.
    pub threat: Threat,
    /// The suite.
    pub suite: String,
    /// Examples that no attack fooled, of all.
    pub robust: Proportion,
    /// Wilson's interval at 95 %, over the draw of the examples.
    pub ci95: Interval,
    /// How far to trust it.
    pub status: Status,
}

impl fmt::Display for RobustAccuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (r, ci) = (self.robust, self.ci95);
        write!(
            f,
            "{:.4} [{:.4}, {:.4}] ({} of {}) at {:?} {:.5} under {}; {}",
            r.rate(),
            ci.lo,
            ci.hi,
            r.hits,
            r.total,
            self.threat.norm(),
            self.threat.eps(),
            self.suite,
            self.status
        )
    }
}

/// What an evaluation came to.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The suite.
    pub suite: String,
    /// What differs from the suite as published.
    pub notes: Vec<String>,
    /// The radii.
    pub eps: Vec<f64>,
    /// Every attack on every example.
    pub ledger: Ledger,
    /// How far to trust the accuracies.
    pub status: Status,
}

impl Evaluation {
    /// The share of clean inputs classified right.
    pub fn clean_accuracy(&self) -> Proportion {
        Proportion::of(&self.ledger.clean)
    }

    /// Robust accuracy at each radius, with its status.
    ///
    /// # Errors
    /// None in practice: the radii were checked.
    pub fn robust_accuracies(&self) -> Result<Vec<RobustAccuracy>> {
        self.eps
            .iter()
            .map(|&eps| {
                let robust = self.ledger.accuracy(eps);
                Ok(RobustAccuracy {
                    threat: Threat::new(self.ledger.norm, eps)?,
                    suite: self.suite.clone(),
                    robust,
                    ci95: robust.wilson95(),
                    status: self.status.clone(),
                })
            })
            .collect()
    }
}

/// Runs a suite against a model at all radii.
///
/// Attacks are run in the suite's order, each at the radii in rising order; one that looks for the smallest perturbation
/// is run once for all. An example that is fooled within a radius counts as fooled at every larger one. Results do not
/// depend on how batches are cut nor on the number of threads. With a `file` the ledger is saved after each batch, and
/// a run that was stopped goes on from there (a randomised model cannot: its outputs are part of what tells files apart).
///
/// # Shapes
/// `x` (N, ...), `labels` (N,) of u32.
///
/// # Errors
/// Inputs, labels and model as in [`crate::run`]; radii that are not rising or larger than the box; two attacks of one
/// name; a file of another model, data or suite; what `watch` returns ends the run.
pub fn evaluate(
    model: &dyn Classifier,
    x: &Tensor,
    labels: &Tensor,
    suite: &Suite<'_>,
    cfg: &EvaluationConfig,
    file: Option<&Path>,
    watch: &mut dyn FnMut(Standing<'_>) -> Result<()>,
) -> Result<Evaluation> {
    let (mut ledger, threats) = begin(model, x, labels, suite, cfg, file)?;
    let batch = cfg.run.batch(x)?;
    let rng = Rng::new(cfg.seed);
    for entry in &suite.attacks {
        let stream = rng.stream(&entry.name);
        for threat in &threats {
            let attack = entry.attack(*threat)?;
            let free = attack.threat().is_unbounded();
            let eps = if free { f64::INFINITY } else { threat.eps() };
            let floor = if free { threats[0].eps() } else { eps };
            let at = ledger.place(&entry.name, eps);
            let open = ledger.open(at, floor, cfg.survivors_only);
            let done: std::collections::HashSet<u32> = ledger.entries[at].examples.iter().copied().collect();
            let left: Vec<u32> = open.iter().copied().filter(|i| !done.contains(i)).collect();
            let mut count = done.len();
            for rows in left.chunks(batch) {
                let index = Tensor::new(rows, x.device())?;
                let part = x.contiguous()?.index_select(&index, 0)?.detach();
                let goal = Goal::Untargeted(labels.contiguous()?.index_select(&index, 0)?);
                let examples = rows.iter().map(|&i| cfg.run.first_example + u64::from(i)).collect();
                let judged = run_batch(&*attack, model, &part, &goal, &ExampleRng::new(stream, examples))?;
                let e = &mut ledger.entries[at];
                e.examples.extend(rows);
                e.reached.extend(judged.reached);
                e.distance.extend(judged.distance);
                e.margin.extend(judged.margin);
                e.forwards.extend(judged.effort.iter().map(|e| e.forwards));
                e.gradients.extend(judged.effort.iter().map(|e| e.gradients));
                if let Some(path) = file {
                    ledger.save(path)?;
                }
                count += rows.len();
                let robust = ledger.accuracy(floor).hits;
                watch(Standing { attack: &entry.name, eps, done: count, total: open.len(), robust })?;
            }
            if free {
                break;
            }
        }
    }
    let status = match &cfg.diagnosis {
        None => Status::Unchecked,
        Some(d) => {
            let mut found = flags::diagnose(model, x, labels, threats[0], d)?;
            flags::from_ledger(&ledger, suite, &cfg.eps, &mut found);
            if found.is_empty() { Status::Sound } else { Status::Flagged(found) }
        }
    };
    Ok(Evaluation { suite: suite.name.clone(), notes: suite.notes.clone(), eps: cfg.eps.clone(), ledger, status })
}

/// Checks what was given; the ledger to go on from, and the threats.
fn begin(
    model: &dyn Classifier,
    x: &Tensor,
    labels: &Tensor,
    suite: &Suite<'_>,
    cfg: &EvaluationConfig,
    file: Option<&Path>,
) -> Result<(Ledger, Vec<Threat>)> {
    check(model, x, &Goal::Untargeted(labels.clone()))?;
    require("EvaluationConfig.eps", !cfg.eps.is_empty(), "at least one radius", "none")?;
    let rising = cfg.eps.windows(2).all(|w| w[0] < w[1]);
    require("EvaluationConfig.eps", rising, "rising", format!("{:?}", cfg.eps))?;
    let most = geometry::diameter(cfg.norm, x.elem_count() / x.dim(0)?, model.bounds());
    if let Some(eps) = cfg.eps.iter().find(|e| **e > most) {
        let reason = format!("must not be larger than the box, {most} across in {:?}, got {eps}", cfg.norm);
        return Err(Error::config("EvaluationConfig.eps", reason));
    }
    let threats: Vec<Threat> = cfg.eps.iter().map(|&e| Threat::new(cfg.norm, e)).collect::<Result<_>>()?;
    let mut names: Vec<&str> = suite.attacks.iter().map(|a| a.name.as_str()).collect();
    let what = format!(
        "{}: {}; {:?} {:?}; survivors only {}",
        suite.name,
        names.join(", "),
        cfg.norm,
        cfg.eps,
        cfg.survivors_only
    );
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|w| w[0] == w[1]) {
        return Err(Error::config("Suite.attacks", format!("`{}` is there twice", twice[0])));
    }
    let fresh = Ledger::new(model, x, labels, (cfg.norm, cfg.seed), &what, cfg.run.batch(x)?)?;
    let Some(path) = file.filter(|p| p.exists()) else { return Ok((fresh, threats)) };
    let found = Ledger::load(path)?;
    if found.fingerprint != fresh.fingerprint {
        let (found, wanted) = (found.fingerprint, fresh.fingerprint);
        let reason = format!("a ledger of another model, data or suite\n  found    {found}\n  expected {wanted}");
        return Err(Error::Checkpoint { path: path.to_owned(), reason });
    }
    Ok((found, threats))
}

/// The examples that attacks of one kind fooled within `eps`.
pub(crate) fn fooled_by(ledger: &Ledger, suite: &Suite<'_>, access: Access, eps: f64) -> Vec<bool> {
    let of_kind = |e: &Entry| suite.attacks.iter().any(|a| a.name == e.attack && a.access == access);
    let least = ledger.smallest_by(of_kind);
    least.into_iter().zip(&ledger.clean).map(|(d, c)| *c && within(d, eps)).collect()
}

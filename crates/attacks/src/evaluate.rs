//! Robust accuracy under a suite of attacks, at several radii.

use crate::flags::{self, DiagnosisConfig, Flag};
use crate::ledger::{Ledger, Part};
use crate::run::{check, run_batch};
use crate::suite::Suite;
use crate::{RunConfig, geometry};
use candle_core::Tensor;
use sconce_tensor_core::error::require;
use sconce_tensor_core::stats::{Interval, Proportion};
use sconce_tensor_core::{Classifier, Error, ExampleRng, Goal, Norm, Result, Rng, Threat};
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

/// Configuration of [`evaluate`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `norm` | Linf | norm of the threat | |
/// | `eps` | [8/255] | radii, in the input's units | finite, >= 0, strictly increasing, at least one |
/// | `survivors_only` | true | each attack runs only on the examples that no earlier attack fooled (if false: on every example that is classified correctly) | |
/// | `seed` | 0 | seed of all attacks | |
/// | `run` | | batch size; results do not depend on it | |
/// | `part` | none | attack a part of the examples only; [`Ledger::merge`] joins the parts | |
/// | `diagnosis` | on | configuration of the checks that raise the trust flags; `None` skips them | |
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationConfig {
    /// Norm of the threat.
    pub norm: Norm,
    /// Radii, strictly increasing.
    pub eps: Vec<f64>,
    /// Whether each attack runs only on the examples that no earlier attack fooled.
    pub survivors_only: bool,
    /// Seed of all attacks.
    pub seed: u64,
    /// Batch size.
    pub run: RunConfig,
    /// The part of the examples that is attacked; all examples without one. The ledger then is that of a part, and the status [`Status::Unchecked`].
    pub part: Option<Part>,
    /// The checks that raise the trust flags; without them the status is [`Status::Unchecked`].
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
            part: None,
            diagnosis: Some(DiagnosisConfig::default()),
        }
    }
}

/// Progress of an evaluation, reported after each batch.
#[derive(Clone, Copy, Debug)]
pub struct EvaluationProgress<'a> {
    /// Name of the attack that is running.
    pub attack: &'a str,
    /// Radius of the attack; infinite for a minimum-norm attack.
    pub eps: f64,
    /// Examples that this attack has finished.
    pub done: usize,
    /// Examples that this attack runs on in total.
    pub total: usize,
    /// Examples that are still robust at this radius (for a minimum-norm attack: at the smallest radius).
    pub robust: usize,
}

/// Warnings about a robust accuracy: reasons why the true accuracy may be lower.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// The checks were not run.
    Unchecked,
    /// The checks raised no flag.
    Sound,
    /// The checks raised these flags, so the number may be too optimistic.
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

/// A robust accuracy with its threat, suite, interval and warnings.
#[derive(Clone, Debug, PartialEq)]
pub struct RobustAccuracy {
    /// The threat: norm and radius.
    pub threat: Threat,
    /// Name of the suite.
    pub suite: String,
    /// Examples that no attack fooled, out of all examples.
    pub robust: Proportion,
    /// Wilson's 95 % confidence interval; it covers the sampling of the examples.
    pub ci95: Interval,
    /// Warnings about this number.
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

/// The result of an evaluation.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Name of the suite.
    pub suite: String,
    /// Differences from the published suite.
    pub notes: Vec<String>,
    /// The radii, strictly increasing.
    pub eps: Vec<f64>,
    /// The result of every attack on every example.
    pub ledger: Ledger,
    /// Warnings about the accuracies.
    pub status: Status,
}

impl Evaluation {
    /// The share of clean inputs that are classified correctly.
    pub fn clean_accuracy(&self) -> Proportion {
        Proportion::of(&self.ledger.clean)
    }

    /// Robust accuracy at each radius, with its status.
    ///
    /// # Errors
    /// A radius is not valid; [`evaluate`] has checked them, so this does not happen in its results.
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

/// Runs a suite of attacks on a model at all radii.
///
/// The attacks run in the suite's order, each at the radii in increasing order; a minimum-norm attack runs once for all
/// radii. At a radius of 0 no attack runs: the accuracy is the clean one. An example that is fooled within a radius counts as fooled at every larger radius. Results do not depend on
/// the batch size or on the number of threads. With a `file` the ledger is saved after each batch, and an interrupted
/// run continues from it. A randomised model cannot resume, because its clean logits are part of the fingerprint that
/// identifies the file.
///
/// # Shapes
/// `x` (N, ...), `labels` (N,) of u32.
///
/// # Errors
/// Inputs, labels and model as in [`crate::run`]; the radii are not strictly increasing, or one is larger than the box;
/// two attacks have the same name; an attack is not defined for these inputs or this number of classes; the file belongs to another model, data set or suite; `on_progress` returns an error,
/// which ends the run.
pub fn evaluate(
    model: &dyn Classifier,
    x: &Tensor,
    labels: &Tensor,
    suite: &Suite<'_>,
    cfg: &EvaluationConfig,
    file: Option<&Path>,
    on_progress: &mut dyn FnMut(EvaluationProgress<'_>) -> Result<()>,
) -> Result<Evaluation> {
    let threats = check_setup(model, x, labels, suite, cfg)?;
    let batch = cfg.run.batch(x)?;
    let mut ledger = Ledger::new(model, x, labels, cfg.norm, cfg.seed, &describe(suite, cfg), batch)?;
    if let Some(part) = cfg.part {
        ledger.mark(part);
    }
    if let Some(found) = file.map_or(Ok(None), |f| Ledger::resume(f, &ledger.fingerprint))? {
        ledger = found;
    }
    let rng = Rng::new(cfg.seed);
    for attack_entry in &suite.attacks {
        let stream = rng.stream(&attack_entry.name);
        for threat in threats.iter().filter(|t| t.eps() > 0.0) {
            let attack = attack_entry.attack(*threat)?;
            let minimum_norm = attack.threat().is_unbounded();
            let eps = if minimum_norm { f64::INFINITY } else { threat.eps() };
            let entry = ledger.entry_index(&attack_entry.name, eps);
            let mut examples = ledger.examples_to_attack(entry, threat.eps(), cfg.survivors_only);
            examples.retain(|row| cfg.part.is_none_or(|part| part.has(*row)));
            let finished: HashSet<u32> = ledger.entries[entry].examples.iter().copied().collect();
            let remaining: Vec<u32> = examples.iter().copied().filter(|i| !finished.contains(i)).collect();
            let mut done = finished.len();
            for rows in remaining.chunks(batch) {
                let index = Tensor::new(rows, x.device())?;
                let part = x.contiguous()?.index_select(&index, 0)?.detach();
                let goal = Goal::Untargeted(labels.contiguous()?.index_select(&index, 0)?);
                let indices = rows.iter().map(|&i| cfg.run.first_example + u64::from(i)).collect();
                let result = run_batch(&*attack, model, &part, &goal, &ExampleRng::new(stream, indices))?;
                ledger.entries[entry].record(rows, result);
                if let Some(path) = file {
                    ledger.save(path)?;
                }
                done += rows.len();
                let robust = ledger.accuracy(threat.eps()).hits;
                on_progress(EvaluationProgress {
                    attack: &attack_entry.name,
                    eps,
                    done,
                    total: examples.len(),
                    robust,
                })?;
            }
            if minimum_norm {
                break;
            }
        }
    }
    let status = match cfg.diagnosis.as_ref().filter(|_| cfg.part.is_none()) {
        None => Status::Unchecked,
        Some(d) => {
            let smallest = threats.iter().find(|t| t.eps() > 0.0).unwrap_or(&threats[0]);
            let mut found = flags::diagnose(model, x, labels, *smallest, d)?;
            flags::from_ledger(&ledger, suite, &cfg.eps, &mut found);
            found.extend(flags::chance_accuracy(Proportion::of(&ledger.clean), &ledger.labels, model.classes()));
            if found.is_empty() { Status::Sound } else { Status::Flagged(found) }
        }
    };
    Ok(Evaluation { suite: suite.name.clone(), notes: suite.notes.clone(), eps: cfg.eps.clone(), ledger, status })
}

/// Checks inputs, radii and suite; returns one threat per radius.
fn check_setup(
    model: &dyn Classifier,
    x: &Tensor,
    labels: &Tensor,
    suite: &Suite<'_>,
    cfg: &EvaluationConfig,
) -> Result<Vec<Threat>> {
    check(model, x, &Goal::Untargeted(labels.clone()))?;
    require("EvaluationConfig.eps", !cfg.eps.is_empty(), "at least one radius", "none")?;
    let increasing = cfg.eps.windows(2).all(|w| w[0] < w[1]);
    require("EvaluationConfig.eps", increasing, "strictly increasing", format!("{:?}", cfg.eps))?;
    let diameter = geometry::diameter(cfg.norm, x.elem_count() / x.dim(0)?, model.bounds());
    if let Some(eps) = cfg.eps.iter().find(|e| **e > diameter) {
        let reason =
            format!("must not be larger than the box, whose diameter in {:?} is {diameter}, got {eps}", cfg.norm);
        return Err(Error::config("EvaluationConfig.eps", reason));
    }
    let threats: Vec<Threat> = cfg.eps.iter().map(|&e| Threat::new(cfg.norm, e)).collect::<Result<_>>()?;
    let mut names: Vec<&str> = suite.attacks.iter().map(|a| a.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|w| w[0] == w[1]) {
        return Err(Error::config("Suite.attacks", format!("two attacks have the name `{}`", pair[0])));
    }
    // An attack that cannot run is found before the others have worked for hours.
    for entry in &suite.attacks {
        for threat in threats.iter().filter(|t| t.eps() > 0.0) {
            entry.attack(*threat)?.supports(x.dims(), model.classes()).map_err(|e| {
                let reason = format!("`{}` cannot run on this model and these inputs: {e}", entry.name);
                Error::config("Suite.attacks", reason)
            })?;
        }
    }
    Ok(threats)
}

/// Suite and threat as text, for the ledger's fingerprint.
fn describe(suite: &Suite<'_>, cfg: &EvaluationConfig) -> String {
    let names: Vec<&str> = suite.attacks.iter().map(|a| a.name.as_str()).collect();
    format!("{}: {}; {:?} {:?}; survivors only {}", suite.name, names.join(", "), cfg.norm, cfg.eps, cfg.survivors_only)
}

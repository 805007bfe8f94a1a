//! The work: a suite of attacks on a network.

use super::input::{Examples, device, sha256};
use super::model::{Opened, Told, open_for};
use super::pictures::{Picture, pictures};
use super::threat::{Threats, radius};
use crate::args::{Attack, Suite as SuiteName};
use crate::stop;
use crate::terminal::Terminal;
use anyhow::{Result, bail};
use sconce_attacks::{
    AutoAttack, DiagnosisConfig, Evaluation, EvaluationConfig, LedgerEntry, Norm, Part, RunConfig, Status, Suite,
    evaluate as run,
};
use sconce_tensor_core::Error;
use sconce_tensor_core::error::describe;
use std::path::Path;

/// An evaluation with all that a reader of its report wants to know.
pub(crate) struct Evaluated {
    pub(crate) result: Evaluation,
    pub(crate) threats: Threats,
    pub(crate) examples: Examples,
    /// Adversarial examples that were found; empty where no page shows them.
    pub(crate) pictures: Vec<Picture>,
    /// SHA-256 of the weights' file.
    pub(crate) weights: String,
    /// What is told of the model.
    pub(crate) told: Told,
    pub(crate) device: String,
    pub(crate) seconds: f64,
}

impl Evaluated {
    /// The examples that an attack fooled within its radius; for a minimum-norm attack, within the largest radius.
    pub(crate) fn fooled(&self, e: &LedgerEntry) -> usize {
        let largest = self.result.eps.last().copied().unwrap_or(0.0);
        let most = if e.eps.is_finite() { e.eps } else { largest };
        e.reached.iter().zip(&e.distance).filter(|(r, d)| **r && **d <= most * (1.0 + 1e-6) + 1e-7).count()
    }

    /// The status in one word, for programs.
    pub(crate) fn status(&self) -> &'static str {
        match &self.result.status {
            Status::Unchecked => "not checked",
            Status::Sound => "no flags",
            Status::Flagged(_) => "flagged",
        }
    }
}

fn suite(name: SuiteName, norm: Norm, classes: usize) -> Result<Suite<'static>> {
    Ok(match name {
        SuiteName::Standard => Suite::auto_attack(AutoAttack::Standard, norm, classes),
        SuiteName::Plus => Suite::auto_attack(AutoAttack::Plus, norm, classes),
        SuiteName::Rand => Suite::auto_attack(AutoAttack::Rand, norm, classes),
        SuiteName::Quick => Suite::quick(),
        SuiteName::Fourier if norm == Norm::Linf => Suite::fourier(),
        SuiteName::Fourier => {
            bail!("--suite fourier needs a threat in linf, because the radius is the peak of the wave")
        }
    })
}

fn size(n: Option<u64>) -> Option<usize> {
    n.and_then(|n| usize::try_from(n).ok())
}

/// Reads the data and the network, and runs the suite.
///
/// # Errors
/// Arguments that contradict each other; data or weights that cannot be used; those of the attacks.
pub(crate) fn evaluate(args: &Attack, with_pictures: bool, terminal: &Terminal) -> Result<Evaluated> {
    work(args, (None, args.ledger.as_deref()), with_pictures, terminal)
}

/// The same of a part of the examples, with the file of the ledger.
pub(super) fn work(
    args: &Attack,
    (part, ledger): (Option<Part>, Option<&Path>),
    with_pictures: bool,
    terminal: &Terminal,
) -> Result<Evaluated> {
    let threats = Threats::parse(&args.threat)?;
    let device = device(&args.device)?;
    let examples = Examples::read(&args.data, size(args.examples))?;
    let (Opened { network: net, told }, examples) = open_for(args, examples, &device)?;
    examples.notes.iter().for_each(|n| terminal.note(n));
    let (x, y) = (examples.x.to_device(&device)?, examples.y.to_device(&device)?);
    let sha256 = sha256(&args.model)?;
    told.notes.iter().for_each(|n| terminal.note(n));
    terminal.detail(&told.detail);
    terminal.detail(&format!("{}: {} weights, sha256 {sha256}", args.model.display(), net.params().count()));
    let suite = suite(args.suite, threats.norm, net.outputs())?;
    let cfg = EvaluationConfig {
        norm: threats.norm,
        eps: threats.eps.clone(),
        seed: args.seed,
        run: RunConfig { batch_size: size(args.batch), memory_mib: args.memory_mib, ..RunConfig::default() },
        diagnosis: (!args.no_checks).then(DiagnosisConfig::default),
        part,
        ..EvaluationConfig::default()
    };
    let total = examples.len()?;
    terminal.detail(&format!("suite {}, {} examples, {} per batch", suite.name, examples.len()?, cfg.run.batch(&x)?));
    let mut so_far = None;
    let result = run(&*net, &x, &y, &suite, &cfg, ledger, &mut |p| {
        so_far = Some(format!(
            "at most {} of {total} examples are robust at the radius of `{}`, {}",
            p.robust,
            p.attack,
            radius(threats.norm, p.eps)
        ));
        let step = format!("{} at {}: {} robust", p.attack, radius(threats.norm, p.eps), p.robust);
        // While it runs, the bar's text stays the same, so that it does not start again.
        let running = format!("{} at {}", p.attack, radius(threats.norm, p.eps));
        terminal.progress(if p.done >= p.total { &step } else { &running }, p.done, p.total);
        // The ledger has this batch.
        match ledger.filter(|_| stop::asked()) {
            Some(path) => Err(Error::Stopped { path: path.to_owned() }),
            None => Ok(()),
        }
    });
    // What was found before an error is worth something.
    if let (Err(_), Some(found)) = (&result, &so_far) {
        terminal.result(&format!("stopped before the end of the suite; so far {found}"))?;
    }
    let result = result?;
    // The numbers of a long run are not lost because a picture cannot be made.
    let shown = with_pictures.then(|| pictures(&*net, (&x, &y), &suite, &result, &examples));
    let pictures = shown.unwrap_or_else(|| Ok(Vec::new())).unwrap_or_else(|e| {
        terminal.warn(&format!("no adversarial examples are shown: {}", describe(e.as_ref())));
        Vec::new()
    });
    let device = if device.is_cpu() { "cpu".to_owned() } else { format!("{:?}", device.location()) };
    Ok(Evaluated { result, threats, examples, pictures, weights: sha256, told, device, seconds: terminal.seconds() })
}

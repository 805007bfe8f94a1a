//! The command `sconce-attack`: it reads weights and data and reports a robust accuracy with its status. Feature `cli`.
//!
//! `cargo xtask attack` is the same command with the data sets of the catalog.

mod args;
mod data;
mod report;

pub use args::{Args, SuiteName};
pub use data::read as read_data;
pub use report::{html, json, text};

use crate::{
    AutoAttack, DiagnosisConfig, Evaluation, EvaluationConfig, EvaluationProgress, RunConfig, Suite, evaluate,
};
use candle_core::{DType, Tensor};
use sconce_tensor_core::nets::load;
use sconce_tensor_core::nn::Normalize;
use sconce_tensor_core::{Device, Error, Result};

/// Loads the model, runs the suite and writes the requested files. The data are `x` (N, C, H, W) in [0, 1] and `y` (N,) of
/// u32; see [`read_data`].
///
/// # Errors
/// The arguments are inconsistent; the weights do not match the architecture; data as in [`crate::evaluate`]; a file cannot
/// be written.
pub fn run(
    args: &Args,
    x: &Tensor,
    y: &Tensor,
    device: &Device,
    on_progress: &mut dyn FnMut(EvaluationProgress<'_>) -> Result<()>,
) -> Result<Evaluation> {
    let (n, c, h, w) = x.dims4().map_err(|_| Error::shape("data `x`", "(N, C, H, W)", x.dims()))?;
    let take = args.examples.unwrap_or(n).min(n);
    let (x, y) =
        (x.narrow(0, 0, take)?.to_device(device)?.to_dtype(DType::F32)?, y.narrow(0, 0, take)?.to_device(device)?);
    let normalize = match (&args.mean, &args.std) {
        (Some(m), Some(s)) => Some(Normalize::new(m.clone(), s.clone())?),
        (None, None) => None,
        _ => return Err(Error::config("--mean", "and --std must be given together")),
    };
    let net = load::load(args.arch.parse()?, &args.model, (c, h, w), normalize, DType::F32, device)?;
    let (norm, eps) = args.threat()?;
    let classes = net.outputs();
    let suite = match args.suite {
        SuiteName::Standard => Suite::auto_attack(AutoAttack::Standard, norm, classes),
        SuiteName::Plus => Suite::auto_attack(AutoAttack::Plus, norm, classes),
        SuiteName::Rand => Suite::auto_attack(AutoAttack::Rand, norm, classes),
        SuiteName::Quick => Suite::quick(),
        SuiteName::Fourier if norm == crate::Norm::Linf => Suite::fourier(),
        SuiteName::Fourier => {
            return Err(Error::config(
                "--suite fourier",
                "needs a threat in linf, because the radius is the peak of the wave",
            ));
        }
    };
    let cfg = EvaluationConfig {
        norm,
        eps,
        seed: args.seed,
        run: RunConfig { batch_size: args.batch, memory_mib: args.memory_mib, ..RunConfig::default() },
        diagnosis: (!args.no_checks).then(DiagnosisConfig::default),
        ..EvaluationConfig::default()
    };
    let done = evaluate(&*net, &x, &y, &suite, &cfg, args.ledger.as_deref(), on_progress)?;
    if let Some(path) = &args.json {
        sconce_tensor_core::store::write_whole(path, json(args, &done)?.as_bytes())?;
    }
    if let Some(path) = &args.html {
        sconce_tensor_core::store::write_whole(path, html(args, &done)?.as_bytes())?;
    }
    Ok(done)
}

/// Whether the robust accuracy at the smallest radius is at least `--at-least`; true without that argument.
///
/// # Errors
/// As [`Evaluation::robust_accuracies`].
pub fn meets_threshold(args: &Args, done: &Evaluation) -> Result<bool> {
    let Some(least) = args.at_least else { return Ok(true) };
    Ok(done.robust_accuracies()?.first().is_some_and(|r| r.robust.rate() >= least))
}

//! The command for people with a model: weights in, a robust accuracy with its status out. Feature `cli`.
//!
//! `sconce-attack` is this as a program, `cargo xtask attack` the same with the catalog's data sets at hand.

mod args;
mod data;
mod report;

pub use args::{Args, SuiteName};
pub use data::read as read_data;
pub use report::{html, json, text};

use crate::{AutoAttack, DiagnosisConfig, Evaluation, EvaluationConfig, RunConfig, Standing, Suite, evaluate};
use candle_core::{DType, Tensor};
use sconce_tensor_core::nets::load;
use sconce_tensor_core::nn::Normalize;
use sconce_tensor_core::{Device, Error, Result};

/// Loads the model, runs the suite and writes the files that were asked for. `x` (N, C, H, W) in [0, 1] and `y` (N,) of u32
/// are the data; see [`read_data`].
///
/// # Errors
/// Arguments that do not fit each other, weights that do not fit the architecture, data as in [`crate::evaluate`], files
/// that cannot be written.
pub fn run(
    args: &Args,
    x: &Tensor,
    y: &Tensor,
    device: &Device,
    watch: &mut dyn FnMut(Standing<'_>) -> Result<()>,
) -> Result<Evaluation> {
    let (n, c, h, w) = x.dims4().map_err(|_| Error::shape("data `x`", "(N, C, H, W)", x.dims()))?;
    let take = args.examples.unwrap_or(n).min(n);
    let (x, y) =
        (x.narrow(0, 0, take)?.to_device(device)?.to_dtype(DType::F32)?, y.narrow(0, 0, take)?.to_device(device)?);
    let normalize = match (&args.mean, &args.std) {
        (Some(m), Some(s)) => Some(Normalize::new(m.clone(), s.clone())?),
        (None, None) => None,
        _ => return Err(Error::config("--mean", "and --std come together")),
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
            return Err(Error::config("--suite fourier", "measures waves by their peak: use an linf threat"));
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
    let done = evaluate(&*net, &x, &y, &suite, &cfg, args.ledger.as_deref(), watch)?;
    if let Some(path) = &args.json {
        sconce_tensor_core::store::write_whole(path, json(args, &done)?.as_bytes())?;
    }
    if let Some(path) = &args.html {
        sconce_tensor_core::store::write_whole(path, html(args, &done)?.as_bytes())?;
    }
    Ok(done)
}

/// Whether the robust accuracy at the smallest radius is at least what was asked for.
///
/// # Errors
/// None in practice.
pub fn good_enough(args: &Args, done: &Evaluation) -> Result<bool> {
    let Some(least) = args.at_least else { return Ok(true) };
    Ok(done.robust_accuracies()?.first().is_some_and(|r| r.robust.rate() >= least))
}

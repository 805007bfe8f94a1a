//! Runs the checks on a model.

use super::checks;
use super::config::DiagnosisConfig;
use super::kind::Flag;
use super::sample::Sample;
use crate::RunConfig;
use crate::loss::goals;
use candle_core::Tensor;
use sconce_tensor_core::classifier::{self, host_logits};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Classifier, Goal, Result, Threat};

/// The logits of all inputs, as many at a time as an attack's batch has: large images in one batch take more memory than the attacks.
pub(super) fn logits_in_batches(model: &dyn Classifier, x: &Tensor) -> Result<Tensor> {
    let (n, batch) = (x.dim(0)?, RunConfig::default().batch(x)?);
    let part = |at| classifier::logits(model, &x.narrow(0, at, batch.min(n - at))?.contiguous()?);
    let parts = (0..n).step_by(batch).map(part).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&parts, 0)?)
}

/// Runs all checks on a model, at the radius of `threat`, and returns the flags that they raise.
///
/// The attacks in the checks are PGD on the margin loss, and Square on images of at least 3x3. At a radius of 0 the
/// checks of gradients and attacks are skipped: no perturbation is allowed, so that none can be missed.
///
/// # Shapes
/// `x` (N, ...), `labels` (N,) of u32.
///
/// # Errors
/// [`sconce_tensor_core::Error::Config`] naming the field; an error of the model.
pub fn diagnose(
    model: &dyn Classifier,
    x: &Tensor,
    labels: &Tensor,
    threat: Threat,
    cfg: &DiagnosisConfig,
) -> Result<Vec<Flag>> {
    require("DiagnosisConfig.examples", cfg.examples >= 8, "at least 8", cfg.examples)?;
    require("DiagnosisConfig.steps", cfg.steps >= 1, "at least 1", cfg.steps)?;
    require("DiagnosisConfig.restarts", cfg.restarts >= 2, "at least 2", cfg.restarts)?;
    require("DiagnosisConfig.queries", cfg.queries >= 1, "at least 1", cfg.queries)?;
    goals(&Goal::Untargeted(labels.clone()), x.dim(0)?, model.classes())?;
    let mut found = Vec::new();
    found.extend(checks::non_unit_bounds(model.bounds()));
    found.extend(checks::masked_gradient(&model.caveats()));
    let x = x.narrow(0, 0, x.dim(0)?.min(4 * cfg.examples))?.contiguous()?;
    let answer = logits_in_batches(model, &x)?;
    let logits = host_logits(&answer)?;
    found.extend(checks::randomized_output(model, &x, &logits)?);
    found.extend(checks::probability_outputs(&logits));
    found.extend(checks::rounded_logits(&logits, [x.dtype(), answer.dtype()]));
    let Some(sample) = Sample::new(model, &x, labels, &logits, threat, cfg)? else { return Ok(found) };
    found.extend(checks::saturated_logits(&sample));
    if threat.eps() > 0.0 {
        found.extend(checks::vanishing_gradients(&sample)?);
        found.extend(checks::survives_unbounded(&sample)?);
        let one_start = sample.robust(&sample.pgd(threat.eps(), cfg.steps, 1)?)?;
        found.extend(checks::not_monotone(&sample, &one_start)?);
        let many_starts = sample.robust(&sample.pgd(threat.eps(), cfg.steps, cfg.restarts)?)?;
        // An example counts as robust only if both attacks fail, so many starts are never weaker than one.
        let many_starts: Vec<bool> = many_starts.iter().zip(&one_start).map(|(a, b)| *a && *b).collect();
        found.extend(checks::restarts_matter(&sample, &one_start, &many_starts));
        found.extend(checks::black_box_wins(&sample, &many_starts)?);
    }
    Ok(found)
}

//! The checks, one function each. A check returns a flag where its measurement exceeds its threshold.

use super::diagnose::logits_in_batches;
use super::kind::{Flag, FlagKind};
use super::sample::Sample;
use crate::geometry::rows::dual;
use crate::loss::Loss;
use crate::probe::Probe;
use crate::{Square, SquareConfig};
use candle_core::{DType, Tensor};
use sconce_tensor_core::classifier::{Caveat, Effect, host_logits};
use sconce_tensor_core::{Bounds, Classifier, Result};

/// Relative difference of two passes above which rounding does not explain it.
const ROUNDING: f64 = 1e-4;
/// Tolerance within which a row counts as probabilities.
const PROBABILITY_SUM: f64 = 1e-4;
/// Share of examples with a vanishing gradient, or fooled by Square but not by PGD.
const FEW: f64 = 0.05;
/// Share of examples that survive a radius as large as the box.
const SURVIVORS: f64 = 0.02;
/// Difference of accuracy between one and many restarts, and rise of accuracy with the radius.
const GAP: f64 = 0.08;
/// Share of examples whose cross-entropy is 0 in 32 bits.
const SATURATED: f64 = 0.5;
/// Distance to the linearised boundary, in diameters of the box, above which a gradient counts as vanishing.
const REACH: f64 = 10.0;

/// A flag if `raised`.
fn flag_if(raised: bool, kind: FlagKind, amount: f64, detail: impl FnOnce() -> String) -> Option<Flag> {
    raised.then(|| Flag { kind, amount, detail: detail() })
}

/// The model's box differs from [0, 1].
pub(super) fn non_unit_bounds(bounds: Bounds) -> Option<Flag> {
    let (lo, hi) = (bounds.lo(), bounds.hi());
    flag_if((lo, hi) != (0.0, 1.0), FlagKind::NonUnitBounds, hi - lo, || {
        format!("the model's inputs lie in [{lo}, {hi}], and the radius is in these units")
    })
}

/// The model knows of parts that mask or randomise its gradient.
pub(super) fn masked_gradient(caveats: &[Caveat]) -> Option<Flag> {
    flag_if(!caveats.is_empty(), FlagKind::MaskedGradient, caveats.len() as f64, || {
        let said = |c: &Caveat| match c.effect {
            Effect::Masked => format!("the gradient is masked by {}", c.place),
            Effect::Random => format!("the gradient is random because of {}", c.place),
        };
        let rest = if caveats.len() > 1 { format!(" and {} more", caveats.len() - 1) } else { String::new() };
        caveats.first().map_or_else(String::new, said) + &rest
    })
}

/// Five passes over the same inputs (as in AutoAttack's check) differ by more than rounding; `first` is the first pass.
pub(super) fn randomized_output(model: &dyn Classifier, x: &Tensor, first: &[Vec<f64>]) -> Result<Option<Flag>> {
    let mut difference = 0f64;
    for _ in 0..4 {
        for (a, b) in first.iter().zip(host_logits(&logits_in_batches(model, x)?)?) {
            let size = a.iter().map(|v| v * v).sum::<f64>().sqrt() + 1e-10;
            let distance = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            difference = difference.max(distance / size);
        }
    }
    Ok(flag_if(difference > ROUNDING, FlagKind::RandomizedOutput, difference, || {
        format!("five passes over the same inputs differ by up to {:.1} % of the logits' norm", 100.0 * difference)
    }))
}

/// Every row of outputs is non-negative and sums to 1.
pub(super) fn probability_outputs(logits: &[Vec<f64>]) -> Option<Flag> {
    let is_probability = |z: &Vec<f64>| {
        z.iter().all(|v| *v >= -PROBABILITY_SUM) && (z.iter().sum::<f64>() - 1.0).abs() < PROBABILITY_SUM
    };
    flag_if(logits.iter().all(is_probability), FlagKind::ProbabilityOutputs, 1.0, || {
        "no output is negative and every row sums to 1".to_owned()
    })
}

/// The logits of more than 5 % of the examples lie so close together, compared with their size, that more than half of the digits of
/// their type are lost: `max z - min z < max |z| sqrt(epsilon)`, with the coarser type of the inputs and the logits.
pub(super) fn rounded_logits(logits: &[Vec<f64>], types: [DType; 2]) -> Option<Flag> {
    // The distance from 1 to the next number of the type.
    let epsilon = |t: DType| match t {
        DType::F64 => f64::EPSILON,
        DType::BF16 => 2f64.powi(-7),
        DType::F16 => 2f64.powi(-10),
        _ => f64::from(f32::EPSILON),
    };
    let epsilon = types.into_iter().map(epsilon).fold(0.0, f64::max);
    let sizes = logits.iter().map(|z| {
        let size = z.iter().fold(0f64, |m, v| m.max(v.abs()));
        let (lo, hi) = z.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(*v), hi.max(*v)));
        (hi - lo, size)
    });
    let lost: Vec<(f64, f64)> = sizes.filter(|(spread, size)| *spread < size * epsilon.sqrt()).collect();
    let share = lost.len() as f64 / logits.len() as f64;
    flag_if(share > FEW, FlagKind::RoundedLogits, share, || {
        let (spread, size) = lost.first().copied().unwrap_or_default();
        format!(
            "for {:.0} % of examples the logits differ by little compared with their size (for the first by {spread:.3e} at {size:.3e}), and \
             rounding takes more than half of the digits of their differences",
            100.0 * share
        )
    })
}

/// The cross-entropy rounds to 0 in 32 bits on more than half of the examples.
pub(super) fn saturated_logits(sample: &Sample<'_>) -> Option<Flag> {
    let is_zero =
        |z: &[f64], goal| Loss::CrossEntropy.at(z, goal).is_ok_and(|l| l.value < 0.5 * f64::from(f32::EPSILON));
    let share = sample.share(sample.logits.iter().zip(&sample.goals).filter(|(z, goal)| is_zero(z, **goal)).count());
    flag_if(share > SATURATED, FlagKind::SaturatedLogits, share, || {
        format!("the cross-entropy is 0 in 32 bits for {:.0} % of examples", 100.0 * share)
    })
}

/// The linearised boundary of the margin lies more than ten diameters of the box away on more than 5 % of the examples.
pub(super) fn vanishing_gradients(sample: &Sample<'_>) -> Result<Option<Flag>> {
    let norm = sample.threat.norm();
    let (mut probe, rows, goals) = Probe::new(sample.model, &sample.x, &sample.goal)?;
    let numbered: Vec<(usize, &[f64])> = rows.iter().map(Vec::as_slice).enumerate().collect();
    let count = probe
        .gradients(&numbered, |i, z| Loss::Margin.at(z, goals[i]))?
        .iter()
        .filter(|a| a.loss.abs() > REACH * sample.diameter * dual(&a.gradient, norm))
        .count();
    let share = sample.share(count);
    Ok(flag_if(share > FEW, FlagKind::VanishingGradients, share, || {
        format!(
            "for {:.0} % of examples the margin's gradient is zero or too small to reach another class",
            100.0 * share
        )
    }))
}

/// More than 2 % of the examples survive PGD with a radius as large as the box.
pub(super) fn survives_unbounded(sample: &Sample<'_>) -> Result<Option<Flag>> {
    // Twice the steps, because in L1 only a few large steps fit into the box.
    let robust = sample.robust(&sample.pgd(sample.diameter, 2 * sample.cfg.steps, 1)?)?;
    let share = sample.robust_share(&robust);
    Ok(flag_if(share > SURVIVORS, FlagKind::SurvivesUnbounded, share, || {
        format!("{:.0} % of examples are still classified correctly when the radius is the whole box", 100.0 * share)
    }))
}

/// Accuracy under PGD rises by more than 8 points when the radius is doubled, up to four times the radius.
/// `one_start` are the examples that are robust to PGD at the threat's radius.
pub(super) fn not_monotone(sample: &Sample<'_>, one_start: &[bool]) -> Result<Option<Flag>> {
    let (mut last_eps, mut last) = (sample.threat.eps(), sample.robust_share(one_start));
    for factor in [2.0, 4.0] {
        let eps = (sample.threat.eps() * factor).min(sample.diameter);
        let share = sample.robust_share(&sample.robust(&sample.pgd(eps, sample.cfg.steps, 1)?)?);
        if share > last + GAP {
            let detail =
                format!("the accuracy is {last:.2} at radius {last_eps:.4}, but {share:.2} at radius {eps:.4}");
            return Ok(Some(Flag { kind: FlagKind::NotMonotone, amount: share - last, detail }));
        }
        (last_eps, last) = (eps, share);
    }
    Ok(None)
}

/// Many random starts fool more than 8 points of examples more than one start.
pub(super) fn restarts_matter(sample: &Sample<'_>, one_start: &[bool], many_starts: &[bool]) -> Option<Flag> {
    let gap = sample.robust_share(one_start) - sample.robust_share(many_starts);
    flag_if(gap > GAP, FlagKind::RestartsMatter, gap, || {
        format!("{} restarts fool {:.0} % of examples more than one start", sample.cfg.restarts, 100.0 * gap)
    })
}

/// Square fools more than 5 % of the examples although PGD with restarts does not. Skipped for inputs that are not
/// images of at least 3x3.
pub(super) fn black_box_wins(sample: &Sample<'_>, many_starts: &[bool]) -> Result<Option<Flag>> {
    if !matches!(sample.x.dims(), [_, _, h, w] if *h >= 3 && *w >= 3) {
        return Ok(None);
    }
    let (threat, cfg) = (sample.threat, sample.cfg);
    let square =
        SquareConfig { norm: threat.norm(), eps: threat.eps(), queries: cfg.queries, ..SquareConfig::default() };
    let robust = sample.robust(&Square::new(square)?)?;
    let share = sample.share(robust.iter().zip(many_starts).filter(|(square, pgd)| !**square && **pgd).count());
    Ok(flag_if(share > FEW, FlagKind::BlackBoxWins, share, || {
        format!(
            "Square with {} queries fools {:.0} % of examples that PGD with {} restarts does not",
            cfg.queries,
            100.0 * share,
            cfg.restarts
        )
    }))
}

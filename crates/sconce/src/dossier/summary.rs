//! Five lines about the model, each with what counts as high or low. The limits are chosen by us: they sort models, they prove nothing.

use super::measure::Geometry;
use crate::attack::{Evaluated, radius};
use anyhow::Result;
use serde::Serialize;
use std::fmt::Write;

/// One line of the summary.
#[derive(Debug, Serialize)]
pub(crate) struct Reading {
    /// The question.
    pub(crate) question: &'static str,
    /// The number with its name.
    pub(crate) value: String,
    /// `low`, `moderate` or `high`.
    pub(crate) level: &'static str,
    /// What counts as low and as high.
    pub(crate) limits: &'static str,
}

fn level(value: f64, low: f64, high: f64) -> &'static str {
    if value.is_nan() {
        "not defined"
    } else if value < low {
        "low"
    } else if value > high {
        "high"
    } else {
        "moderate"
    }
}

/// The part of the accuracy without a perturbation that is left under one.
fn kept(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { f64::NAN }
}

/// The summary.
///
/// # Errors
/// Those of [`sconce_attacks::Evaluation::robust_accuracies`].
pub(crate) fn readings(done: &Evaluated, g: &Geometry) -> Result<Vec<Reading>> {
    let robust = done.result.robust_accuracies()?;
    let (clean, first) = (done.result.clean_accuracy().rate(), &robust[0]);
    let retained = kept(first.robust.rate(), clean);
    let largest = |s: &super::curvature::Spectrum| s.top.first().map_or(f64::NAN, |t| t.0);
    let over = |a: f64, b: f64| if b > 0.0 { a / b } else { f64::NAN };
    let sharper = over(largest(&g.adversarial), largest(&g.clean));
    // One step along the gradient could lower the loss by norm(g)^2 / (2 lambda).
    let gain = over(g.clean.gradient.powi(2), 2.0 * largest(&g.clean) * g.clean.loss);
    let turn = over(g.smoothness.recomputed, g.smoothness.clean);
    let (worst, (l, m)) = g.heat.worst();
    let fourier = kept(worst, g.heat.clean as f64 / g.heat.total as f64);
    let centre = |k: usize, n: usize| if k > n / 2 { k as i64 - n as i64 } else { k as i64 };
    let place = (centre(l, g.heat.size.0), centre(m, g.heat.size.1));
    Ok(vec![
        Reading {
            question: "Robustness: the part of the clean accuracy that is left under attack",
            value: format!(
                "{retained:.2} at {} ({:.3} of {clean:.3})",
                radius(done.threats.norm, first.threat.eps()),
                first.robust.rate()
            ),
            level: level(retained, 1.0 / 3.0, 2.0 / 3.0),
            limits: "low below 1/3, high above 2/3",
        },
        Reading {
            question: "Sharpness: the largest Hessian eigenvalue of the adversarial loss against the clean loss",
            value: format!("{sharper:.1} times ({:.3} against {:.3})", largest(&g.adversarial), largest(&g.clean)),
            level: level(sharper, 1.5, 5.0),
            limits: "low below 1.5 times, high above 5 times",
        },
        Reading {
            question: "Distance from a minimum: the part of the clean loss that one gradient step could remove",
            value: format!("{gain:.2} (gradient norm {:.3}, loss {:.3})", g.clean.gradient, g.clean.loss),
            level: level(gain, 0.05, 0.5),
            limits: "low below 0.05; above 0.5 (high) the eigenvalues do not describe a minimum",
        },
        Reading {
            question: "Smoothness: how much faster the gradient changes when the attack is recomputed",
            value: format!("{turn:.1} times ({:.2} against {:.2})", g.smoothness.recomputed, g.smoothness.clean),
            level: level(turn, 1.5, 5.0),
            limits: "low below 1.5 times, high above 5 times",
        },
        Reading {
            question: "Fourier: the part of the clean accuracy that is left under the worst single wave",
            value: format!("{fourier:.2} (wave of peak {:.3}, frequency ({}, {}))", g.wave, place.0, place.1),
            level: level(fourier, 1.0 / 3.0, 2.0 / 3.0),
            limits: "low below 1/3, high above 2/3",
        },
    ])
}

/// The summary as text.
pub(crate) fn text(readings: &[Reading]) -> String {
    let mut out = String::new();
    for r in readings {
        let _ = writeln!(out, "{:<9} {}: {} ({})", r.level, r.question, r.value, r.limits);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        assert_eq!(
            [0.1, 0.5, 0.9, f64::NAN].map(|v| level(v, 1.0 / 3.0, 2.0 / 3.0)),
            ["low", "moderate", "high", "not defined"]
        );
        assert!(kept(0.0, 0.0).is_nan());
    }
}

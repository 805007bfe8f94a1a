//! The checks, each with its threshold.

use super::{DiagnosisConfig, Flag, FlagKind};
use crate::geometry::{self, rows::dual};
use crate::loss::{Loss, host_logits};
use crate::probe::Probe;
use crate::{Aim, Pgd, PgdConfig, RunConfig, Square, SquareConfig, StepSize, run};
use candle_core::Tensor;
use sconce_tensor_core::{Attack, Classifier, Goal, Result, Rng, Threat};

/// Relative difference of two passes that rounding does not explain.
const SAME: f64 = 1e-4;
/// A row that adds up to 1 this nearly looks like probabilities.
const SUM: f64 = 1e-4;
/// Share of examples with a vanishing gradient, or fooled by Square alone.
const FEW: f64 = 0.05;
/// Share of examples that survive a radius as large as the box.
const SURVIVORS: f64 = 0.02;
/// Gap between one and many restarts, and rise of accuracy with the radius.
const GAP: f64 = 0.08;
/// Share of examples whose cross-entropy is 0 in 32 bits.
const SATURATED: f64 = 0.5;
/// Diameters of the box beyond which a boundary is out of the gradient's reach.
const REACH: f64 = 10.0;

pub(super) fn all(
    model: &dyn Classifier,
    x: &Tensor,
    labels: &Tensor,
    threat: Threat,
    cfg: &DiagnosisConfig,
) -> Result<Vec<Flag>> {
    let mut found = Vec::new();
    let mut flag = |kind, amount: f64, detail: String| found.push(Flag { kind, amount, detail });
    let bounds = model.bounds();
    if (bounds.lo(), bounds.hi()) != (0.0, 1.0) {
        let detail = format!("inputs live in [{}, {}]; the radius is in these units", bounds.lo(), bounds.hi());
        flag(FlagKind::NonUnitBounds, bounds.hi() - bounds.lo(), detail);
    }
    let look = x.narrow(0, 0, x.dim(0)?.min(4 * cfg.examples))?.contiguous()?;
    let first = host_logits(&model.logits(&look)?)?;

    // Randomness: five passes, as AutoAttack looks.
    let mut apart = 0f64;
    for _ in 0..4 {
        for (a, b) in first.iter().zip(host_logits(&model.logits(&look)?)?) {
            let size = a.iter().map(|v| v * v).sum::<f64>().sqrt() + 1e-10;
            let off = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            apart = apart.max(off / size);
        }
    }
    if apart > SAME {
        let detail =
            format!("five passes over the same inputs differ by up to {:.1} % of the logits' norm", 100.0 * apart);
        flag(FlagKind::RandomizedOutput, apart, detail);
    }
    let probability = |z: &Vec<f64>| z.iter().all(|v| *v >= -SUM) && (z.iter().sum::<f64>() - 1.0).abs() < SUM;
    if first.iter().all(probability) {
        let detail = "no output is negative and every row adds up to 1".to_owned();
        flag(FlagKind::ProbabilityOutputs, 1.0, detail);
    }

    // From here on, some of the examples that are classified right.
    let y = labels.to_vec1::<u32>()?;
    let right: Vec<u32> = (0..first.len() as u32)
        .filter(|&i| crate::loss::arg_max(&first[i as usize]) == y[i as usize] as usize)
        .take(cfg.examples)
        .collect();
    if right.is_empty() {
        return Ok(found);
    }
    let index = Tensor::new(right.as_slice(), x.device())?;
    let x = look.index_select(&index, 0)?.detach();
    let goal = Goal::Untargeted(labels.contiguous()?.index_select(&index, 0)?);
    let (n, aims) = (right.len() as f64, Aim::of(&goal)?);
    let share = |count: usize| count as f64 / n;

    let zero = right
        .iter()
        .zip(&aims)
        .filter(|(i, aim)| {
            Loss::CrossEntropy.at(&first[**i as usize], **aim).is_ok_and(|l| l.value < 0.5 * f64::from(f32::EPSILON))
        })
        .count();
    if share(zero) > SATURATED {
        let detail = format!("the cross-entropy is 0 in 32 bits for {:.0} % of examples", 100.0 * share(zero));
        flag(FlagKind::SaturatedLogits, share(zero), detail);
    }

    // Straight lines along the margin's gradient: how far off is the other class?
    let (mut probe, rows) = Probe::new(model, &x)?;
    let numbered: Vec<(usize, &[f64])> = rows.iter().map(Vec::as_slice).enumerate().collect();
    let diameter = geometry::diameter(threat.norm(), rows[0].len(), bounds);
    let out_of_reach = probe
        .slopes(&numbered, |i, z| Loss::Margin.at(z, aims[i]))?
        .iter()
        .filter(|a| a.value.abs() > REACH * diameter * dual(&a.gradient, threat.norm()))
        .count();
    if share(out_of_reach) > FEW {
        let detail = format!(
            "for {:.0} % of examples the margin's gradient is zero or too small to reach another class",
            100.0 * share(out_of_reach)
        );
        flag(FlagKind::VanishingGradients, share(out_of_reach), detail);
    }

    let rng = Rng::new(cfg.seed).stream("diagnosis");
    let held = |attack: &dyn Attack| -> Result<Vec<bool>> {
        let judged = run(attack, model, &x, &goal, &RunConfig::default(), &rng)?;
        Ok(judged.reached.into_iter().map(|r| !r).collect())
    };
    let count = |held: &[bool]| held.iter().filter(|h| **h).count();
    let pgd = |eps: f64, steps: usize, restarts: usize| {
        let (norm, step) = (threat.norm(), StepSize::Relative(2.5 / steps as f64));
        let cfg = PgdConfig { norm, eps, steps, step, loss: Loss::Margin, restarts, ..PgdConfig::default() };
        Pgd::new(cfg)
    };

    // In L1 the box holds few large steps: twice the steps.
    let unbounded = held(&pgd(diameter, 2 * cfg.steps, 1)?)?;
    if share(count(&unbounded)) > SURVIVORS {
        let detail = format!(
            "{:.0} % of examples are still right when the radius is the whole box",
            100.0 * share(count(&unbounded))
        );
        flag(FlagKind::SurvivesUnbounded, share(count(&unbounded)), detail);
    }
    if threat.eps() == 0.0 {
        return Ok(found);
    }
    let one = held(&pgd(threat.eps(), cfg.steps, 1)?)?;
    let mut last = (threat.eps(), share(count(&one)));
    for by in [2.0, 4.0] {
        let eps = (threat.eps() * by).min(diameter);
        let now = (eps, share(count(&held(&pgd(eps, cfg.steps, 1)?)?)));
        if now.1 > last.1 + GAP {
            let detail = format!("accuracy {:.2} at radius {:.4}, but {:.2} at {:.4}", last.1, last.0, now.1, now.0);
            flag(FlagKind::NotMonotone, now.1 - last.1, detail);
            break;
        }
        last = now;
    }
    let many = held(&pgd(threat.eps(), cfg.steps, cfg.restarts)?)?;
    // The worst of both, so that the many are never behind the one.
    let many: Vec<bool> = many.iter().zip(&one).map(|(a, b)| *a && *b).collect();
    let gap = share(count(&one)) - share(count(&many));
    if gap > GAP {
        let detail = format!("{} restarts fool {:.0} % of examples more than one does", cfg.restarts, 100.0 * gap);
        flag(FlagKind::RestartsMatter, gap, detail);
    }
    if matches!(x.dims(), [_, _, h, w] if *h >= 3 && *w >= 3) {
        let square = Square::new(SquareConfig {
            norm: threat.norm(),
            eps: threat.eps(),
            queries: cfg.queries,
            ..SquareConfig::default()
        })?;
        let beyond = held(&square)?.iter().zip(&many).filter(|(s, m)| !**s && **m).count();
        if share(beyond) > FEW {
            let detail = format!(
                "Square with {} queries fools {:.0} % of examples that PGD with {} restarts does not",
                cfg.queries,
                100.0 * share(beyond),
                cfg.restarts
            );
            flag(FlagKind::BlackBoxWins, share(beyond), detail);
        }
    }
    Ok(found)
}

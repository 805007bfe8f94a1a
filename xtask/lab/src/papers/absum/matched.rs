//! Absum and another arm at the same clean accuracy: an arm that classifies more images correctly has a higher accuracy under every
//! wave, too. Each arm of a seed is read where its training first reaches the highest validation accuracy that both reach, so one
//! of them is a network that was stopped early, at a higher rate of the schedule than at its end.

use super::config::{ArmName, Config, Setting};
use super::jobs::Point;
use crate::jobs::Done;
use crate::paper::Measured;
use anyhow::Result;
use serde_json::json;

/// An arm's accuracies where training first reaches a clean accuracy, between two epochs on a straight line. None where it never does, or
/// where its first epoch is past it already.
fn at(points: &[Point], clean: f64) -> Option<Point> {
    let i = points.iter().position(|p| p.clean >= clean)?;
    let to = points[i];
    if to.clean == clean {
        return Some(to);
    }
    let from = points[i.checked_sub(1)?];
    let t = (clean - from.clean) / (to.clean - from.clean);
    let mix = |a: f64, b: f64| a + t * (b - a);
    Some(Point { clean, waves: mix(from.waves, to.waves), retained: mix(from.retained, to.retained) })
}

/// The highest clean accuracy that both arms reach.
fn common(a: &[Point], b: &[Point]) -> f64 {
    let highest = |p: &[Point]| p.iter().map(|p| p.clean).fold(0.0, f64::max);
    highest(a).min(highest(b))
}

/// The metrics `matched_avg_<other>` and `matched_retained_<other>` of Absum and of each other arm.
pub fn record(cfg: &Config, setting: &Setting, seeds: &[u64], done: &Done<'_>, m: &mut Measured) -> Result<()> {
    let of = |arm| done.outputs(seeds, |seed| cfg.trained(setting, arm, seed));
    let curves = cfg.arms.iter().map(of).collect::<Result<Vec<Vec<Vec<Point>>>>>()?;
    let absum = cfg.arms.iter().position(|a| a.name == ArmName::Absum);
    for (i, arm) in cfg.arms.iter().enumerate() {
        let (id, name) = (&setting.id, arm.name.name());
        let mean =
            |e: usize, f: fn(&Point) -> f64| curves[i].iter().map(|c| f(&c[e])).sum::<f64>() / seeds.len() as f64;
        let epochs = 0..curves[i][0].len();
        let curve: Vec<_> = epochs.map(|e| json!([mean(e, |p| p.clean), mean(e, |p| p.retained)])).collect();
        m.series.insert(format!("{id}.epochs.{name}"), curve.into());
        let Some(ours) = absum.filter(|a| *a != i) else { continue };
        let pair = |(a, b): (&Vec<Point>, &Vec<Point>)| {
            let clean = common(a, b);
            Some((at(a, clean)?, at(b, clean)?))
        };
        let Some(pairs) = curves[ours].iter().zip(&curves[i]).map(pair).collect::<Option<Vec<_>>>() else {
            m.flags.push(format!(
                "{id}: Absum and {} cannot be compared at the same clean accuracy: with some seed one of them is past it after its \
                 first epoch.",
                arm.name.title()
            ));
            continue;
        };
        let mut put = |what: &str, f: fn(&Point) -> f64| -> Result<()> {
            let key = format!("{id}.matched_{what}_{name}");
            m.put(format!("{key}.{}", ArmName::Absum.name()), pairs.iter().map(|p| f(&p.0)).collect())?;
            m.put(format!("{key}.{name}"), pairs.iter().map(|p| f(&p.1)).collect())
        };
        put("clean", |p| p.clean)?;
        put("avg", |p| p.waves)?;
        put("retained", |p| p.retained)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(clean: f64, waves: f64) -> Point {
        Point { clean, waves, retained: waves / clean }
    }

    #[test]
    fn an_arm_is_read_where_it_first_reaches_the_accuracy() {
        let points = [p(0.5, 0.4), p(0.7, 0.5), p(0.6, 0.1), p(0.9, 0.8)];
        let there = at(&points, 0.6).unwrap();
        assert!((there.clean - 0.6).abs() < 1e-12 && (there.waves - 0.45).abs() < 1e-12, "{there:?}");
        // From the third epoch to the fourth.
        let there = at(&points, 0.75).unwrap();
        assert!((there.waves - 0.45).abs() < 1e-12 && (there.clean - 0.75).abs() < 1e-12, "{there:?}");
        assert_eq!(at(&points, 0.5), Some(points[0]));
        assert_eq!((at(&points, 0.3), at(&points, 0.95)), (None, None));
    }

    #[test]
    fn the_common_accuracy_is_that_of_the_arm_that_gets_less_far() {
        assert_eq!(common(&[p(0.5, 0.1), p(0.8, 0.1)], &[p(0.7, 0.1), p(0.6, 0.1)]), 0.7);
    }
}

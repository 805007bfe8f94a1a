//! Arms at the same clean accuracy: an arm that classifies more images correctly has a higher accuracy under every wave, too.

use super::config::{Config, Setting};
use super::jobs::Point;
use crate::jobs::Done;
use crate::paper::Measured;
use anyhow::Result;
use serde_json::json;

/// An arm's accuracies where training first reaches a clean accuracy, between two epochs on a straight line; none where it never does.
fn at(points: &[Point], clean: f64) -> Option<Point> {
    let i = points.iter().position(|p| p.clean >= clean)?;
    let (to, from) = (points[i], points[i.saturating_sub(1)]);
    let t = if to.clean > from.clean { ((clean - from.clean) / (to.clean - from.clean)).clamp(0.0, 1.0) } else { 1.0 };
    let mix = |a: f64, b: f64| a + t * (b - a);
    Some(Point {
        clean: mix(from.clean, to.clean),
        waves: mix(from.waves, to.waves),
        retained: mix(from.retained, to.retained),
    })
}

/// The highest clean accuracy that all arms reach.
fn common(arms: &[Vec<Point>]) -> f64 {
    let highest = |p: &Vec<Point>| p.iter().map(|p| p.clean).fold(0.0, f64::max);
    arms.iter().map(highest).fold(1.0, f64::min)
}

/// The metrics `matched_clean`, `matched_avg` and `matched_retained`: seed by seed at the highest clean accuracy that all arms reach.
pub fn record(cfg: &Config, setting: &Setting, seeds: &[u64], done: &Done<'_>, m: &mut Measured) -> Result<()> {
    let mut matched: Vec<Vec<Point>> = vec![Vec::new(); cfg.arms.len()];
    let mut curves = Vec::new();
    for &seed in seeds {
        let of = |arm| done.output(&cfg.trained(setting, arm, seed));
        let arms = cfg.arms.iter().map(of).collect::<Result<Vec<_>>>()?;
        let clean = common(&arms);
        for (own, points) in matched.iter_mut().zip(&arms) {
            own.extend(at(points, clean));
        }
        curves.push(arms);
    }
    for (i, (arm, own)) in cfg.arms.iter().zip(&matched).enumerate() {
        let (id, name) = (&setting.id, arm.name.name());
        let values = |f: fn(&Point) -> f64| own.iter().map(f).collect::<Vec<f64>>();
        m.put(format!("{id}.matched_clean.{name}"), values(|p| p.clean))?;
        m.put(format!("{id}.matched_avg.{name}"), values(|p| p.waves))?;
        m.put(format!("{id}.matched_retained.{name}"), values(|p| p.retained))?;
        let mean =
            |e: usize, f: fn(&Point) -> f64| curves.iter().map(|c| f(&c[i][e])).sum::<f64>() / seeds.len() as f64;
        let epochs = curves[0][i].len();
        let curve: Vec<_> = (0..epochs).map(|e| json!([mean(e, |p| p.clean), mean(e, |p| p.retained)])).collect();
        m.series.insert(format!("{id}.epochs.{name}"), curve.into());
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
        assert_eq!(at(&points, 0.3), Some(points[0]), "the first epoch is past it");
        assert_eq!(at(&points, 0.95), None);
    }

    #[test]
    fn the_common_accuracy_is_that_of_the_arm_that_gets_least_far() {
        assert_eq!(common(&[vec![p(0.5, 0.1), p(0.8, 0.1)], vec![p(0.7, 0.1), p(0.6, 0.1)]]), 0.7);
    }
}

//! From raw scores to decisions: thresholds and p-values. The user of a detector chooses them.

use crate::{Error, Result};

/// A decision threshold: scores above it are anomalies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold(f64);

fn sorted(scores: &[f64]) -> Result<Vec<f64>> {
    if scores.is_empty() {
        return Err(Error::value("scores", "there are no scores to take a threshold from"));
    }
    if let Some(i) = scores.iter().position(|s| s.is_nan()) {
        return Err(Error::value("scores", format!("NaN at row {i}")));
    }
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(sorted)
}

impl Threshold {
    /// A threshold at a given score.
    ///
    /// # Errors
    /// NaN.
    pub fn at(score: f64) -> Result<Self> {
        if score.is_nan() { Err(Error::config("Threshold", "must be a number, got NaN")) } else { Ok(Self(score)) }
    }

    /// The threshold that flags a share `contamination` of these scores, the highest ones, rounded down. Tied scores are on the
    /// same side of it, so that fewer scores may be flagged.
    ///
    /// # Errors
    /// No scores; a NaN, with its row; a share outside [0, 1).
    pub fn by_contamination(scores: &[f64], contamination: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&contamination) {
            return Err(Error::config("contamination", format!("must be in [0, 1), got {contamination}")));
        }
        let all = sorted(scores)?;
        let above = (contamination * all.len() as f64 + 1e-9) as usize;
        Ok(Self(all[all.len() - 1 - above]))
    }

    /// The `level` quantile of the scores of held-out normal examples: the smallest of these scores s such that at least a
    /// share `level` of them is <= s.
    ///
    /// # Errors
    /// No scores; a NaN, with its row; a level outside (0, 1].
    pub fn by_quantile(normal_scores: &[f64], level: f64) -> Result<Self> {
        if !(level > 0.0 && level <= 1.0) {
            return Err(Error::config("level", format!("must be in (0, 1], got {level}")));
        }
        let all = sorted(normal_scores)?;
        let rank = (level * all.len() as f64 - 1e-9).ceil().max(1.0) as usize;
        Ok(Self(all[rank.min(all.len()) - 1]))
    }

    /// The score.
    pub fn value(&self) -> f64 {
        self.0
    }

    /// Whether a score is above the threshold.
    pub fn is_anomaly(&self, score: f64) -> bool {
        score > self.0
    }
}

/// Conformal p-values from the scores of held-out normal examples.
///
/// `p(s) = (1 + number of held-out scores >= s) / (n + 1)`. For a new normal example, exchangeable with the held-out ones,
/// `P(p <= a) <= a` for every a: at level a, at most a share a of normal examples is flagged, in expectation, however good or
/// bad the detector is. The smallest possible p is `1 / (n + 1)`.
///
/// Source: Vovk, Gammerman, Shafer (2005), Algorithmic Learning in a Random World; for outliers Laxhammar and Falkman (2010).
///
/// ```
/// use sconce_anomaly::Conformal;
/// let c = Conformal::new(&[1.0, 2.0, 3.0, 4.0])?;
/// assert_eq!([c.p_value(0.0)?, c.p_value(3.0)?, c.p_value(9.0)?], [1.0, 0.6, 0.2]);
/// # Ok::<(), sconce_anomaly::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Conformal {
    scores: Vec<f64>,
}

impl Conformal {
    /// From the scores of normal examples that the detector was not fitted on.
    ///
    /// # Errors
    /// No scores; a NaN, with its row.
    pub fn new(held_out: &[f64]) -> Result<Self> {
        Ok(Self { scores: sorted(held_out)? })
    }

    /// The held-out scores in ascending order.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// The p-value of a score, in [1 / (n + 1), 1].
    ///
    /// # Errors
    /// NaN.
    pub fn p_value(&self, score: f64) -> Result<f64> {
        if score.is_nan() {
            return Err(Error::value("score", "NaN"));
        }
        let n = self.scores.len();
        let below = self.scores.partition_point(|s| *s < score);
        Ok((1 + n - below) as f64 / (n + 1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sconce_tensor_core::Rng;

    #[test]
    fn shares_by_hand() {
        let scores: Vec<f64> = (0..10).map(f64::from).collect();
        let above = |t: Threshold| scores.iter().filter(|s| t.is_anomaly(**s)).count();
        for (share, want) in [(0.0, 0), (0.1, 1), (0.3, 3), (0.35, 3), (0.9, 9)] {
            assert_eq!(above(Threshold::by_contamination(&scores, share).unwrap()), want, "{share}");
        }
        for (level, want) in [(1.0, 9.0), (0.9, 8.0), (0.5, 4.0), (0.01, 0.0)] {
            assert_eq!(Threshold::by_quantile(&scores, level).unwrap().value(), want, "{level}");
        }
        assert_eq!(above(Threshold::by_contamination(&[5.0; 4], 0.5).unwrap()), 4);
        assert!(!Threshold::by_contamination(&[5.0; 4], 0.5).unwrap().is_anomaly(5.0));
        assert!(Threshold::by_contamination(&scores, 1.0).is_err() && Threshold::by_quantile(&scores, 0.0).is_err());
        assert!(Threshold::at(f64::NAN).is_err() && Conformal::new(&[]).is_err());
        assert!(Conformal::new(&[0.0, f64::NAN]).unwrap_err().to_string().contains("row 1"));
    }

    /// The guarantee, for scores with and without ties: the share of p <= a among new normal scores is at most a; without ties
    /// it is floor(a (n + 1)) / (n + 1).
    #[test]
    fn false_alarms_are_at_most_the_level() {
        for (ties, seed) in [(false, 0), (true, 1)] {
            let value = |v: f64| if ties { (3.0 * v).round() } else { v };
            let (n, rounds) = (19, 20_000);
            let mut alarms = [0usize; 3];
            let levels = [0.05, 0.1, 0.5];
            for r in 0..rounds {
                let v: Vec<f64> = Rng::new(seed).at(r).normals(n + 1).into_iter().map(value).collect();
                let p = Conformal::new(&v[..n]).unwrap().p_value(v[n]).unwrap();
                alarms.iter_mut().zip(levels).for_each(|(a, l)| *a += usize::from(p <= l + 1e-12));
            }
            for (a, l) in alarms.iter().zip(levels) {
                let (share, sd) = (*a as f64 / rounds as f64, (l * (1.0 - l) / rounds as f64).sqrt());
                assert!(share < l + 4.0 * sd, "{share} > {l}");
                assert!(ties || share > l - 4.0 * sd, "{share} < {l}");
            }
        }
    }
}

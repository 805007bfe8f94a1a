//! Metrics of how well scores separate anomalies from normal examples; a higher score is more anomalous.
//!
//! Ties are handled as the definitions say: a tied pair counts half in the area under the curve, and tied scores share one
//! threshold in precision and recall. If all scores are equal, the area is 0.5 and the average precision is the share of
//! anomalies.

use crate::{Error, Result};
use sconce_tensor_core::Rng;
use sconce_tensor_core::stats::Interval;

/// Scores with their labels in descending order, equal scores in one group.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// (anomalies, normal examples) in each group of equal scores.
    groups: Vec<(usize, usize)>,
    anomalies: usize,
    normals: usize,
}

impl Ranked {
    /// Ranks scores; `anomaly` holds the labels.
    ///
    /// # Errors
    /// Lengths that differ; a NaN, with its row; no anomalies, or no normal examples.
    pub fn new(scores: &[f64], anomaly: &[bool]) -> Result<Self> {
        if scores.len() != anomaly.len() {
            let reason = format!("{} scores for {} labels", scores.len(), anomaly.len());
            return Err(Error::value("scores", reason));
        }
        if let Some(i) = scores.iter().position(|s| s.is_nan()) {
            return Err(Error::value("scores", format!("NaN at row {i}")));
        }
        let anomalies = anomaly.iter().filter(|a| **a).count();
        let normals = anomaly.len() - anomalies;
        if anomalies == 0 || normals == 0 {
            let reason = format!("{anomalies} anomalies and {normals} normal examples; a ranking needs both");
            return Err(Error::value("labels", reason));
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let mut groups: Vec<(usize, usize)> = Vec::new();
        let mut last = None;
        for i in order {
            // -0 and 0 are equal.
            if last != Some(scores[i]) {
                groups.push((0, 0));
                last = Some(scores[i]);
            }
            if let Some(g) = groups.last_mut() {
                *(if anomaly[i] { &mut g.0 } else { &mut g.1 }) += 1;
            }
        }
        Ok(Self { groups, anomalies, normals })
    }

    /// Area under the receiver operating characteristic: the probability that an anomaly has a higher score than a normal
    /// example; equal scores count half. In [0, 1].
    pub fn auroc(&self) -> f64 {
        let (mut above, mut pairs) = (0usize, 0.0);
        for (a, n) in &self.groups {
            pairs += *n as f64 * (above as f64 + 0.5 * *a as f64);
            above += a;
        }
        pairs / (self.anomalies as f64 * self.normals as f64)
    }

    /// Average precision: the sum over thresholds of the rise in recall times the precision there. In [0, 1].
    pub fn average_precision(&self) -> f64 {
        let (mut hits, mut ranked, mut sum) = (0usize, 0usize, 0.0);
        for (a, n) in &self.groups {
            hits += a;
            ranked += a + n;
            sum += *a as f64 * hits as f64 / ranked as f64;
        }
        sum / self.anomalies as f64
    }

    /// Share of anomalies among the `n` highest scores; where the n-th score is tied, the tied group counts with its mean
    /// share.
    ///
    /// # Errors
    /// An `n` of 0 or above the number of examples.
    pub fn precision_at(&self, n: usize) -> Result<f64> {
        let all = self.anomalies + self.normals;
        if n == 0 || n > all {
            return Err(Error::config("precision_at n", format!("must be in 1..={all}, got {n}")));
        }
        let (mut left, mut hits) = (n, 0.0);
        for (a, b) in &self.groups {
            let take = left.min(a + b);
            hits += *a as f64 * take as f64 / (a + b) as f64;
            left -= take;
        }
        Ok(hits / n as f64)
    }

    /// The highest recall among thresholds whose false-positive rate is at most `rate`.
    ///
    /// # Errors
    /// A `rate` outside [0, 1].
    pub fn recall_at(&self, rate: f64) -> Result<f64> {
        if !(0.0..=1.0).contains(&rate) {
            return Err(Error::config("recall_at rate", format!("must be in [0, 1], got {rate}")));
        }
        let (mut hits, mut wrong) = (0, 0);
        for (a, n) in &self.groups {
            if (wrong + n) as f64 > rate * self.normals as f64 {
                break;
            }
            hits += a;
            wrong += n;
        }
        Ok(hits as f64 / self.anomalies as f64)
    }
}

/// Area under the receiver operating characteristic; see [`Ranked::auroc`].
///
/// ```
/// use sconce_anomaly::metrics::auroc;
/// assert_eq!(auroc(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true])?, 0.75);
/// assert_eq!(auroc(&[1.0; 5], &[true, false, false, true, false])?, 0.5);
/// # Ok::<(), sconce_anomaly::Error>(())
/// ```
///
/// # Errors
/// As [`Ranked::new`].
pub fn auroc(scores: &[f64], anomaly: &[bool]) -> Result<f64> {
    Ok(Ranked::new(scores, anomaly)?.auroc())
}

/// Average precision; see [`Ranked::average_precision`].
///
/// # Errors
/// As [`Ranked::new`].
pub fn average_precision(scores: &[f64], anomaly: &[bool]) -> Result<f64> {
    Ok(Ranked::new(scores, anomaly)?.average_precision())
}

/// The 95 % bootstrap interval of [`auroc`]: anomalies and normal examples are resampled separately, `resamples` times.
///
/// # Errors
/// As [`Ranked::new`]; `resamples` of 0.
pub fn auroc_interval(scores: &[f64], anomaly: &[bool], resamples: usize, rng: &Rng) -> Result<Interval> {
    Ranked::new(scores, anomaly)?;
    if resamples == 0 {
        return Err(Error::config("auroc_interval resamples", "must be at least 1, got 0"));
    }
    let rows = |which: bool| -> Vec<f64> {
        scores.iter().zip(anomaly).filter(|(_, a)| **a == which).map(|(s, _)| *s).collect()
    };
    let (anomalies, normals) = (rows(true), rows(false));
    let truth: Vec<bool> = (0..scores.len()).map(|i| i < anomalies.len()).collect();
    let resample = |from: &[f64], rng: &Rng| -> Vec<f64> {
        rng.below(from.len(), from.len() as u64).into_iter().map(|i| from[i as usize]).collect()
    };
    let one = |r: u64| {
        let drawn =
            [resample(&anomalies, &rng.stream("anomalies").at(r)), resample(&normals, &rng.stream("normals").at(r))]
                .concat();
        auroc(&drawn, &truth)
    };
    let mut all = (0..resamples as u64).map(one).collect::<Result<Vec<f64>>>()?;
    all.sort_by(f64::total_cmp);
    let at = |q: f64| all[((q * resamples as f64) as usize).min(resamples - 1)];
    Ok(Interval { lo: at(0.025), hi: at(0.975) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let scores = [0.9, 0.8, 0.8, 0.7, 0.1];
        let truth = [true, false, true, false, true];
        let r = Ranked::new(&scores, &truth).unwrap();
        // Pairs: .9 beats both; .8 ties with one and beats one; .1 beats none: 3.5 of 6.
        assert!((r.auroc() - 3.5 / 6.0).abs() < 1e-15);
        // Recall rises by a third at 0.9 (precision 1), at 0.8 (2 of 3), at 0.1 (3 of 5).
        assert!((r.average_precision() - (1.0 + 2.0 / 3.0 + 0.6) / 3.0).abs() < 1e-15);
        assert!((r.precision_at(1).unwrap() - 1.0).abs() < 1e-15);
        assert!((r.precision_at(2).unwrap() - 0.75).abs() < 1e-15);
        assert!((r.precision_at(5).unwrap() - 0.6).abs() < 1e-15);
        assert_eq!(
            [r.recall_at(0.0).unwrap(), r.recall_at(0.5).unwrap(), r.recall_at(1.0).unwrap()],
            [1.0 / 3.0, 2.0 / 3.0, 1.0]
        );
    }

    #[test]
    fn ties_reversals_and_what_cannot_be_ranked() {
        let truth = [true, false, false, true];
        let tied = Ranked::new(&[2.0; 4], &truth).unwrap();
        assert_eq!((tied.auroc(), tied.average_precision(), tied.recall_at(0.9).unwrap()), (0.5, 0.5, 0.0));
        assert_eq!(
            (auroc(&[-1.0, 3.0, 3.0, -1.0], &truth).unwrap(), auroc(&[-0.0, 0.0, 0.0, 0.0], &truth).unwrap()),
            (0.0, 0.5)
        );
        let message = |s: &[f64], t: &[bool]| Ranked::new(s, t).unwrap_err().to_string();
        assert!(message(&[1.0, f64::NAN], &[true, false]).contains("NaN at row 1"));
        assert!(message(&[1.0], &[true]).contains("0 normal examples") && message(&[], &[]).contains("0 anomalies"));
        assert!(message(&[1.0], &[]).contains("1 scores for 0 labels"));
        assert!(tied.precision_at(0).is_err() && tied.precision_at(5).is_err() && tied.recall_at(1.1).is_err());
    }

    #[test]
    fn an_interval_covers_the_truth() {
        // Normals N(0, 1), anomalies N(1, 1): the area is Phi(1 / sqrt 2) = 0.7602.
        let n = Rng::new(0).normals(400);
        let scores: Vec<f64> = n.iter().enumerate().map(|(i, v)| v + f64::from(u8::from(i < 100))).collect();
        let truth: Vec<bool> = (0..400).map(|i| i < 100).collect();
        let i = auroc_interval(&scores, &truth, 400, &Rng::new(1)).unwrap();
        let at = auroc(&scores, &truth).unwrap();
        assert!(i.lo < at && at < i.hi && i.lo < 0.7602 && 0.7602 < i.hi && i.hi - i.lo < 0.14, "{i:?} {at}");
    }
}

//! Means over seeds with Student's t intervals, proportions with Wilson's intervals, and the bootstrap.

use crate::{Error, Result, Rng};

/// A closed interval.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Interval {
    /// Lower end.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
}

/// Mean, spread and 95 % interval of the mean of a few values.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Summary {
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation, with the divisor n - 1; `None` for one value.
    pub std: Option<f64>,
    /// Student's t interval of the mean at 95 %; `None` for one value.
    pub ci95: Option<Interval>,
    /// The values, in the order of the seeds.
    pub values: Vec<f64>,
}

/// The 97.5 % point of Student's t with `df` degrees of freedom, to three decimals; infinite for none.
pub fn t975(df: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    let z = 1.959_963_984_540_054_f64;
    // Past the table, the first two terms of the Cornish-Fisher expansion.
    let tail =
        |d: f64| z + (z.powi(3) + z) / (4.0 * d) + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * d * d);
    df.checked_sub(1).and_then(|i| TABLE.get(i)).copied().unwrap_or_else(|| tail(df as f64))
}

impl Summary {
    /// Summarises `values`.
    ///
    /// # Errors
    /// [`Error::Value`] for no values, or for a value that is not finite.
    pub fn new(values: Vec<f64>) -> Result<Self> {
        if values.is_empty() {
            return Err(Error::value("summary", "of no values"));
        }
        if let Some(v) = values.iter().find(|v| !v.is_finite()) {
            return Err(Error::value("summary", format!("of values with {v} among them")));
        }
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let std = (n > 1).then(|| (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64).sqrt());
        let ci95 = std.map(|s| {
            let half = t975(n - 1) * s / (n as f64).sqrt();
            Interval { lo: mean - half, hi: mean + half }
        });
        Ok(Self { mean, std, ci95, values })
    }

    /// The summary of the differences, value by value.
    ///
    /// # Errors
    /// [`Error::Value`] for different numbers of values.
    pub fn paired(a: &Self, b: &Self) -> Result<Self> {
        if a.values.len() != b.values.len() {
            return Err(Error::value(
                "paired difference",
                format!("of {} and {} values", a.values.len(), b.values.len()),
            ));
        }
        Self::new(a.values.iter().zip(&b.values).map(|(a, b)| a - b).collect())
    }
}

/// Spearman's rank correlation: Pearson's correlation of the ranks, where equal values share the mean of theirs. `None` where one side has
/// one value throughout.
///
/// ```
/// use sconce_tensor_core::stats::spearman;
/// assert_eq!(spearman(&[1.0, 2.0, 3.0], &[10.0, 1000.0, 100.0])?, Some(0.5));
/// assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0])?, None);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::Value`] for fewer than two pairs, different numbers of values, or one that is not finite.
pub fn spearman(a: &[f64], b: &[f64]) -> Result<Option<f64>> {
    if a.len() != b.len() || a.len() < 2 {
        return Err(Error::value("rank correlation", format!("of {} and {} values", a.len(), b.len())));
    }
    if let Some(v) = a.iter().chain(b).find(|v| !v.is_finite()) {
        return Err(Error::value("rank correlation", format!("of values with {v} among them")));
    }
    // Twice the rank, from 0: how many are less, twice, and how many others are equal.
    let ranks = |v: &[f64]| -> Vec<f64> {
        let rank = |x: &f64| v.iter().map(|y| if y < x { 2.0 } else { f64::from(u8::from(y == x)) }).sum::<f64>() - 1.0;
        v.iter().map(rank).collect()
    };
    let centred = |v: Vec<f64>| {
        let mean = v.iter().sum::<f64>() / v.len() as f64;
        v.into_iter().map(|x| x - mean).collect::<Vec<f64>>()
    };
    let (a, b) = (centred(ranks(a)), centred(ranks(b)));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let scale = (dot(&a, &a) * dot(&b, &b)).sqrt();
    Ok((scale > 0.0).then(|| dot(&a, &b) / scale))
}

/// A count of hits among trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Proportion {
    /// Hits.
    pub hits: usize,
    /// Trials.
    pub total: usize,
}

impl Proportion {
    /// Counts the outcomes that are `true`.
    pub fn of(outcomes: &[bool]) -> Self {
        Self { hits: outcomes.iter().filter(|b| **b).count(), total: outcomes.len() }
    }

    /// Hits over trials; NaN for no trials.
    pub fn rate(&self) -> f64 {
        self.hits as f64 / self.total as f64
    }

    /// Wilson's score interval at 95 %. It lies inside [0, 1] and stays accurate for few trials and for rates near 0 or 1.
    ///
    /// Source: Wilson (1927), JASA 22:209-212.
    pub fn wilson95(&self) -> Interval {
        let (z, n, p) = (1.959_963_984_540_054_f64, self.total as f64, self.rate());
        if self.total == 0 {
            return Interval { lo: 0.0, hi: 1.0 };
        }
        let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        // At rates of 0 and 1 one end is exact; rounding must not move it.
        let lo = if self.hits == 0 { 0.0 } else { centre - half };
        let hi = if self.hits == self.total { 1.0 } else { centre + half };
        Interval { lo, hi }
    }
}

/// The percentile bootstrap interval at 95 % of a statistic of `values`.
///
/// # Errors
/// [`Error::Value`] for no values or no resamples.
pub fn bootstrap95(values: &[f64], resamples: usize, statistic: impl Fn(&[f64]) -> f64, rng: &Rng) -> Result<Interval> {
    if values.is_empty() || resamples == 0 {
        return Err(Error::value("bootstrap", format!("of {} values, {resamples} resamples", values.len())));
    }
    let n = values.len();
    let mut stats: Vec<f64> = (0..resamples as u64)
        .map(|r| {
            let draw: Vec<f64> = rng.at(r).below(n, n as u64).into_iter().map(|i| values[i as usize]).collect();
            statistic(&draw)
        })
        .collect();
    stats.sort_by(f64::total_cmp);
    let at = |q: f64| stats[((q * resamples as f64) as usize).min(resamples - 1)];
    Ok(Interval { lo: at(0.025), hi: at(0.975) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_matches_published_values() {
        // R: binom::binom.wilson(15, 50) and (0, 20).
        let w = Proportion { hits: 15, total: 50 }.wilson95();
        assert!((w.lo - 0.191_036).abs() < 1e-5 && (w.hi - 0.437_500).abs() < 1e-4, "{w:?}");
        let w = Proportion { hits: 0, total: 20 }.wilson95();
        assert!(w.lo == 0.0 && (w.hi - 0.161_125).abs() < 1e-5, "{w:?}");
    }

    #[test]
    fn t_interval_by_hand() {
        let s = Summary::new(vec![1.0, 2.0, 3.0]).unwrap();
        let ci = s.ci95.unwrap();
        assert!((s.std.unwrap() - 1.0).abs() < 1e-12);
        assert!((ci.hi - (2.0 + 4.303 / 3f64.sqrt())).abs() < 1e-12);
        assert!((t975(31) - 2.0395).abs() < 1e-3 && (t975(1000) - 1.9623).abs() < 1e-4);
        assert!(Summary::new(vec![]).is_err() && Summary::new(vec![f64::NAN]).is_err());
        assert_eq!(Summary::new(vec![4.0]).unwrap().ci95, None);
    }

    #[test]
    fn bootstrap_of_a_mean_is_near_the_t_interval() {
        let v = Rng::new(2).normals(400);
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let b = bootstrap95(&v, 2000, mean, &Rng::new(3)).unwrap();
        let t = Summary::new(v).unwrap().ci95.unwrap();
        assert!((b.lo - t.lo).abs() < 0.02 && (b.hi - t.hi).abs() < 0.02, "{b:?} {t:?}");
    }
}

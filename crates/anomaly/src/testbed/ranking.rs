//! Mean ranks of methods, and which of them differ significantly.

use crate::{Error, Result};

/// Methods by mean rank over data sets, with the Friedman test and the Nemenyi critical difference at 5 %.
///
/// Rank 1 is the best method on a data set; tied methods share the mean of their ranks. For k methods on n data sets with mean
/// ranks R
///
/// - Friedman: `12 n / (k (k + 1)) (sum R^2 - k (k + 1)^2 / 4)`, divided by `1 - sum(t^3 - t) / (n (k^3 - k))` over groups of t tied
///   methods, against the chi-square quantile with k - 1 degrees of freedom;
/// - Nemenyi: two methods differ significantly if their mean ranks differ by more than `q sqrt(k (k + 1) / (6 n))`, with q the
///   quantile of the studentised range over sqrt 2.
///
/// Source: Demsar (2006), Journal of Machine Learning Research 7.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// Names, from the best mean rank to the worst.
    pub names: Vec<String>,
    /// Mean ranks in the same order.
    pub mean_ranks: Vec<f64>,
    /// The number of data sets.
    pub datasets: usize,
    /// The Friedman statistic; 0 if all methods are tied.
    pub friedman: f64,
    /// The 95 % quantile of the statistic under the null hypothesis that all methods are equal.
    pub friedman_quantile: f64,
    /// Mean ranks that are closer than this do not differ significantly.
    pub critical_difference: f64,
}

/// 95 % quantiles of the studentised range with infinite degrees of freedom over sqrt 2, for 2 to 20 methods (scipy 1.17).
const STUDENTISED: [f64; 19] = [
    1.9600, 2.3437, 2.5690, 2.7278, 2.8497, 2.9483, 3.0309, 3.1017, 3.1637, 3.2187, 3.2680, 3.3127, 3.3536, 3.3912,
    3.4260, 3.4584, 3.4887, 3.5171, 3.5438,
];

/// 95 % quantiles of chi-square with 1 to 19 degrees of freedom (scipy 1.17).
const CHI_SQUARE: [f64; 19] = [
    3.8415, 5.9915, 7.8147, 9.4877, 11.0705, 12.5916, 14.0671, 15.5073, 16.9190, 18.3070, 19.6751, 21.0261, 22.3620,
    23.6848, 24.9958, 26.2962, 27.5871, 28.8693, 30.1435,
];

/// Ranks from 1 for the largest value, ties at their mean rank, and the sizes of groups of ties.
fn ranks(values: &[f64]) -> (Vec<f64>, Vec<usize>) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    let (mut ranks, mut ties) = (vec![0.0; values.len()], Vec::new());
    for group in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let first = ties.iter().sum::<usize>();
        group.iter().for_each(|i| ranks[*i] = first as f64 + (group.len() + 1) as f64 / 2.0);
        ties.push(group.len());
    }
    (ranks, ties)
}

impl Ranking {
    /// Ranks methods by one row of values for each data set; higher is better.
    ///
    /// # Errors
    /// Fewer than 2 or more than 20 methods, no data sets, rows of the wrong length, a NaN.
    pub fn new(names: Vec<String>, rows: &[Vec<f64>]) -> Result<Self> {
        let (k, n) = (names.len(), rows.len());
        if !(2..=20).contains(&k) || n == 0 {
            return Err(Error::value("ranking", format!("{k} methods on {n} data sets; needs 2 to 20 on at least 1")));
        }
        if let Some(i) = rows.iter().position(|r| r.len() != k || r.iter().any(|v| v.is_nan())) {
            return Err(Error::value("ranking", format!("row {i} must hold {k} numbers, without NaN")));
        }
        let (mut sums, mut tied) = (vec![0.0; k], 0.0);
        for row in rows {
            let (ranks, ties) = ranks(row);
            sums.iter_mut().zip(ranks).for_each(|(s, r)| *s += r);
            tied += ties.iter().map(|t| (t * t * t - t) as f64).sum::<f64>();
        }
        let (kf, nf) = (k as f64, n as f64);
        let means: Vec<f64> = sums.iter().map(|s| s / nf).collect();
        let spread = means.iter().map(|r| r * r).sum::<f64>() - kf * (kf + 1.0).powi(2) / 4.0;
        let correction = 1.0 - tied / (nf * (kf.powi(3) - kf));
        let friedman = if correction > 0.0 { 12.0 * nf / (kf * (kf + 1.0)) * spread / correction } else { 0.0 };
        let mut order: Vec<usize> = (0..k).collect();
        order.sort_by(|a, b| means[*a].total_cmp(&means[*b]));
        Ok(Self {
            names: order.iter().map(|i| names[*i].clone()).collect(),
            mean_ranks: order.iter().map(|i| means[*i]).collect(),
            datasets: n,
            friedman,
            friedman_quantile: CHI_SQUARE[k - 2],
            critical_difference: STUDENTISED[k - 2] * (kf * (kf + 1.0) / (6.0 * nf)).sqrt(),
        })
    }

    /// Maximal groups of at least two methods whose mean ranks do not differ significantly: (first, last).
    pub fn groups(&self) -> Vec<(usize, usize)> {
        let mut groups: Vec<(usize, usize)> = Vec::new();
        for (i, r) in self.mean_ranks.iter().enumerate() {
            let last = self.mean_ranks.iter().rposition(|s| s - r < self.critical_difference).unwrap_or(i);
            if last > i && groups.last().is_none_or(|g| g.1 < last) {
                groups.push((i, last));
            }
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("m{i}")).collect()
    }

    /// scipy.stats.friedmanchisquare and rankdata on the same numbers.
    #[test]
    fn as_scipy_has_it() {
        let rows = [
            vec![0.9, 0.8, 0.7, 0.7],
            vec![0.6, 0.65, 0.5, 0.4],
            vec![0.95, 0.9, 0.9, 0.8],
            vec![0.7, 0.6, 0.65, 0.5],
            vec![0.8, 0.85, 0.7, 0.6],
        ];
        let r = Ranking::new(names(4), &rows).unwrap();
        assert_eq!(r.names, names(4));
        let off = r.mean_ranks.iter().zip([1.4, 1.9, 2.8, 3.9]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off < 1e-12, "{:?}", r.mean_ranks);
        assert!((r.friedman - 11.3125).abs() < 1e-9, "{}", r.friedman);
        assert!((r.critical_difference - 2.5690 * (20.0f64 / 30.0).sqrt()).abs() < 1e-12);
        assert_eq!(r.groups(), [(0, 2), (1, 3)]);
    }

    #[test]
    fn ties_and_what_cannot_be_ranked() {
        let r = Ranking::new(names(3), &[vec![1.0; 3], vec![0.5; 3]]).unwrap();
        assert_eq!((r.mean_ranks.clone(), r.friedman, r.groups()), (vec![2.0; 3], 0.0, vec![(0, 2)]));
        let last = Ranking::new(names(2), &[vec![f64::NEG_INFINITY, 0.1]]).unwrap();
        assert_eq!(last.names, ["m1", "m0"]);
        assert!(Ranking::new(names(1), &[vec![1.0]]).is_err() && Ranking::new(names(2), &[]).is_err());
        assert!(
            Ranking::new(names(2), &[vec![1.0]]).is_err() && Ranking::new(names(2), &[vec![1.0, f64::NAN]]).is_err()
        );
    }
}

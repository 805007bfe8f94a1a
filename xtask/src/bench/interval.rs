//! Intervals from order statistics: they assume no distribution of times, and need no random numbers.

use serde::{Deserialize, Serialize};

/// The probability that an interval misses, at most.
const MISSES: f64 = 0.05;

/// An estimate with an interval that holds the true value in at least 95 % of all measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// The middle value, NaN of none.
pub fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    middle(&v)
}

fn middle(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    if n == 0 { f64::NAN } else { (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0 }
}

/// The middle value and, of at least 6, the interval of its population's median: from the k-th smallest value to the k-th largest, with
/// the largest k for which both tails of the binomial distribution of n tosses of a coin stay below 5 %.
pub fn of_median(mut v: Vec<f64>) -> Option<Estimate> {
    v.sort_by(f64::total_cmp);
    let n = v.len();
    let (mut tail, mut next) = (0.0, 0.5f64.powi(n as i32));
    let mut k = 0;
    // The chance of fewer than k + 1 heads.
    while k < n && 2.0 * (tail + next) <= MISSES {
        tail += next;
        next *= (n - k) as f64 / (k + 1) as f64;
        k += 1;
    }
    (k > 0).then(|| Estimate { value: middle(&v), low: v[k - 1], high: v[n - k] })
}

/// How much larger the values of `now` are than those of `then`, all of them positive, as a factor: the median of all quotients
/// (Hodges and Lehmann), with the interval that the Wilcoxon rank-sum test does not reject.
pub fn of_change(now: &[f64], then: &[f64]) -> Option<Estimate> {
    let mut quotients: Vec<f64> = now.iter().flat_map(|a| then.iter().map(move |b| a / b)).collect();
    quotients.sort_by(f64::total_cmp);
    let mut tail = 0.0;
    let mut k = 0;
    for chance in rank_sums(now.len(), then.len()) {
        tail += chance;
        if 2.0 * tail > MISSES {
            break;
        }
        k += 1;
    }
    let all = quotients.len();
    (k > 0).then(|| Estimate { value: middle(&quotients), low: quotients[k - 1], high: quotients[all - k] })
}

/// The distribution of the number of pairs in which a value of the first sample is the larger one, where both have one distribution.
fn rank_sums(m: usize, n: usize) -> Vec<f64> {
    // ways[j][u]: choices of j among the ranks so far, with u smaller values of the other sample below them.
    let mut ways = vec![vec![0.0f64; m * n + 1]; m + 1];
    ways[0][0] = 1.0;
    for rank in 0..m + n {
        for j in (1..=m.min(rank + 1)).rev() {
            // The j-th chosen value has `rank + 1 - j` of the other sample below it.
            let below = rank + 1 - j;
            if below <= n {
                for u in (below..=m * n).rev() {
                    ways[j][u] += ways[j - 1][u - below];
                }
            }
        }
    }
    let total: f64 = ways[m].iter().sum();
    ways[m].iter().map(|w| w / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn an_interval_of_a_median_leaves_out_what_the_tables_of_the_sign_test_say() {
        let of = |n: usize| of_median((1..=n).map(|v| v as f64).collect()).map(|e| (e.value, e.low, e.high));
        assert_eq!(of(5), None, "five values cover 93.75 % at most");
        assert_eq!(of(6), Some((3.5, 1.0, 6.0)));
        assert_eq!(of(8), Some((4.5, 1.0, 8.0)));
        assert_eq!(of(9), Some((5.0, 2.0, 8.0)));
        assert_eq!(of(20), Some((10.5, 6.0, 15.0)));
    }

    #[test]
    fn the_rank_sum_test_rejects_where_its_tables_do() {
        // Largest U that is rejected at 5 %, two-sided (Mann and Whitney's tables).
        for (m, n, most) in [(4, 4, 0), (5, 5, 2), (6, 6, 5), (9, 9, 17), (5, 9, 7), (9, 5, 7), (20, 20, 127)] {
            let chances = rank_sums(m, n);
            let tail = |u: usize| 2.0 * chances[..=u].iter().sum::<f64>();
            assert!(tail(most) <= MISSES && tail(most + 1) > MISSES, "{m} {n}");
            assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
        assert_eq!(of_change(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), None);
    }

    #[test]
    fn a_change_is_a_factor() {
        let then: Vec<f64> = (0..9).map(|i| 100.0 + f64::from(i)).collect();
        let now: Vec<f64> = then.iter().rev().map(|v| 1.1 * v).collect();
        let e = of_change(&now, &then).expect("enough values");
        assert!((e.value - 1.1).abs() < 1e-12 && e.low < 1.1 && e.high > 1.1 && e.low > 1.03 && e.high < 1.17, "{e:?}");
    }
}

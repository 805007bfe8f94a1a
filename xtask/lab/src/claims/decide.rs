//! From differences to a verdict.

use anyhow::Result;
use sconce_tensor_core::stats::{Interval, Summary, t975};
use xtask::verdicts::{Beyond, SeedsNeeded, Verdict};

/// The largest number of seeds that [`seeds_needed`] tries.
const MOST_SEEDS: usize = 1000;

/// The differences of one comparison and what they say.
pub struct Decided {
    /// Mean and interval of the differences.
    pub summary: Summary,
    /// What they say.
    pub verdict: Verdict,
}

/// Whether `difference op 0`.
fn holds(op: &str, difference: f64) -> bool {
    match op {
        ">=" => difference >= 0.0,
        "<=" => difference <= 0.0,
        ">" => difference > 0.0,
        _ => difference < 0.0,
    }
}

/// Decides one comparison from its differences, one per seed. With `exact` every difference must hold; otherwise the 95 %
/// interval of their mean must lie on one side of 0. An end at 0 is on the claimed side of `>=` and `<=`, and on
/// neither side of `>` and `<`.
pub fn decide(op: &str, differences: Vec<f64>, exact: bool) -> Result<Decided> {
    let all = differences.iter().all(|d| holds(op, *d));
    let constant = differences.iter().all(|d| *d == differences[0]);
    let mut summary = Summary::new(differences)?;
    if exact {
        // No noise, so no interval.
        summary.ci95 = None;
        return Ok(Decided { summary, verdict: if all { Verdict::Exact } else { Verdict::Contradicted } });
    }
    if constant {
        // Rounding in the mean must not widen the interval, or move it off 0.
        let v = summary.values[0];
        summary.mean = v;
        summary.std = summary.std.map(|_| 0.0);
        summary.ci95 = summary.ci95.map(|_| Interval { lo: v, hi: v });
    }
    let verdict = match summary.ci95 {
        None => Verdict::Undecided,
        Some(Interval { lo, hi }) if holds(op, lo) && holds(op, hi) => Verdict::Supported,
        Some(Interval { lo, hi }) => {
            let beyond = if op.starts_with('>') { hi < 0.0 } else { lo > 0.0 };
            if beyond { Verdict::Contradicted } else { Verdict::Undecided }
        }
    };
    Ok(Decided { summary, verdict })
}

/// The verdict of several comparisons that a claim needs all of.
pub fn all_of(parts: &[Verdict]) -> Verdict {
    let any = |v| parts.contains(&v);
    if any(Verdict::Contradicted) {
        Verdict::Contradicted
    } else if any(Verdict::Undecided) || parts.is_empty() {
        Verdict::Undecided
    } else if any(Verdict::Supported) {
        Verdict::Supported
    } else {
        Verdict::Exact
    }
}

/// The smallest number of seeds for which the interval would leave 0, were mean and spread to stay as they are.
/// `None` where no number would do (a mean of 0), or where the spread is not known (one value).
pub fn seeds_needed(s: &Summary) -> Option<SeedsNeeded> {
    let spread = s.std?;
    if s.mean == 0.0 {
        return None;
    }
    let leaves = |n: &usize| t975(n - 1) * spread / (*n as f64).sqrt() < s.mean.abs();
    Some((2..=MOST_SEEDS).find(leaves).map_or(SeedsNeeded::Beyond(Beyond::Thousand), SeedsNeeded::Count))
}

/// The seeds that decide all of the undecided comparisons: the largest of their numbers, or `None` where one has none.
pub fn seeds_for_all(undecided: &[&Summary]) -> Option<SeedsNeeded> {
    let each: Option<Vec<SeedsNeeded>> = undecided.iter().map(|s| seeds_needed(s)).collect();
    each?.into_iter().max_by_key(|n| match n {
        SeedsNeeded::Count(n) => *n,
        SeedsNeeded::Beyond(_) => usize::MAX,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Contradicted, Exact, Supported, Undecided};

    fn verdict(op: &str, d: &[f64]) -> Verdict {
        decide(op, d.to_vec(), false).unwrap().verdict
    }

    #[test]
    fn the_interval_decides() {
        // Mean 2, s = 1, n = 3: half a width of 4.303 / sqrt(3) = 2.484, so [-0.484, 4.484].
        assert_eq!([">", "<", ">=", "<="].map(|op| verdict(op, &[1.0, 2.0, 3.0])), [Undecided; 4]);
        // Mean 3, the same spread: [0.516, 5.484].
        let d = [2.0, 3.0, 4.0];
        assert_eq!(
            [">", ">=", "<", "<="].map(|op| verdict(op, &d)),
            [Supported, Supported, Contradicted, Contradicted]
        );
        let d = [-2.0, -3.0, -4.0];
        assert_eq!(
            [">", ">=", "<", "<="].map(|op| verdict(op, &d)),
            [Contradicted, Contradicted, Supported, Supported]
        );
        let s = decide(">", vec![2.0, 3.0, 4.0], false).unwrap().summary.ci95.unwrap();
        assert!(
            (s.lo - (3.0 - 4.303 / 3f64.sqrt())).abs() < 1e-12 && (s.hi - (3.0 + 4.303 / 3f64.sqrt())).abs() < 1e-12
        );
    }

    #[test]
    fn one_value_decides_nothing() {
        let d = decide(">", vec![5.0], false).unwrap();
        assert!(d.verdict == Undecided && d.summary.ci95.is_none() && seeds_needed(&d.summary).is_none());
    }

    #[test]
    fn no_spread_is_decided_by_the_value() {
        let same = |v: f64| [v; 7];
        assert_eq!((verdict(">", &same(0.1)), verdict("<", &same(0.1))), (Supported, Contradicted));
        // Exactly 0: on the claimed side of a closed end, on neither side of an open one.
        assert_eq!(
            [">", "<", ">=", "<="].map(|op| verdict(op, &same(0.0))),
            [Undecided, Undecided, Supported, Supported]
        );
        let d = decide(">", vec![0.1; 7], false).unwrap().summary;
        assert_eq!((d.ci95.unwrap().lo, d.ci95.unwrap().hi, d.mean), (0.1, 0.1, 0.1));
        assert_eq!(seeds_needed(&decide(">", vec![0.0; 7], false).unwrap().summary), None);
    }

    #[test]
    fn an_exact_comparison_holds_for_every_value_or_is_contradicted() {
        let exact = |op: &str, d: &[f64]| decide(op, d.to_vec(), true).unwrap();
        assert_eq!(exact("<", &[-0.5]).verdict, Exact);
        assert_eq!(exact(">", &[0.0, 0.0]).verdict, Contradicted);
        assert_eq!((exact(">=", &[0.0, 1.0]).verdict, exact(">=", &[5.0, -0.1]).verdict), (Exact, Contradicted));
        assert!(exact(">=", &[0.0, 1.0]).summary.ci95.is_none());
    }

    #[test]
    fn a_claim_needs_all_of_its_comparisons() {
        assert_eq!(all_of(&[Supported, Contradicted, Undecided]), Contradicted);
        assert_eq!(all_of(&[Supported, Undecided]), Undecided);
        assert_eq!(all_of(&[Supported, Supported]), Supported);
        assert_eq!(all_of(&[Exact, Exact]), Exact);
    }

    #[test]
    fn seeds_that_it_would_take() {
        // Mean 2, s = 1. n = 3 gives 4.303 / sqrt(3) = 2.48 > 2; n = 4 gives 3.182 / 2 = 1.59 < 2.
        let of = |v: &[f64]| Summary::new(v.to_vec()).unwrap();
        let (two, tiny) = (of(&[1.0, 2.0, 3.0]), of(&[-1.0, 0.001, 1.0]));
        assert_eq!(seeds_needed(&two), Some(SeedsNeeded::Count(4)));
        // Mean 0.5, s = 1. n = 17 gives 2.120 / sqrt(17) = 0.514; n = 18 gives 2.110 / sqrt(18) = 0.497.
        assert_eq!(seeds_needed(&of(&[-0.5, 0.5, 1.5])), Some(SeedsNeeded::Count(18)));
        assert_eq!(seeds_needed(&tiny), Some(SeedsNeeded::Beyond(Beyond::Thousand)));
        assert_eq!(seeds_needed(&of(&[-1.0, 1.0])), None);
        assert_eq!(seeds_for_all(&[&two, &of(&[-0.5, 0.5, 1.5])]), Some(SeedsNeeded::Count(18)));
        assert_eq!(seeds_for_all(&[&two, &tiny]), Some(SeedsNeeded::Beyond(Beyond::Thousand)));
        assert_eq!(seeds_for_all(&[&two, &of(&[-1.0, 1.0])]), None);
    }
}

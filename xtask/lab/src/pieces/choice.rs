//! Choosing a value from a grid, which grows where the best one is at its end.

use crate::jobs::{Job, Work};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// A value that was chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice<S> {
    /// It.
    pub value: f64,
    /// Every value that was tried with its score, from the smallest on.
    pub tried: Vec<(f64, S)>,
    /// Whether it is at the end of what was tried: a better one may lie past it.
    pub at_end: bool,
    /// Whether it keeps the rule of the recipe (such as clean accuracy); none of those that were tried does, where it does not.
    pub keeps_rule: bool,
}

/// The place of the best value, and whether it keeps the rule of the recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Best {
    at: usize,
    keeps_rule: bool,
}

impl Best {
    /// The best of those that keep the rule.
    pub fn keeping_the_rule(at: usize) -> Self {
        Self { at, keeps_rule: true }
    }

    /// None keeps the rule: what is taken instead.
    pub fn breaking_the_rule(at: usize) -> Self {
        Self { at, keeps_rule: false }
    }
}

impl<S> Choice<S> {
    /// What a reader must know of it: `what` names the constant and whose it is.
    pub fn remark(&self, what: &str) -> Option<String> {
        let value = self.value;
        match (self.at_end, self.keeps_rule) {
            (false, true) => None,
            (true, true) => Some(format!("The {what}, {value}, is at the end of its grid.")),
            (_, false) => Some(format!(
                "The {what}, {value}, breaks the rule of the selection: no value that was tried keeps it."
            )),
        }
    }
}

/// Scores every value of a grid, and up to `widen` more past the end that the best one is at, each as far from the last as the two
/// values at that end are (by factor). Of values with the score of the best, the middle one is taken: a plateau has no end to go past.
pub fn choose<S: PartialEq>(
    grid: &[f64],
    widen: usize,
    mut score: impl FnMut(f64) -> Result<S>,
    best: impl Fn(&[(f64, S)]) -> Option<Best>,
) -> Result<Choice<S>> {
    let mut values = grid.to_vec();
    values.sort_by(f64::total_cmp);
    values.dedup();
    if widen > 0 && values.len() > 1 && values[0] <= 0.0 {
        bail!("a grid that may be widened needs positive values, got {grid:?}; set widen = 0");
    }
    let mut tried = values.iter().map(|v| Ok((*v, score(*v)?))).collect::<Result<Vec<_>>>()?;
    for more in (0..=widen).rev() {
        let found = best(&tried).context("no value to choose: training diverged with each")?;
        let equal: Vec<usize> = (0..tried.len()).filter(|i| tried[*i].1 == tried[found.at].1).collect();
        let (at, last) = (equal[equal.len() / 2], tried.len() - 1);
        let at_end = last > 0 && (at == 0 || at == last);
        if !at_end || more == 0 {
            return Ok(Choice { value: tried[at].0, tried, at_end, keeps_rule: found.keeps_rule });
        }
        if at == 0 {
            let next = past(tried[1].0, tried[0].0);
            tried.insert(0, (next, score(next)?));
        } else {
            let next = past(tried[last - 1].0, tried[last].0);
            tried.push((next, score(next)?));
        }
    }
    bail!("no value to choose")
}

/// The value as far from `end` as `end` is from `inner`, by factor; without the noise of the division.
fn past(inner: f64, end: f64) -> f64 {
    let next = end * (end / inner);
    format!("{next:.11e}").parse().unwrap_or(next)
}

/// Refuses a list of seeds that is empty or names one twice: two equal values would pass for no spread.
pub fn distinct(name: &str, seeds: &[u64]) -> Result<()> {
    let mut unique = seeds.to_vec();
    unique.sort_unstable();
    unique.dedup();
    if seeds.is_empty() || unique.len() < seeds.len() {
        bail!("{name}: needs at least one seed, each once, got {seeds:?}");
    }
    Ok(())
}

/// A value that the recipe gives, or that a job chooses.
#[derive(Clone, Copy, Serialize)]
pub enum Value<J> {
    /// A grid of one leaves nothing to choose.
    Given(f64),
    /// Chosen among several.
    Chosen(J),
}

impl<S, J: Job<Output = Choice<S>>> Value<J> {
    /// The key of the job that chooses.
    pub fn need(&self) -> Option<String> {
        match self {
            Self::Given(_) => None,
            Self::Chosen(choose) => Some(choose.key()),
        }
    }

    /// The value itself, for a job that needs [`Value::need`].
    pub fn get(&self, work: &Work<'_>) -> Result<f64> {
        match self {
            Self::Given(value) => Ok(*value),
            Self::Chosen(choose) => Ok(work.output(choose)?.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value nearest to `to` on a scale of tens.
    fn nearest(to: f64, grid: &[f64], widen: usize) -> Choice<f64> {
        let score = |v: f64| Ok(-(v / to).log10().abs());
        choose(grid, widen, score, highest).unwrap()
    }

    fn highest(t: &[(f64, f64)]) -> Option<Best> {
        Some(Best::keeping_the_rule((0..t.len()).max_by(|a, b| t[*a].1.total_cmp(&t[*b].1))?))
    }

    #[test]
    fn a_choice_inside_the_grid_stays() {
        let c = nearest(0.1, &[0.01, 0.1, 1.0, 0.1], 2);
        assert_eq!((c.value, c.at_end, c.tried.len()), (0.1, false, 3));
        assert_eq!(c.remark("weight"), None);
    }

    #[test]
    fn a_choice_at_the_end_widens_the_grid_until_it_is_inside() {
        let c = nearest(10.0, &[1.0, 0.01, 0.1], 2);
        assert_eq!((c.value, c.at_end, c.tried.len()), (10.0, false, 5));
        let c = nearest(1e-3, &[0.01, 0.1], 2);
        assert_eq!((c.value, c.at_end, c.tried.len()), (1e-3, false, 4));
        assert!(c.tried.windows(2).all(|w| w[0].0 < w[1].0));
        let tried: Vec<String> = nearest(1e-5, &[3e-4, 1e-3], 2).tried.iter().map(|t| t.0.to_string()).collect();
        assert_eq!(tried, ["0.000027", "0.00009", "0.0003", "0.001"]);
    }

    #[test]
    fn one_that_stays_at_the_end_says_so() {
        let c = nearest(1e9, &[0.1, 1.0], 2);
        assert_eq!((c.value, c.at_end, c.tried.len()), (100.0, true, 4));
        assert_eq!(c.remark("weight of Absum").unwrap(), "The weight of Absum, 100, is at the end of its grid.");
        assert!(nearest(1.0, &[0.1, 1.0], 0).at_end);
        assert!(!nearest(5.0, &[0.0], 3).at_end, "one value is no choice");
    }

    #[test]
    fn a_plateau_is_not_followed() {
        let c = choose(&[1.0, 2.0, 4.0], 2, |_| Ok(0.0), highest).unwrap();
        assert_eq!((c.value, c.at_end, c.tried.len()), (2.0, false, 3));
    }

    #[test]
    fn a_grid_that_cannot_be_widened_and_one_where_all_diverge_are_refused() {
        let e = choose(&[0.0, 1.0], 1, Ok, highest).unwrap_err().to_string();
        assert!(e.contains("needs positive values") && e.contains("widen = 0"), "{e}");
        assert!(choose(&[0.0, 1.0], 0, Ok, highest).unwrap().at_end);
        assert!(choose(&[1.0, 2.0], 1, Ok, |_| None).unwrap_err().to_string().contains("diverged"));
    }

    #[test]
    fn a_choice_that_breaks_the_rule_says_so() {
        let c = choose(&[1.0, 2.0, 3.0], 0, Ok, |_| Some(Best::breaking_the_rule(1))).unwrap();
        assert!(c.remark("weight").unwrap().contains("breaks the rule"));
    }
}

//! Choosing a value from a grid, which grows where the best one is at its end.

use crate::jobs::{Job, Work};
use anyhow::{Context, Result};
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
}

/// Scores every value of a grid, and up to `widen` more past the end that the best one is at, each as far from the last as the two
/// values at that end are (by factor). `best` gives the place of the best one. A grid of one value leaves nothing to choose.
pub fn choose<S>(
    grid: &[f64],
    widen: usize,
    mut score: impl FnMut(f64) -> Result<S>,
    best: impl Fn(&[(f64, S)]) -> Option<usize>,
) -> Result<Choice<S>> {
    let mut values = grid.to_vec();
    values.sort_by(f64::total_cmp);
    let mut tried = values.iter().map(|v| Ok((*v, score(*v)?))).collect::<Result<Vec<_>>>()?;
    for more in (0..=widen).rev() {
        let at = best(&tried).context("no value to choose")?;
        let last = tried.len() - 1;
        let at_end = last > 0 && (at == 0 || at == last);
        if !at_end || more == 0 {
            return Ok(Choice { value: tried[at].0, tried, at_end });
        }
        if at == 0 {
            let next = tried[0].0 * (tried[0].0 / tried[1].0);
            tried.insert(0, (next, score(next)?));
        } else {
            let next = tried[last].0 * (tried[last].0 / tried[last - 1].0);
            tried.push((next, score(next)?));
        }
    }
    anyhow::bail!("no value to choose")
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
        let best = |t: &[(f64, f64)]| (0..t.len()).max_by(|a, b| t[*a].1.total_cmp(&t[*b].1));
        choose(grid, widen, score, best).unwrap()
    }

    #[test]
    fn a_choice_inside_the_grid_stays() {
        let c = nearest(0.1, &[0.01, 0.1, 1.0], 2);
        assert_eq!((c.value, c.at_end, c.tried.len()), (0.1, false, 3));
    }

    #[test]
    fn a_choice_at_the_end_widens_the_grid_until_it_is_inside() {
        let c = nearest(10.0, &[1.0, 0.01, 0.1], 2);
        assert!((c.value - 10.0).abs() < 1e-9 && !c.at_end && c.tried.len() == 5, "{c:?}");
        let c = nearest(1e-3, &[0.01, 0.1], 2);
        assert!((c.value - 1e-3).abs() < 1e-12 && !c.at_end && c.tried.len() == 4, "{c:?}");
        assert!(c.tried.windows(2).all(|w| w[0].0 < w[1].0));
    }

    #[test]
    fn one_that_stays_at_the_end_says_so() {
        let c = nearest(1e9, &[0.1, 1.0], 2);
        assert!((c.value - 100.0).abs() < 1e-9 && c.at_end && c.tried.len() == 4, "{c:?}");
        assert!(nearest(1.0, &[0.1, 1.0], 0).at_end);
        assert!(!nearest(5.0, &[0.0], 3).at_end, "one value is no choice");
    }
}

//! Empirical tail probabilities of each feature, and the detectors that sum them.

use crate::rows::Rows;
use crate::{Detector, Loaded, Result, State, TrainingRows};
use candle_core::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The sorted values of each feature, and the sign of its skewness.
#[derive(Clone, Debug)]
pub(super) struct Tails {
    columns: Vec<Sorted>,
    skewness: Vec<f64>,
}

/// Sorted values with an index for fast rank queries: every [`RUN`]-th value (the heads), and as many cells of equal width with
/// the first head of each cell. A query goes from a cell to a few heads to a short run, which touches two or three cache lines
/// where a bisection of all values touches twenty. If all values are in one cell, it is a bisection.
#[derive(Clone, Debug)]
struct Sorted {
    values: Vec<f64>,
    heads: Vec<f64>,
    cells: Vec<u32>,
    /// Cells per unit.
    scale: f64,
}

const RUN: usize = 16;

impl Sorted {
    /// From at least one value, in ascending order.
    fn new(values: Vec<f64>) -> Self {
        let heads: Vec<f64> = values.iter().copied().step_by(RUN).collect();
        let (lo, hi) = (values[0], values[values.len() - 1]);
        let scale = heads.len() as f64 / (hi - lo);
        // With zero or overflowing width there is a single cell.
        let scale = if scale.is_finite() { scale } else { 0.0 };
        let mut sorted = Self { values, heads, cells: Vec::new(), scale };
        let mut cells = vec![0u32; sorted.heads.len() + 2];
        for h in &sorted.heads {
            cells[sorted.cell(*h) + 1] += 1;
        }
        let mut sum = 0;
        for c in &mut cells {
            sum += *c;
            *c = sum;
        }
        sorted.cells = cells;
        sorted
    }

    /// The cell of v, in 0..=heads; it increases with v.
    fn cell(&self, v: f64) -> usize {
        (((v - self.values[0]) * self.scale) as usize).min(self.heads.len())
    }

    /// The start of the run that contains the first value >= v, or ends just before it.
    fn run(&self, v: f64) -> usize {
        let at = self.cell(v);
        let (a, b) = (self.cells[at] as usize, self.cells[at + 1] as usize);
        let heads = a + self.heads[a..b].partition_point(|x| *x < v);
        // The first value >= v is in the run of the last head < v, or it is the next head.
        heads.saturating_sub(1) * RUN
    }

    /// The numbers of values < v and <= v; `from` is [`Sorted::run`] of v.
    fn ranks(&self, v: f64, from: usize) -> (usize, usize) {
        let c = &self.values;
        let below = from + c[from..c.len().min(from + RUN)].partition_point(|x| *x < v);
        // There are usually few values equal to v, so the search starts here.
        let (mut upto, mut stride) = (below, 1);
        while upto + stride <= c.len() && c[upto + stride - 1] <= v {
            upto += stride;
            stride *= 2;
        }
        if stride > 1 {
            upto += c[upto..c.len().min(upto + stride)].partition_point(|x| *x <= v);
        }
        (below, upto)
    }
}

#[derive(Serialize, Deserialize)]
struct Values {
    skewness: Vec<f64>,
}

/// `-log` of the left and right tail probability of a value, and the sign of the feature's skewness.
pub(super) struct Tail {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) skewness: f64,
}

impl Tail {
    /// The tail on the side of the skewness; both tails if the skewness is 0.
    pub(super) fn skewed(&self) -> f64 {
        self.left * -(self.skewness - 1.0).signum_or_zero() + self.right * (self.skewness + 1.0).signum_or_zero()
    }
}

trait SignumOrZero {
    fn signum_or_zero(self) -> Self;
}

impl SignumOrZero for f64 {
    fn signum_or_zero(self) -> Self {
        if self == 0.0 { 0.0 } else { self.signum() }
    }
}

/// The sign of the third central moment; 0 for a constant.
fn skewness_sign(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let moment = |p: i32| values.iter().map(|v| (v - mean).powi(p)).sum::<f64>() / n;
    let (second, third) = (moment(2), moment(3));
    // scipy treats a spread below the rounding error as constant.
    if second.sqrt() <= f64::EPSILON * mean.abs() { 0.0 } else { third.signum_or_zero() }
}

impl Tails {
    pub(super) fn of(x: &Tensor) -> Result<Self> {
        let feature = |mut column: Vec<f64>| {
            let skewness = skewness_sign(&column);
            column.par_sort_unstable_by(f64::total_cmp);
            (Sorted::new(column), skewness)
        };
        let (columns, skewness) = Rows::columns(x)?.into_par_iter().map(feature).unzip();
        Ok(Self { columns, skewness })
    }

    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// The sum over features of a function of the tails, for each row. A tail is the share of training values at or beyond the
    /// row's value, at least that of one value.
    fn sums(&self, rows: &[f64], of: fn(&Tail) -> f64) -> Vec<f64> {
        let mut sums = vec![0.0; rows.len() / self.width()];
        self.each(rows, of, |_, row, part| sums[row] += part);
        sums
    }

    /// The terms of the sums, row after row.
    fn terms(&self, rows: &[f64], of: fn(&Tail) -> f64) -> Vec<f64> {
        let width = self.width();
        let mut terms = vec![0.0; rows.len()];
        self.each(rows, of, |feature, row, part| terms[row * width + feature] = part);
        terms
    }

    /// Calls `with` for each feature and row with a function of the tails there.
    fn each(&self, rows: &[f64], of: fn(&Tail) -> f64, mut with: impl FnMut(usize, usize, f64)) {
        let width = self.width();
        let mut runs = vec![0; rows.len() / width];
        for (j, (c, skewness)) in self.columns.iter().zip(&self.skewness).enumerate() {
            let n = c.values.len();
            let share = |count: usize| -(count.max(1) as f64 / n as f64).ln();
            let column = || rows.iter().skip(j).step_by(width);
            // All runs are found first, so that their loads from memory overlap.
            let mut touched = 0.0;
            for (run, v) in runs.iter_mut().zip(column()) {
                *run = c.run(*v);
                touched += c.values[*run];
            }
            std::hint::black_box(touched);
            for (i, (run, v)) in runs.iter().zip(column()).enumerate() {
                let (below, upto) = c.ranks(*v, *run);
                with(j, i, of(&Tail { left: share(upto), right: share(n - below), skewness: *skewness }));
            }
        }
    }

    /// Values and tensors of a [`crate::State`].
    pub(super) fn state(&self) -> Result<State> {
        let n = self.columns.first().map_or(0, |c| c.values.len());
        let all: Vec<f64> = self.columns.iter().flat_map(|c| c.values.iter().copied()).collect();
        let columns = Tensor::from_vec(all, (self.width(), n), &candle_core::Device::Cpu)?;
        State::new(&Values { skewness: self.skewness.clone() }, vec![("sorted", columns)])
    }

    pub(super) fn restore(from: &Loaded) -> Result<Self> {
        let skewness = from.values::<Values>()?.skewness;
        let all = from.numbers("sorted")?;
        let width = skewness.len();
        if width == 0 || all.is_empty() || !all.len().is_multiple_of(width) {
            let reason = format!("{} sorted values for {width} features", all.len());
            return Err(crate::Error::value("detector", reason));
        }
        Ok(Self { columns: all.chunks_exact(all.len() / width).map(|c| Sorted::new(c.to_vec())).collect(), skewness })
    }
}

/// A detector whose score is the sum over features of a function of the tails.
#[derive(Debug)]
pub(super) struct TailSum {
    pub(super) name: &'static str,
    pub(super) tails: Tails,
    /// The contribution of a feature to the score.
    pub(super) share: fn(&Tail) -> f64,
}

impl TailSum {
    /// Fits on the examples that are not known anomalies.
    pub(super) fn fit(
        name: &'static str,
        share: fn(&Tail) -> f64,
        train: &TrainingRows<'_>,
    ) -> Result<Box<dyn Detector>> {
        Ok(Box::new(Self { name, tails: Tails::of(&train.normals()?)?, share }))
    }

    pub(super) fn restore(name: &'static str, share: fn(&Tail) -> f64, from: &Loaded) -> Result<Box<dyn Detector>> {
        Ok(Box::new(Self { name, tails: Tails::restore(from)?, share }))
    }
}

impl Detector for TailSum {
    fn name(&self) -> &'static str {
        self.name
    }

    fn features(&self) -> usize {
        self.tails.width()
    }

    fn score(&self, x: &Tensor) -> Result<Tensor> {
        super::score_blocks(x, self.tails.width(), |rows| self.tails.sums(rows, self.share))
    }

    fn contributions(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let width = self.tails.width();
        let terms = super::score_blocks(x, width, |rows| self.tails.terms(rows, self.share))?;
        Ok(Some(terms.reshape(((), width))?))
    }

    fn state(&self) -> Result<State> {
        self.tails.state()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared with counting, with ties across runs and values outside the range.
    #[test]
    fn ranks_are_counts() {
        for n in [1, 2, RUN - 1, RUN, RUN + 1, 5 * RUN + 3] {
            for ties in [1, 7, 300] {
                let values: Vec<f64> = (0..n).map(|i| (i / ties) as f64).collect();
                let sorted = Sorted::new(values.clone());
                for v in (-2..(n / ties) as i64 + 3).flat_map(|v| [v as f64, v as f64 + 0.5]) {
                    let count = |f: &dyn Fn(&f64) -> bool| values.iter().filter(|x| f(x)).count();
                    assert_eq!(
                        sorted.ranks(v, sorted.run(v)),
                        (count(&|x| *x < v), count(&|x| *x <= v)),
                        "{n} {ties} {v}"
                    );
                }
            }
        }
    }
}

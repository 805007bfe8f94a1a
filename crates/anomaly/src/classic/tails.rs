//! Empirical tail probabilities of each feature, and the detectors that sum them.

use crate::rows::Rows;
use crate::{Detector, Loaded, Result, State, Training};
use candle_core::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The sorted values of each feature, and the sign of its skewness.
#[derive(Clone, Debug)]
pub(super) struct Tails {
    columns: Vec<Vec<f64>>,
    skewness: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
struct Values {
    skewness: Vec<f64>,
}

/// A feature's left and right tail, `-log` of both, and the sign of its skewness.
pub(super) struct Tail {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) skewness: f64,
}

impl Tail {
    /// The tail on the side where the feature is skewed to; both where it is not.
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
    // scipy takes a spread below rounding for a constant.
    if second.sqrt() <= f64::EPSILON * mean.abs() { 0.0 } else { third.signum_or_zero() }
}

impl Tails {
    pub(super) fn of(rows: &Rows) -> Self {
        let feature = |j: usize| {
            let mut column = rows.column(j);
            let skewness = skewness_sign(&column);
            column.par_sort_unstable_by(f64::total_cmp);
            (column, skewness)
        };
        let (columns, skewness) = (0..rows.width()).into_par_iter().map(feature).unzip();
        Self { columns, skewness }
    }

    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// The tails of a row, feature by feature: the shares of training values at or beyond each, none less than one value's.
    pub(super) fn at<'a>(&'a self, row: &'a [f64]) -> impl Iterator<Item = Tail> + 'a {
        row.iter().zip(&self.columns).zip(&self.skewness).map(|((v, c), s)| {
            let n = c.len();
            let share = |count: usize| -(count.max(1) as f64 / n as f64).ln();
            let below = c.partition_point(|x| x < v);
            // Values equal to it are few as a rule: looked for from there on.
            let mut upto = below;
            let mut stride = 1;
            while upto + stride <= n && c[upto + stride - 1] <= *v {
                upto += stride;
                stride *= 2;
            }
            let upto = upto + c[upto..n.min(upto + stride)].partition_point(|x| x <= v);
            Tail { left: share(upto), right: share(n - below), skewness: *s }
        })
    }

    /// Values and tensors of a [`crate::State`].
    pub(super) fn state(&self) -> Result<State> {
        let n = self.columns.first().map_or(0, Vec::len);
        let all: Vec<f64> = self.columns.concat();
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
        Ok(Self { columns: all.chunks_exact(all.len() / width).map(<[f64]>::to_vec).collect(), skewness })
    }
}

/// A detector whose score is a sum over features of a function of their tails.
#[derive(Debug)]
pub(super) struct TailSum {
    pub(super) name: &'static str,
    pub(super) tails: Tails,
    /// A feature's share of the score.
    pub(super) share: fn(&Tail) -> f64,
}

impl TailSum {
    /// Fitted on the examples that are not known to be anomalies.
    pub(super) fn fit(name: &'static str, share: fn(&Tail) -> f64, train: &Training<'_>) -> Result<Box<dyn Detector>> {
        Ok(Box::new(Self { name, tails: Tails::of(&Rows::of(&train.normals()?)?), share }))
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
        super::score_rows(x, self.tails.width(), |row| self.tails.at(row).map(|t| (self.share)(&t)).sum())
    }

    fn state(&self) -> Result<State> {
        self.tails.state()
    }
}

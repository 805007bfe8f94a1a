//! Distances of all pairs of rows in f32 with a bound of their error, and exact ones of the pairs that the bound does not decide.
//!
//! # The bound
//! With `u = 2^-24`, rows a and b of D features, and `x` their product as the f64 path computes it, the f32 product `x'` has
//! `|x' - x| <= g |a| |b| + h`, `g = (D + 8) u / (1 - (D + 8) u)`, `h = D 2^-124 (1 + A + B)` with A and B the largest norms of both sides:
//! - rounding both factors to f32 is a relative error of u each; a sum of D terms in any order, fused or not, has one of
//!   `D u / (1 - D u)` of `sum |a_k b_k|` (Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1), which is at most
//!   `|a| |b|` by Cauchy and Schwarz;
//! - the remaining 6 u are for the error of the f64 product, of the norms and of the bound itself, each below `D 2^-52` or u;
//! - where a factor, a term or a sum is below the normal range of f32, its absolute error is below `2^-126`, which is h.
//!
//! No value overflows while `A, B <= 2^50`. The f64 distance is a monotone function of the f64 product, rounding included, so its values
//! at `x' - e` and `x' + e` enclose it. Comparisons that the enclosure leaves open are made with the f64 distance: results are those of
//! the plain f64 path, bit by bit.

use super::blocks::{elements, squared_distance, squared_norms};
use super::features::Features;
use crate::Result;
use rayon::prelude::*;
use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::ops;

/// Largest norm and width that the bound covers.
const LARGEST: f64 = (1u64 << 50) as f64;
const WIDEST: usize = 1 << 20;
/// A block is computed in f64 whole where more than one pair in so many is open.
const SPARSE: usize = 32;

/// Features with the norms of their rows.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    pub(super) features: Features,
    pub(super) norms: Vec<f64>,
    lengths: Vec<f64>,
}

impl Rows {
    pub(super) fn new(features: &Features) -> Result<Self> {
        let norms = squared_norms(features)?;
        let lengths = norms.iter().map(|n| n.sqrt()).collect();
        Ok(Self { features: features.clone(), norms, lengths })
    }

    fn largest(&self) -> f64 {
        self.lengths.iter().copied().fold(0.0, f64::max)
    }
}

/// A block of pairs of rows `a_(row + i)`, `b_(column + j)`.
pub(super) struct Block<'a> {
    a: &'a Rows,
    b: &'a Rows,
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    /// The products in f32, row by row.
    values: Vec<f32>,
    relative: f64,
    absolute: f64,
}

/// One row of a block.
pub(super) struct Row<'a> {
    values: &'a [f32],
    norm: f64,
    norms: &'a [f64],
    lengths: &'a [f64],
    relative: f64,
    absolute: f64,
}

impl Row<'_> {
    /// Bounds of the squared distance to row j of the block's columns.
    #[inline(always)]
    pub(super) fn bounds(&self, j: usize) -> (f64, f64) {
        if self.absolute == f64::INFINITY {
            return (0.0, f64::INFINITY);
        }
        let (x, e) = (f64::from(self.values[j]), self.relative * self.lengths[j] + self.absolute);
        let at = |x: f64| squared_distance(self.norm, self.norms[j], x);
        (at(x + e), at(x - e))
    }
}

impl Block<'_> {
    /// Row i of the block.
    pub(super) fn row(&self, i: usize) -> Row<'_> {
        let columns = self.column..self.column + self.width;
        Row {
            values: &self.values[i * self.width..(i + 1) * self.width],
            norm: self.a.norms[self.row + i],
            norms: &self.b.norms[columns.clone()],
            lengths: &self.b.lengths[columns],
            relative: self.relative * self.a.lengths[self.row + i],
            absolute: self.absolute,
        }
    }

    /// The squared distances in f64 of the columns `of[i]` to each row i.
    pub(super) fn exact_of_rows(&self, of: &[Vec<usize>]) -> Result<Vec<Vec<f64>>> {
        exact((self.a, self.row), (self.b, self.column, self.width), of)
    }

    /// The squared distances in f64 of the rows `of[j]` to each column j.
    pub(super) fn exact_of_columns(&self, of: &[Vec<usize>]) -> Result<Vec<Vec<f64>>> {
        exact((self.b, self.column), (self.a, self.row, self.height), of)
    }
}

/// A product has the same bits whatever the number of rows and columns beside it, and for (a, b) and (b, a).
fn exact(
    (a, row): (&Rows, usize),
    (b, column, width): (&Rows, usize, usize),
    of: &[Vec<usize>],
) -> Result<Vec<Vec<f64>>> {
    let distance = |i: usize, j: usize, x: f64| squared_distance(a.norms[row + i], b.norms[column + j], x);
    if of.iter().map(Vec::len).sum::<usize>() > of.len() * width / SPARSE {
        let whole = ops::linear(&a.features.block(row, of.len())?, &b.features.block(column, width)?, None)?;
        return elements(&whole, |x| {
            of.par_iter()
                .enumerate()
                .map(|(i, js)| js.iter().map(|&j| distance(i, j, x[i * width + j])).collect())
                .collect()
        });
    }
    of.par_iter()
        .enumerate()
        .map(|(i, js)| {
            if js.is_empty() {
                return Ok(Vec::new());
            }
            let at = Tensor::from_iter(js.iter().map(|j| (column + j) as u32), &Device::Cpu)?;
            let others = b.features.rows().index_select(&at, 0)?.to_dtype(DType::F64)?;
            let x = ops::linear(&a.features.block(row + i, 1)?, &others, None)?;
            elements(&x, |x| js.iter().zip(x).map(|(&j, x)| distance(i, j, *x)).collect())
        })
        .collect()
}

/// Visits all pairs of rows in blocks; `first_column` is that of a row of blocks.
pub(super) fn screened(
    a: &Rows,
    b: &Rows,
    block: usize,
    first_column: impl Fn(usize) -> usize,
    mut visit: impl FnMut(&Block<'_>) -> Result<()>,
) -> Result<()> {
    let d = a.features.width();
    let (largest_a, largest_b) = (a.largest(), b.largest());
    let fits = d <= WIDEST && largest_a <= LARGEST && largest_b <= LARGEST;
    let share = (d + 8) as f64 / f64::from(1u32 << 24);
    // Nothing is known of a product outside the range: its bounds are 0 and infinity, and all pairs are open.
    let (relative, absolute) = if fits {
        (share / (1.0 - share), d as f64 * 2f64.powi(-124) * (1.0 + largest_a + largest_b))
    } else {
        (0.0, f64::INFINITY)
    };
    for row in (0..a.features.len()).step_by(block) {
        let height = block.min(a.features.len() - row);
        let rows = single(&a.features, row, height)?;
        for column in (first_column(row)..b.features.len()).step_by(block) {
            let width = block.min(b.features.len() - column);
            let product = if fits {
                ops::linear(&rows, &single(&b.features, column, width)?, None)?
            } else {
                Tensor::zeros((height, width), DType::F32, &Device::Cpu)?
            };
            let values = product.flatten_all()?.to_vec1()?;
            visit(&Block { a, b, row, column, height, width, values, relative, absolute })?;
        }
    }
    Ok(())
}

fn single(features: &Features, at: usize, len: usize) -> Result<Tensor> {
    Ok(features.rows().narrow(0, at, len)?.to_dtype(DType::F32)?)
}

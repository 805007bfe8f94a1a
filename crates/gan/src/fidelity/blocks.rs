//! Products, and distances, of all pairs of rows, a block at a time.

use super::features::Features;
use crate::{Error, Result};
use sconce_tensor_core::candle_core::{CpuStorage, Storage, Tensor};
use sconce_tensor_core::ops;

/// Rows and columns of a block: 8 MiB of products.
pub(super) const BLOCK: usize = 1024;

/// A block of the matrix of products `<a_i, b_j>`.
#[derive(Clone, Copy)]
pub(super) struct Products<'a> {
    /// The first row, as an index in `a`.
    pub(super) row: usize,
    /// The first column, as an index in `b`.
    pub(super) column: usize,
    /// The number of columns.
    pub(super) width: usize,
    /// The products, row by row.
    pub(super) values: &'a [f64],
}

/// Gives the elements of a contiguous tensor of f64 on the host to `f`.
pub(super) fn elements<R>(t: &Tensor, f: impl FnOnce(&[f64]) -> R) -> Result<R> {
    let t = t.contiguous()?;
    let (storage, layout) = t.storage_and_layout();
    let at = layout.start_offset();
    match &*storage {
        Storage::Cpu(CpuStorage::F64(all)) => Ok(f(&all[at..at + t.elem_count()])),
        _ => Ok(f(&t.flatten_all()?.to_vec1()?)),
    }
}

/// Visits the products of all rows of `a` with all rows of `b`, in blocks of `block`: rows in order, for each the columns in
/// order. Each product is one chain of additions, so it has the same bits in every block and for `(a, b)` and `(b, a)`.
pub(super) fn products(a: &Features, b: &Features, block: usize, mut visit: impl FnMut(Products<'_>)) -> Result<()> {
    visit_blocks(a, b, block, |_| 0, &mut visit)
}

/// As [`products`] of `x` with itself, but only blocks on or above the diagonal.
pub(super) fn own_products(x: &Features, block: usize, mut visit: impl FnMut(Products<'_>)) -> Result<()> {
    visit_blocks(x, x, block, |row| row, &mut visit)
}

fn visit_blocks(
    a: &Features,
    b: &Features,
    block: usize,
    first_column: impl Fn(usize) -> usize,
    visit: &mut impl FnMut(Products<'_>),
) -> Result<()> {
    for row in (0..a.len()).step_by(block) {
        let rows = a.block(row, block.min(a.len() - row))?;
        for column in (first_column(row)..b.len()).step_by(block) {
            let width = block.min(b.len() - column);
            let product = ops::linear(&rows, &b.block(column, width)?, None)?;
            elements(&product, |values| visit(Products { row, column, width, values }))?;
        }
    }
    Ok(())
}

/// The squared norms of the rows. They are the diagonal of the matrix of products, bit by bit, so that the distance of equal
/// rows is 0 exactly.
///
/// # Errors
/// A row whose distances to others may overflow.
pub(super) fn squared_norms(x: &Features) -> Result<Vec<f64>> {
    const ROWS: usize = 64;
    let mut norms = Vec::with_capacity(x.len());
    for at in (0..x.len()).step_by(ROWS) {
        let len = ROWS.min(x.len() - at);
        let rows = x.block(at, len)?;
        elements(&ops::linear(&rows, &rows, None)?, |v| norms.extend((0..len).map(|i| v[i * len + i])))?;
    }
    // A squared distance is at most twice the sum of both norms.
    match norms.iter().position(|n| !(4.0 * n).is_finite()) {
        None => Ok(norms),
        Some(i) => Err(Error::value(
            format!("features of `{}` by `{}`", x.source().split, x.source().extractor),
            format!(
                "row {i} is too large: its squared norm is {:e}, and distances overflow; scale the features down",
                norms[i]
            ),
        )),
    }
}

/// The squared distance of two rows from their squared norms and their product.
pub(super) fn squared_distance(a: f64, b: f64, product: f64) -> f64 {
    (a + b - 2.0 * product).max(0.0)
}

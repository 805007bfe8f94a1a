//! Log-softmax and cross-entropy, row by row.
#![allow(unsafe_code)]

use super::build::fill;
use super::element::Element;
use super::math::{Math, vectorized};
use rayon::prelude::*;

/// Rows that one task takes, for about this many elements.
const RUN: usize = 1 << 14;

/// Exponentials that are summed in one go.
const BLOCK: usize = 512;

fn rows_per_task(k: usize) -> usize {
    (RUN / k.max(1)).max(1)
}

/// The largest element, NaN where there is one, in lanes.
#[inline(always)]
fn largest<T: Element>(row: &[T]) -> T {
    let mut lanes = [row[0]; 64];
    for c in row.chunks_exact(64) {
        for (l, v) in lanes.iter_mut().zip(c) {
            *l = if *l > *v || l.nan() { *l } else { *v };
        }
    }
    let mut top = row[0];
    for v in lanes.iter().chain(row.chunks_exact(64).remainder()) {
        top = if top > *v || top.nan() { top } else { *v };
    }
    top
}

/// `log sum_k exp z_k` of one row in two parts, its maximum and the rest; sums in lanes, these in f64.
#[inline(always)]
fn log_sum<T: Math>(row: &[T]) -> (T, T) {
    let top = largest(row);
    if !top.to_f64().is_finite() {
        // All -inf, an +inf, or a NaN: as they are.
        return (top, T::ZERO);
    }
    let mut total = 0.0;
    let mut powers = [T::ZERO; BLOCK];
    for block in row.chunks(BLOCK) {
        for (p, v) in powers.iter_mut().zip(block) {
            *p = (*v - top).exponential();
        }
        let mut lanes = [T::ZERO; 16];
        powers[block.len()..].fill(T::ZERO);
        for c in powers.chunks_exact(16) {
            for (l, p) in lanes.iter_mut().zip(c) {
                *l += *p;
            }
        }
        for l in lanes {
            total += l.to_f64();
        }
    }
    (top, T::from_f64(total.ln()))
}

/// Makes rows of `k` from rows: `f(row's number, its place in the data, the row)`.
fn rows<T: Element>(len: usize, k: usize, f: impl Fn(usize, usize, &mut [T]) + Sync) -> Vec<T> {
    let count = rows_per_task(k);
    // SAFETY: each `f` here writes its row.
    unsafe {
        fill(len, 0, count * k, |i, out: &mut [T]| {
            vectorized(
                #[inline(always)]
                || {
                    for (j, out) in out.chunks_exact_mut(k).enumerate() {
                        f(i * count + j, (i * count + j) * k, out);
                    }
                },
            );
        })
    }
}

/// `z - log sum exp z` of rows of `k`.
pub(crate) fn log_softmax<T: Math>(z: &[T], k: usize) -> Vec<T> {
    rows(
        z.len(),
        k,
        #[inline(always)]
        |_, at, y| {
            let z = &z[at..at + k];
            let (top, rest) = log_sum(z);
            for (y, z) in y.iter_mut().zip(z) {
                *y = (*z - top) - rest;
            }
        },
    )
}

/// The gradient of [`log_softmax`] from its result: `g - exp(y) sum_k g_k`.
pub(crate) fn log_softmax_grad<T: Math>(y: &[T], g: &[T], k: usize) -> Vec<T> {
    rows(
        y.len(),
        k,
        #[inline(always)]
        |_, at, out| {
            let (y, g) = (&y[at..at + k], &g[at..at + k]);
            let total = T::from_f64(super::elementwise::sum(k, |j| g[j].to_f64()));
            for (o, (y, g)) in out.iter_mut().zip(y.iter().zip(g)) {
                *o = *g - y.exponential() * total;
            }
        },
    )
}

/// `log sum exp z - z[label]` of rows of `k`, and the two parts of the first term.
pub(crate) fn cross_entropy<T: Math>(z: &[T], labels: &[u32], k: usize) -> (Vec<T>, Vec<(T, T)>) {
    let sums: Vec<(T, T)> = z
        .par_chunks_exact(k)
        .with_min_len(rows_per_task(k))
        .map(|z| {
            vectorized(
                #[inline(always)]
                || log_sum(z),
            )
        })
        .collect();
    let own = |(n, ((top, rest), y)): (usize, (&(T, T), &u32))| (*top - z[n * k + *y as usize]) + *rest;
    (sums.iter().zip(labels).enumerate().map(own).collect(), sums)
}

/// The gradient of [`cross_entropy`]: `g[n] (exp(z - log sum) - [k = label])`.
pub(crate) fn cross_entropy_grad<T: Math>(z: &[T], sums: &[(T, T)], g: &[T], labels: &[u32], k: usize) -> Vec<T> {
    rows(
        z.len(),
        k,
        #[inline(always)]
        |n, at, out| {
            let (z, (top, rest), g) = (&z[at..at + k], sums[n], g[n]);
            for (o, z) in out.iter_mut().zip(z) {
                *o = ((*z - top) - rest).exponential() * g;
            }
            let label = &mut out[labels[n] as usize];
            *label -= g;
        },
    )
}

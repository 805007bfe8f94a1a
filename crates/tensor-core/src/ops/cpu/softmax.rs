//! Log-softmax and cross-entropy, row by row.

use super::build::build;
use super::element::Element;
use super::math::{Math, vectorized};
use rayon::prelude::*;

/// Rows that one task takes, for about this many elements.
const RUN: usize = 1 << 14;

fn rows_per_task(k: usize) -> usize {
    (RUN / k.max(1)).max(1)
}

/// The largest element, NaN where there is one, in lanes.
#[inline(always)]
fn largest<T: Element>(row: &[T]) -> T {
    let mut lanes = [row[0]; 16];
    let pick = |a: T, b: T| if a > b || a.nan() { a } else { b };
    for c in row.chunks_exact(16) {
        for (l, v) in lanes.iter_mut().zip(c) {
            *l = pick(*l, *v);
        }
    }
    let rest = row.chunks_exact(16).remainder();
    lanes.into_iter().chain(rest.iter().copied()).fold(row[0], pick)
}

/// `log sum_k exp z_k` of one row, shifted by its maximum; sums in lanes, these in f64.
#[inline(always)]
fn log_sum<T: Math>(row: &[T]) -> T {
    let top = largest(row);
    if !top.to_f64().is_finite() {
        // All -inf: -inf. An +inf or NaN: as they are.
        return top;
    }
    let mut total = 0.0;
    for block in row.chunks(1024) {
        let mut lanes = [T::ZERO; 16];
        let chunks = block.chunks_exact(16);
        let rest: f64 = chunks.remainder().iter().map(|v| (*v - top).exponential().to_f64()).sum();
        for c in chunks {
            for (l, v) in lanes.iter_mut().zip(c) {
                *l += (*v - top).exponential();
            }
        }
        total += rest + lanes.iter().map(|l| l.to_f64()).sum::<f64>();
    }
    top + T::from_f64(total.ln())
}

/// `z - log sum exp z` of rows of `k`.
pub(crate) fn log_softmax<T: Math>(z: &[T], k: usize) -> Vec<T> {
    let run = rows_per_task(k) * k;
    build(z.len(), run, |i, y| {
        vectorized(
            #[inline(always)]
            || {
                for (y, z) in y.chunks_exact_mut(k).zip(z[i * run..].chunks_exact(k)) {
                    let lse = log_sum(z);
                    y.iter_mut().zip(z).for_each(|(y, z)| *y = *z - lse);
                }
            },
        );
    })
}

/// The gradient of [`log_softmax`] from its result: `g - exp(y) sum_k g_k`.
pub(crate) fn log_softmax_grad<T: Math>(y: &[T], g: &[T], k: usize) -> Vec<T> {
    let run = rows_per_task(k) * k;
    build(y.len(), run, |i, out| {
        vectorized(
            #[inline(always)]
            || {
                let rows = y[i * run..].chunks_exact(k).zip(g[i * run..].chunks_exact(k));
                for (out, (y, g)) in out.chunks_exact_mut(k).zip(rows) {
                    let total = T::from_f64(super::elementwise::sum(k, |j| g[j].to_f64()));
                    let pairs = y.iter().zip(g);
                    out.iter_mut().zip(pairs).for_each(|(o, (y, g))| *o = *g - y.exponential() * total);
                }
            },
        );
    })
}

/// `log sum exp z - z[label]` of rows of `k`, and the first term.
pub(crate) fn cross_entropy<T: Math>(z: &[T], labels: &[u32], k: usize) -> (Vec<T>, Vec<T>) {
    let lse: Vec<T> = z
        .par_chunks_exact(k)
        .with_min_len(rows_per_task(k))
        .map(|z| {
            vectorized(
                #[inline(always)]
                || log_sum(z),
            )
        })
        .collect();
    let loss = lse.iter().zip(labels).enumerate().map(|(n, (l, y))| *l - z[n * k + *y as usize]).collect();
    (loss, lse)
}

/// The gradient of [`cross_entropy`]: `g[n] (exp(z - lse[n]) - [k = label])`.
pub(crate) fn cross_entropy_grad<T: Math>(z: &[T], lse: &[T], g: &[T], labels: &[u32], k: usize) -> Vec<T> {
    let rows = rows_per_task(k);
    build(z.len(), rows * k, |i, out| {
        vectorized(
            #[inline(always)]
            || {
                for (at, out) in out.chunks_exact_mut(k).enumerate() {
                    let n = i * rows + at;
                    let (z, lse, g) = (&z[n * k..][..k], lse[n], g[n]);
                    out.iter_mut().zip(z).for_each(|(o, z)| *o = (*z - lse).exponential() * g);
                    let label = &mut out[labels[n] as usize];
                    *label = *label - g;
                }
            },
        );
    })
}

//! Softmax and layer normalisation of rows; each row is read while it is in the first-level cache.
#![allow(unsafe_code)]

use super::build::fill;
use super::element::Element;
use super::math::{Math, vectorized};
use super::output::largest;
use super::sums::{sum, sums};
use super::threads::gather;

/// Elements that one task handles, about.
const RUN: usize = 1 << 14;

/// Rows that a task takes.
pub(super) fn rows_per_task(k: usize) -> usize {
    (RUN / k.max(1)).max(1)
}

/// Makes rows of `k`: `f(the row's place in the data, the row)`, which must write the whole row.
pub(super) fn rows<T: Element>(len: usize, k: usize, f: impl Fn(usize, &mut [T]) + Copy + Sync) -> Vec<T> {
    let count = rows_per_task(k);
    // SAFETY: each `f` here writes its row.
    unsafe {
        fill(len, 0, count * k, |i, out: &mut [T]| {
            vectorized(
                #[inline(always)]
                || {
                    let own = f;
                    for (j, out) in out.chunks_exact_mut(k).enumerate() {
                        own((i * count + j) * k, out);
                    }
                },
            );
        })
    }
}

/// `e^(z - max z)` over its sum, for rows of `k`.
pub(crate) fn softmax<T: Math>(z: &[T], k: usize) -> Vec<T> {
    rows(
        z.len(),
        k,
        #[inline(always)]
        move |at, y| {
            let z = &z[at..at + k];
            let top = largest(z);
            for (y, z) in y.iter_mut().zip(z) {
                *y = (*z - top).exponential();
            }
            let total = sum(
                y,
                #[inline(always)]
                |v| v,
            );
            let scale = T::of_f64(1.0 / total);
            for y in y.iter_mut() {
                *y *= scale;
            }
        },
    )
}

/// `y (g - sum_k y_k g_k)` for rows of `k`: the gradient of [`softmax`] from its result.
pub(crate) fn softmax_grad<T: Math>(y: &[T], g: &[T], k: usize) -> Vec<T> {
    rows(
        y.len(),
        k,
        #[inline(always)]
        move |at, out| {
            let (y, g) = (&y[at..at + k], &g[at..at + k]);
            let [dot] = sums(
                y,
                g,
                #[inline(always)]
                |y, g| [y * g],
            );
            let dot = T::of_f64(dot);
            for (o, (y, g)) in out.iter_mut().zip(y.iter().zip(g)) {
                *o = *y * (*g - dot);
            }
        },
    )
}

/// The mean of a row and `1 / sqrt(var + eps)`, with the biased variance.
#[inline(always)]
fn moments<T: Element>(x: &[T], eps: f64) -> (T, T) {
    let n = x.len() as f64;
    let own = sum(
        x,
        #[inline(always)]
        |x| x,
    ) / n;
    let mean = T::of_f64(own);
    let around = sum(
        x,
        #[inline(always)]
        |x| (x - mean) * (x - mean),
    );
    // Corrects for the rounding of the mean.
    let var = around / n - (own - mean.as_f64()).powi(2);
    (mean, T::of_f64(1.0 / (var + eps).sqrt()))
}

/// `scale (x - mean) / sqrt(var + eps) + shift` of rows.
pub(crate) fn layer_norm<T: Element>(x: &[T], scale: &[T], shift: &[T], eps: f64) -> Vec<T> {
    let k = scale.len();
    rows(
        x.len(),
        k,
        #[inline(always)]
        move |at, y| {
            let x = &x[at..at + k];
            let (mean, inverse) = moments(x, eps);
            for ((y, x), (a, b)) in y.iter_mut().zip(x).zip(scale.iter().zip(shift)) {
                *y = (*x - mean) * inverse * *a + *b;
            }
        },
    )
}

/// The gradient of [`layer_norm`] to x: `inv (h - mean(h) - xhat mean(h xhat))` with `h = scale g`.
pub(crate) fn layer_norm_to_input<T: Element>(x: &[T], scale: &[T], g: &[T], eps: f64) -> Vec<T> {
    let k = scale.len();
    rows(
        x.len(),
        k,
        #[inline(always)]
        move |at, out| {
            let x = &x[at..at + k];
            let (mean, inverse) = moments(x, eps);
            for (h, (g, a)) in out.iter_mut().zip(g[at..at + k].iter().zip(scale)) {
                *h = *g * *a;
            }
            let [plain, tilted] = sums(
                x,
                out,
                #[inline(always)]
                |x, h| [h, h * (x - mean)],
            );
            let shift = T::of_f64(plain / k as f64);
            let tilt = T::of_f64(inverse.as_f64().powi(2) * tilted / k as f64);
            for (h, x) in out.iter_mut().zip(x) {
                *h = inverse * (*h - shift - (*x - mean) * tilt);
            }
        },
    )
}

/// The gradient of [`layer_norm`] to its scale of k: the sum of `g xhat` over the rows, blocks of rows in the element type,
/// these in f64.
pub(crate) fn layer_norm_to_scale<T: Element>(x: &[T], g: &[T], k: usize, eps: f64) -> Vec<T> {
    const COLUMNS: usize = 512;
    const ROWS: usize = 64;
    let moments: Vec<(T, T)> = gather(x.len() / k, rows_per_task(k), &|i| {
        vectorized(
            #[inline(always)]
            || moments(&x[i * k..][..k], eps),
        )
    });
    let range = |from: usize| {
        let count = COLUMNS.min(k - from);
        let (mut total, mut part) = (vec![0f64; count], vec![T::ZERO; count]);
        let blocks = x.chunks(ROWS * k).zip(g.chunks(ROWS * k)).zip(moments.chunks(ROWS));
        for ((x, g), moments) in blocks {
            part.fill(T::ZERO);
            vectorized(
                #[inline(always)]
                || {
                    for ((x, g), (mean, inverse)) in x.chunks_exact(k).zip(g.chunks_exact(k)).zip(moments) {
                        let pairs = x[from..from + count].iter().zip(&g[from..from + count]);
                        for (p, (x, g)) in part.iter_mut().zip(pairs) {
                            *p += *g * ((*x - *mean) * *inverse);
                        }
                    }
                },
            );
            total.iter_mut().zip(&part).for_each(|(t, p)| *t += p.as_f64());
        }
        total
    };
    gather(k.div_ceil(COLUMNS), 1, &|i| range(i * COLUMNS)).concat().into_iter().map(T::of_f64).collect()
}

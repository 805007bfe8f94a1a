//! Element by element, and sums over all but the channel.

use super::build::build;
use super::element::Element;
use super::math::{Math, vectorized};
use rayon::prelude::*;

/// Elements that one task handles: large enough that a task is worth its start.
const RUN: usize = 1 << 14;

/// `x` where it is not negative, else `slope x`; NaN stays NaN.
pub(crate) fn rectify<T: Element>(x: &[T], slope: f64) -> Vec<T> {
    let slope = T::from_f64(slope);
    build(x.len(), RUN, |i, y| {
        let from = &x[i * RUN..][..y.len()];
        vectorized(
            #[inline(always)]
            || {
                // Not slope * x for slope 0: that is NaN at -inf.
                if slope == T::ZERO {
                    y.iter_mut().zip(from).for_each(|(y, x)| *y = if *x < T::ZERO { T::ZERO } else { *x });
                } else {
                    y.iter_mut().zip(from).for_each(|(y, x)| *y = if *x < T::ZERO { slope * *x } else { *x });
                }
            },
        );
    })
}

/// `1 / (1 + e^-x)`.
pub(crate) fn sigmoid<T: Math>(x: &[T]) -> Vec<T> {
    build(x.len(), RUN, |i, y| {
        let from = &x[i * RUN..][..y.len()];
        vectorized(
            #[inline(always)]
            || y.iter_mut().zip(from).for_each(|(y, x)| *y = x.logistic()),
        );
    })
}

/// `max(a + b, 0)`; NaN stays NaN.
pub(crate) fn add_rectify<T: Element>(a: &[T], b: &[T]) -> Vec<T> {
    build(a.len(), RUN, |i, y| {
        let pairs = a[i * RUN..][..y.len()].iter().zip(&b[i * RUN..][..y.len()]);
        vectorized(
            #[inline(always)]
            || {
                y.iter_mut().zip(pairs).for_each(|(y, (a, b))| {
                    let sum = *a + *b;
                    *y = if sum < T::ZERO { T::ZERO } else { sum };
                });
            },
        );
    })
}

/// `g` where `y > 0`, else `slope g`.
pub(crate) fn mask<T: Element>(y: &[T], g: &[T], slope: f64) -> Vec<T> {
    let slope = T::from_f64(slope);
    build(g.len(), RUN, |i, out| {
        let (y, g) = (&y[i * RUN..][..out.len()], &g[i * RUN..][..out.len()]);
        vectorized(
            #[inline(always)]
            || {
                let pairs = out.iter_mut().zip(y.iter().zip(g));
                if slope == T::ZERO {
                    pairs.for_each(|(o, (y, g))| *o = if *y > T::ZERO { *g } else { T::ZERO });
                } else {
                    pairs.for_each(|(o, (y, g))| *o = if *y > T::ZERO { *g } else { slope * *g });
                }
            },
        );
    })
}

/// Adds `f(i)` for all i below `n` in eight lanes, so that the sum has one order and uses the vector units.
pub(crate) fn sum(n: usize, f: impl Fn(usize) -> f64) -> f64 {
    let mut lanes = [0.0; 8];
    let whole = n / 8 * 8;
    for i in (0..whole).step_by(8) {
        for (j, lane) in lanes.iter_mut().enumerate() {
            *lane += f(i + j);
        }
    }
    (whole..n).for_each(|i| lanes[i - whole] += f(i));
    lanes.iter().sum()
}

/// For each channel of a tensor (n, c, p) of `len` elements: `f(channel, first element)` of its planes, added in order.
pub(crate) fn channel_sums(len: usize, channels: usize, p: usize, f: impl Fn(usize, usize) -> f64 + Sync) -> Vec<f64> {
    let image = channels * p;
    let planes = |c: usize| (0..len / image.max(1)).map(move |n| n * image + c * p);
    (0..channels).into_par_iter().map(|c| planes(c).map(|at| f(c, at)).sum()).collect()
}

/// The sum over all but the channel.
pub(crate) fn channel_sum<T: Element>(x: &[T], channels: usize, p: usize) -> Vec<f64> {
    channel_sums(x.len(), channels, p, |_, at| {
        let plane = &x[at..at + p];
        sum(p, |i| plane[i].to_f64())
    })
}

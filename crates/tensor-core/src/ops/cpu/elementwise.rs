//! Elementwise kernels, and sums over all axes but the channels.
//!
//! What a kernel takes along is copied before its loop (`let own = f`): read through a reference in the loop, it would have to be read again
//! for each element, one at a time.
#![allow(unsafe_code)]

use super::build::fill;
use super::element::Element;
use super::math::{Math, vectorized};
use super::sums::{Sums, by_channel, sums};
use super::threads::gather;
use crate::ops::Rectifier;

/// Elements of one task: enough that starting the task does not matter.
const RUN: usize = 1 << 14;

/// `y = f(x)`.
pub(super) fn map<T: Element>(x: &[T], f: impl Fn(T) -> T + Copy + Sync) -> Vec<T> {
    // SAFETY: every element of the run is written.
    unsafe {
        fill(x.len(), 0, RUN, |i, y: &mut [T]| {
            let from = &x[i * RUN..][..y.len()];
            vectorized(
                #[inline(always)]
                || {
                    let own = f;
                    for (y, x) in y.iter_mut().zip(from) {
                        *y = own(*x);
                    }
                },
            );
        })
    }
}

/// `y = f(a, b)`.
pub(super) fn zip<T: Element>(a: &[T], b: &[T], f: impl Fn(T, T) -> T + Copy + Sync) -> Vec<T> {
    // SAFETY: every element of the run is written.
    unsafe {
        fill(a.len(), 0, RUN, |i, y: &mut [T]| {
            let pairs = a[i * RUN..][..y.len()].iter().zip(&b[i * RUN..][..y.len()]);
            vectorized(
                #[inline(always)]
                || {
                    let own = f;
                    for (y, (a, b)) in y.iter_mut().zip(pairs) {
                        *y = own(*a, *b);
                    }
                },
            );
        })
    }
}

/// A rectifier in the type of its numbers.
#[derive(Clone, Copy)]
pub(crate) struct Rectify<T> {
    slope: T,
    cap: T,
    /// Whether there is no cap.
    open: bool,
}

impl<T: Element> Rectify<T> {
    pub(crate) fn new(of: Rectifier) -> Self {
        Self { slope: T::of_f64(of.slope), cap: T::of_f64(of.cap), open: of.cap == f64::INFINITY }
    }

    /// `min(x, cap)`, or `slope x` where x is negative; NaN stays NaN, and slope 0 gives 0 even at -inf.
    #[inline(always)]
    pub(crate) fn at(self, x: T) -> T {
        if x < T::ZERO {
            self.below(x)
        } else if x > self.cap {
            self.cap
        } else {
            x
        }
    }

    /// `g` times the derivative where the result, or the argument, is `y`.
    #[inline(always)]
    pub(crate) fn back(self, y: T, g: T) -> T {
        if y > T::ZERO { if (y < self.cap) | self.open { g } else { T::ZERO } } else { self.below(g) }
    }

    /// `slope x`, and 0 for slope 0 whatever `x` is.
    #[inline(always)]
    fn below(self, x: T) -> T {
        if self.slope == T::ZERO { T::ZERO } else { self.slope * x }
    }
}

/// [`Rectify::at`] for all.
pub(crate) fn rectify<T: Element>(x: &[T], by: Rectifier) -> Vec<T> {
    let by = Rectify::new(by);
    map(
        x,
        #[inline(always)]
        move |x| by.at(x),
    )
}

/// [`Rectify::back`] for all.
pub(crate) fn mask<T: Element>(y: &[T], g: &[T], by: Rectifier) -> Vec<T> {
    let by = Rectify::new(by);
    zip(
        y,
        g,
        #[inline(always)]
        move |y, g| by.back(y, g),
    )
}

/// `1 / (1 + e^-x)`.
pub(crate) fn sigmoid<T: Math>(x: &[T]) -> Vec<T> {
    map(
        x,
        #[inline(always)]
        |x| x.logistic(),
    )
}

/// `g y (1 - y)`.
pub(crate) fn sigmoid_grad<T: Element>(y: &[T], g: &[T]) -> Vec<T> {
    zip(
        y,
        g,
        #[inline(always)]
        |y, g| g * y * (T::ONE - y),
    )
}

/// `scale (a - b)`.
pub(crate) fn difference<T: Element>(a: &[T], b: &[T], scale: T) -> Vec<T> {
    zip(
        a,
        b,
        #[inline(always)]
        move |a, b| scale * (a - b),
    )
}

/// The sum of `(a - b)^2`, run by run in order.
pub(crate) fn squared_distance<T: Element>(a: &[T], b: &[T]) -> f64 {
    let part = |i: usize| {
        let at = i * RUN..((i + 1) * RUN).min(a.len());
        let (a, b) = (&a[at.clone()], &b[at]);
        vectorized(
            #[inline(always)]
            || {
                let [sum] = sums(
                    a,
                    b,
                    #[inline(always)]
                    |a, b| [(a - b) * (a - b)],
                );
                sum
            },
        )
    };
    // The partial sums are added in order, so that the result does not depend on the threads.
    gather(a.len().div_ceil(RUN), 1, &part).into_iter().sum()
}

/// `x m`, with `m` repeated.
pub(crate) fn times_repeated<T: Element>(x: &[T], m: &[T]) -> Vec<T> {
    let run = (RUN / m.len()).max(1) * m.len();
    // SAFETY: every element of the run is written.
    unsafe {
        fill(x.len(), 0, run, |i, y: &mut [T]| {
            let from = &x[i * run..][..y.len()];
            vectorized(
                #[inline(always)]
                || {
                    for (y, x) in y.chunks_mut(m.len()).zip(from.chunks(m.len())) {
                        for (y, (x, m)) in y.iter_mut().zip(x.iter().zip(m)) {
                            *y = *x * *m;
                        }
                    }
                },
            );
        })
    }
}

/// `x`.
pub(crate) fn copy<T: Element>(x: &[T]) -> Vec<T> {
    map(
        x,
        #[inline(always)]
        |x| x,
    )
}

/// `a + b`.
pub(crate) fn add<T: Element>(a: &[T], b: &[T]) -> Vec<T> {
    zip(
        a,
        b,
        #[inline(always)]
        |a, b| a + b,
    )
}

/// `y = f(x, v, a[channel])` of tensors (n, channels, p).
fn zip_by_channel<T: Element>(x: &[T], v: &[T], a: &[T], p: usize, f: impl Fn(T, T, T) -> T + Copy + Sync) -> Vec<T> {
    let planes = (RUN / p.max(1)).max(1);
    let run = planes * p;
    // SAFETY: every element of the run is written.
    unsafe {
        fill(x.len(), 0, run, |i, y: &mut [T]| {
            let (x, v) = (&x[i * run..][..y.len()], &v[i * run..][..y.len()]);
            vectorized(
                #[inline(always)]
                || {
                    let own = f;
                    for (j, y) in y.chunks_exact_mut(p).enumerate() {
                        let a = a[(i * planes + j) % a.len()];
                        for (y, (x, v)) in y.iter_mut().zip(x[j * p..][..p].iter().zip(&v[j * p..][..p])) {
                            *y = own(*x, *v, a);
                        }
                    }
                },
            );
        })
    }
}

/// `v` where `x > 0`, otherwise `a v`, with one `a` per channel of p elements.
pub(crate) fn channel_slopes<T: Element>(x: &[T], v: &[T], a: &[T], p: usize) -> Vec<T> {
    zip_by_channel(
        x,
        v,
        a,
        p,
        #[inline(always)]
        |x, v, a| if x > T::ZERO { v } else { a * v },
    )
}

/// 0 where `x > 0`, otherwise `g`.
pub(crate) fn negative<T: Element>(x: &[T], g: &[T]) -> Vec<T> {
    zip(
        x,
        g,
        #[inline(always)]
        |x, g| if x > T::ZERO { T::ZERO } else { g },
    )
}

/// `max(a + b, 0)`; NaN stays NaN.
pub(crate) fn add_rectify<T: Element>(a: &[T], b: &[T]) -> Vec<T> {
    zip(
        a,
        b,
        #[inline(always)]
        |a, b| if a + b < T::ZERO { T::ZERO } else { a + b },
    )
}

/// The sum over all but the channel of a tensor (n, channels, p).
pub(crate) fn channel_sum<T: Element>(x: &[T], channels: usize, p: usize) -> Vec<f64> {
    let sums = by_channel(
        (x.len(), channels, p),
        Sums::ZERO,
        #[inline(always)]
        move |sums, _, at| {
            let plane = &x[at..at + p];
            sums.add(
                plane,
                plane,
                #[inline(always)]
                |x, _| [x],
            );
        },
    );
    sums.into_iter().map(|s: Sums<1>| s.totals()[0]).collect()
}

/// The sum over the rows of a matrix (n, width): blocks of rows in the element type, these in f64.
pub(crate) fn row_sum<T: Element>(x: &[T], width: usize) -> Vec<f64> {
    const COLUMNS: usize = 512;
    const ROWS: usize = 64;
    let range = |from: usize| {
        let count = COLUMNS.min(width - from);
        let (mut total, mut part) = (vec![0f64; count], vec![T::ZERO; count]);
        for block in x.chunks(ROWS * width) {
            part.fill(T::ZERO);
            vectorized(
                #[inline(always)]
                || {
                    for row in block.chunks_exact(width) {
                        for (p, x) in part.iter_mut().zip(&row[from..from + count]) {
                            *p += *x;
                        }
                    }
                },
            );
            total.iter_mut().zip(&part).for_each(|(t, p)| *t += p.as_f64());
        }
        total
    };
    gather(width.div_ceil(COLUMNS), 1, &|i| range(i * COLUMNS)).concat()
}

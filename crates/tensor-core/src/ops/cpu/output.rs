//! Output functions `f_i = g(z_i) / sum_m g(z_m)`, their logarithms and their negative log-likelihoods, row by row.

use super::element::Element;
use super::math::{Math, vectorized};
use super::rows::{rows, rows_per_task};
use super::sums::sum;
use super::threads::gather;

/// Exponentials that are summed in one go.
const BLOCK: usize = 512;

/// The largest element, NaN where there is one, in lanes.
#[inline(always)]
pub(super) fn largest<T: Element>(row: &[T]) -> T {
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

/// The function that is normalised: `log g`, which must not decrease, and its slope.
pub(crate) trait Score: Copy + Send + Sync {
    /// `log g(z)`.
    fn log<T: Math>(self, z: T) -> T;

    /// `g(z) / e^shift`, without overflow where `log g(z) <= shift`.
    #[inline(always)]
    fn power<T: Math>(self, z: T, shift: T) -> T {
        (self.log(z) - shift).exponential()
    }

    /// `d log g / dz`.
    fn slope<T: Math>(self, z: T) -> T;

    /// Whether [`Score::plain`] is accurate for a row whose largest `log g` is this.
    #[inline(always)]
    fn near<T: Math>(self, _: T) -> bool {
        false
    }

    /// `g(z)` without a shift, and the slope; for some functions they are cheaper together.
    #[inline(always)]
    fn plain<T: Math>(self, z: T) -> (T, T) {
        (self.power(z, T::ZERO), self.slope(z))
    }
}

/// `g = e^z`.
#[derive(Clone, Copy)]
pub(crate) struct Exponential;
/// `g = e^z sigma(z)`.
#[derive(Clone, Copy)]
pub(crate) struct ExponentialLogistic;
/// `g = sigma(z)`.
#[derive(Clone, Copy)]
pub(crate) struct Logistic;
/// `g = max(z, 0) + eps`.
#[derive(Clone, Copy)]
pub(crate) struct Rectified(pub(crate) f64);

/// `e^-|z|`.
#[inline(always)]
fn decay<T: Math>(z: T) -> T {
    if z > T::ZERO { (T::ZERO - z).exponential() } else { z.exponential() }
}

/// `1 - sigma(z)` from `e^-|z|`.
#[inline(always)]
fn off<T: Math>(z: T, e: T) -> T {
    let small = e / (T::ONE + e);
    if z > T::ZERO { small } else { T::ONE - small }
}

impl Score for Exponential {
    #[inline(always)]
    fn log<T: Math>(self, z: T) -> T {
        z
    }

    #[inline(always)]
    fn slope<T: Math>(self, _: T) -> T {
        T::ONE
    }
}

impl Score for ExponentialLogistic {
    /// `2 z - log(1 + e^z)`, computed as `min(z, 2 z) - log(1 + e^-|z|)`.
    #[inline(always)]
    fn log<T: Math>(self, z: T) -> T {
        (if z > T::ZERO { z } else { z + z }) - decay(z).log_one_plus()
    }

    #[inline(always)]
    fn power<T: Math>(self, z: T, shift: T) -> T {
        ((if z > T::ZERO { z } else { z + z }) - shift).exponential() / (T::ONE + decay(z))
    }

    #[inline(always)]
    fn slope<T: Math>(self, z: T) -> T {
        T::ONE + off(z, decay(z))
    }

    /// e^60 and its sums are far from overflow in f32, and what underflows is below e^-40 of the largest.
    #[inline(always)]
    fn near<T: Math>(self, top: T) -> bool {
        (-40.0..60.0).contains(&top.as_f64())
    }

    /// One exponential and one division.
    #[inline(always)]
    fn plain<T: Math>(self, z: T) -> (T, T) {
        let power = z.exponential();
        let off = T::ONE / (T::ONE + power);
        (power * off * power, T::ONE + off)
    }
}

impl Score for Logistic {
    /// `-log(1 + e^-z)`, computed as `min(z, 0) - log(1 + e^-|z|)`.
    #[inline(always)]
    fn log<T: Math>(self, z: T) -> T {
        (if z > T::ZERO { T::ZERO } else { z }) - decay(z).log_one_plus()
    }

    #[inline(always)]
    fn power<T: Math>(self, z: T, shift: T) -> T {
        ((if z > T::ZERO { T::ZERO } else { z }) - shift).exponential() / (T::ONE + decay(z))
    }

    #[inline(always)]
    fn slope<T: Math>(self, z: T) -> T {
        off(z, decay(z))
    }
}

/// `max(z, 0) + eps`; NaN stays NaN.
#[inline(always)]
fn positive<T: Math>(z: T, eps: T) -> T {
    if z > T::ZERO {
        z + eps
    } else if z.nan() {
        z
    } else {
        eps
    }
}

impl Score for Rectified {
    #[inline(always)]
    fn log<T: Math>(self, z: T) -> T {
        let eps = T::of_f64(self.0);
        T::of_f64(positive(z, eps).as_f64().ln())
    }

    #[inline(always)]
    fn power<T: Math>(self, z: T, shift: T) -> T {
        positive(z, T::of_f64(self.0)) / shift.exponential()
    }

    #[inline(always)]
    fn slope<T: Math>(self, z: T) -> T {
        if z > T::ZERO { T::ONE / (z + T::of_f64(self.0)) } else { T::ZERO }
    }
}

/// `log sum_k g(z_k)` of one row in two parts, its largest term and the rest. Blocks are summed in lanes, and the lanes in
/// f64.
#[inline(always)]
fn log_sum<T: Math, S: Score>(score: S, row: &[T]) -> (T, T) {
    let top = score.log(largest(row));
    if !top.as_f64().is_finite() {
        // All logits are -inf, or one is +inf or NaN: the result shows it.
        return (top, T::ZERO);
    }
    if score.near(top) {
        let total = sum_of(
            row,
            #[inline(always)]
            |v| score.plain(v).0,
        );
        return (top, T::of_f64(total.ln() - top.as_f64()));
    }
    let total = sum_of(
        row,
        #[inline(always)]
        |v| score.power(v, top),
    );
    (top, T::of_f64(total.ln()))
}

/// The sum of `f` over a row: blocks are summed in lanes, and the lanes in f64.
#[inline(always)]
fn sum_of<T: Math>(row: &[T], f: impl Fn(T) -> T) -> f64 {
    let mut total = 0.0;
    let mut powers = [T::ZERO; BLOCK];
    for block in row.chunks(BLOCK) {
        for (p, v) in powers.iter_mut().zip(block) {
            *p = f(*v);
        }
        let mut lanes = [T::ZERO; 16];
        powers[block.len()..].fill(T::ZERO);
        for c in powers.chunks_exact(16) {
            for (l, p) in lanes.iter_mut().zip(c) {
                *l += *p;
            }
        }
        for l in lanes {
            total += l.as_f64();
        }
    }
    total
}

/// `log g(z) - log sum_k g(z_k)` of rows of `k`.
pub(crate) fn log_output<T: Math, S: Score>(score: S, z: &[T], k: usize) -> Vec<T> {
    rows(
        z.len(),
        k,
        #[inline(always)]
        move |at, y| {
            let z = &z[at..at + k];
            let (top, rest) = log_sum(score, z);
            for (y, z) in y.iter_mut().zip(z) {
                *y = (score.log(*z) - top) - rest;
            }
        },
    )
}

/// The gradient of [`log_output`] from its argument and its result: `slope(z) (g - exp(y) sum_k g_k)`.
pub(crate) fn log_output_grad<T: Math, S: Score>(score: S, (z, y, g): (&[T], &[T], &[T]), k: usize) -> Vec<T> {
    rows(
        y.len(),
        k,
        #[inline(always)]
        move |at, out| {
            let (z, y, g) = (&z[at..at + k], &y[at..at + k], &g[at..at + k]);
            let total = T::of_f64(sum(
                g,
                #[inline(always)]
                |g| g,
            ));
            for (o, (z, (y, g))) in out.iter_mut().zip(z.iter().zip(y.iter().zip(g))) {
                *o = score.slope(*z) * (*g - y.exponential() * total);
            }
        },
    )
}

/// `log sum g(z) - log g(z[label])` of rows of `k`, and the two parts of the first term.
pub(crate) fn nll<T: Math, S: Score>(score: S, z: &[T], labels: &[u32], k: usize) -> (Vec<T>, Vec<(T, T)>) {
    let sums: Vec<(T, T)> = gather(z.len() / k, rows_per_task(k), &|i| {
        vectorized(
            #[inline(always)]
            || log_sum(score, &z[i * k..][..k]),
        )
    });
    let own = |(n, ((top, rest), y)): (usize, (&(T, T), &u32))| (*top - score.log(z[n * k + *y as usize])) + *rest;
    (sums.iter().zip(labels).enumerate().map(own).collect(), sums)
}

/// The gradient of [`nll`]: `g[n] slope(z) (g(z) / sum g - [k = label])`.
pub(crate) fn nll_grad<T: Math, S: Score>(
    score: S,
    z: &[T],
    sums: &[(T, T)],
    g: &[T],
    labels: &[u32],
    k: usize,
) -> Vec<T> {
    rows(
        z.len(),
        k,
        #[inline(always)]
        move |at, out| {
            let n = at / k;
            let (z, (top, rest), g) = (&z[at..at + k], sums[n], g[n]);
            if score.near(top) {
                let scale = g * (T::ZERO - (top + rest)).exponential();
                for (o, z) in out.iter_mut().zip(z) {
                    let (power, slope) = score.plain(*z);
                    *o = slope * (power * scale);
                }
            } else {
                let scale = g * (T::ZERO - rest).exponential();
                for (o, z) in out.iter_mut().zip(z) {
                    *o = score.slope(*z) * (score.power(*z, top) * scale);
                }
            }
            let y = labels[n] as usize;
            out[y] -= g * score.slope(z[y]);
        },
    )
}

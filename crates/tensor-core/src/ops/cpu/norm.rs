//! Batch normalisation with the batch's own statistics: two passes over the data forward, two backward.
#![allow(unsafe_code)]

use super::build::fill;
use super::element::Element;
use super::math::vectorized;
use rayon::prelude::*;

/// Mean and biased variance of each channel.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub(crate) mean: Vec<f64>,
    pub(crate) var: Vec<f64>,
}

/// Elements that one task handles, about.
const RUN: usize = 1 << 14;

/// The sum of `f(i)` for i < n: lanes in the element type over short blocks, these in f64.
#[inline(always)]
fn sum<T: Element>(n: usize, f: impl Fn(usize) -> T) -> f64 {
    const LANES: usize = 32;
    const BLOCK: usize = 2048;
    let mut total = 0.0;
    for from in (0..n).step_by(BLOCK) {
        let to = n.min(from + BLOCK);
        let whole = from + (to - from) / LANES * LANES;
        let mut lanes = [T::ZERO; LANES];
        for i in (from..whole).step_by(LANES) {
            for (j, l) in lanes.iter_mut().enumerate() {
                *l += f(i + j);
            }
        }
        for i in whole..to {
            lanes[i - whole] += f(i);
        }
        total += lanes.iter().map(|l| l.to_f64()).sum::<f64>();
    }
    total
}

/// `f(channel, first element of its plane in each image)` for all channels, on all threads.
fn per_channel<R: Send>(c: usize, p: usize, f: impl Fn(usize) -> R + Send + Sync) -> Vec<R> {
    (0..c).into_par_iter().with_min_len((1024 / p.max(1)).max(1)).map(f).collect()
}

/// Moments of x (n, c, p). Each plane's are taken about its own mean, then merged in f64 (Chan et al. 1979), so
/// that a large mean costs no precision.
pub(crate) fn moments<T: Element>(x: &[T], c: usize, p: usize) -> Moments {
    let images = x.len() / (c * p);
    let all = per_channel(c, p, |ch| {
        vectorized(
            #[inline(always)]
            || {
                let (mut count, mut mean, mut spread) = (0.0, 0.0, 0.0);
                for n in 0..images {
                    let plane = &x[(n * c + ch) * p..][..p];
                    let own = sum(p, |i| plane[i]) / p as f64;
                    let centre = T::from_f64(own);
                    let around = sum(p, |i| {
                        let d = plane[i] - centre;
                        d * d
                    });
                    // About the rounded mean: taken back.
                    let around = around - p as f64 * (own - centre.to_f64()).powi(2);
                    let (step, total) = (own - mean, count + p as f64);
                    spread += around + step * step * count * p as f64 / total;
                    mean += step * p as f64 / total;
                    count = total;
                }
                (mean, spread / count)
            },
        )
    });
    let (mean, var) = all.into_iter().unzip();
    Moments { mean, var }
}

/// One channel's map `y = (x - mean) scale + shift`.
#[derive(Clone, Copy)]
struct Map<T> {
    mean: T,
    scale: T,
    shift: T,
}

impl<T: Element> Map<T> {
    fn all((gamma, beta): (&[T], &[T]), m: &Moments, eps: f64) -> Vec<Self> {
        let one = |ch: usize| Self {
            mean: T::from_f64(m.mean[ch]),
            scale: T::from_f64(gamma[ch].to_f64() / (m.var[ch] + eps).sqrt()),
            shift: beta[ch],
        };
        (0..gamma.len()).map(one).collect()
    }

    #[inline(always)]
    fn at(self, x: T) -> T {
        (x - self.mean) * self.scale + self.shift
    }
}

/// Calls `f(channel, where its plane lies, the plane of the result)` on all threads.
/// There is room for two more numbers per channel.
fn planes<T: Element>(len: usize, c: usize, p: usize, f: impl Fn(usize, usize, &mut [T]) + Sync) -> Vec<T> {
    let run = (RUN / p.max(1)).max(1);
    // SAFETY: the runs are whole planes, and each `f` here writes its plane.
    unsafe {
        fill(len, 2 * c, run * p, |i, y: &mut [T]| {
            vectorized(
                #[inline(always)]
                || {
                    for (j, y) in y.chunks_exact_mut(p).enumerate() {
                        f((i * run + j) % c, (i * run + j) * p, y);
                    }
                },
            );
        })
    }
}

/// `y = gamma (x - mean) / sqrt(var + eps) + beta`, plus a residual, then `max(y, 0)`.
pub(crate) fn forward<T: Element>(
    x: &[T],
    affine: (&[T], &[T]),
    residual: Option<&[T]>,
    moments: &Moments,
    p: usize,
    eps: f64,
    relu: bool,
) -> Vec<T> {
    let maps = Map::all(affine, moments, eps);
    planes(
        x.len(),
        maps.len(),
        p,
        #[inline(always)]
        |ch, at, y| {
            let (map, x) = (maps[ch], &x[at..at + p]);
            match residual {
                None => {
                    for (y, x) in y.iter_mut().zip(x) {
                        *y = map.at(*x);
                    }
                }
                Some(r) => {
                    for (y, (x, r)) in y.iter_mut().zip(x.iter().zip(&r[at..at + p])) {
                        *y = map.at(*x) + *r;
                    }
                }
            }
            if relu {
                for y in y.iter_mut() {
                    *y = if *y < T::ZERO { T::ZERO } else { *y };
                }
            }
        },
    )
}

/// `y = scale x + shift`, channel by channel.
pub(crate) fn affine<T: Element>(x: &[T], scale: &[T], shift: &[T], p: usize) -> Vec<T> {
    planes(
        x.len(),
        scale.len(),
        p,
        #[inline(always)]
        |ch, at, y| {
            let (a, b) = (scale[ch], shift[ch]);
            for (y, x) in y.iter_mut().zip(&x[at..at + p]) {
                *y = *x * a + b;
            }
        },
    )
}

/// The gradients to x, gamma and beta, one after the other. With `relu` the gradient counts where the result, which is
/// computed again, was positive.
pub(crate) fn backward<T: Element>(
    x: &[T],
    affine: (&[T], &[T]),
    g: &[T],
    moments: &Moments,
    p: usize,
    eps: f64,
    relu: bool,
) -> Vec<T> {
    let maps = Map::all(affine, moments, eps);
    let (c, images) = (maps.len(), x.len() / (maps.len() * p));
    let count = (images * p) as f64;
    let sums = per_channel(c, p, |ch| {
        vectorized(
            #[inline(always)]
            || {
                let (map, mut plain, mut tilted) = (maps[ch], 0.0, 0.0);
                for n in 0..images {
                    let at = (n * c + ch) * p;
                    let (x, g) = (&x[at..at + p], &g[at..at + p]);
                    if relu {
                        let on = |i: usize| if map.at(x[i]) > T::ZERO { g[i] } else { T::ZERO };
                        plain += sum(p, on);
                        tilted += sum(p, |i| on(i) * (x[i] - map.mean));
                    } else {
                        plain += sum(p, |i| g[i]);
                        tilted += sum(p, |i| g[i] * (x[i] - map.mean));
                    }
                }
                (plain, tilted)
            },
        )
    });
    let inverse = |ch: usize| 1.0 / (moments.var[ch] + eps).sqrt();
    let mut out = planes(
        x.len(),
        c,
        p,
        #[inline(always)]
        |ch, at, to| {
            // gamma inv (g - mean(g) - xhat mean(g xhat))
            let (map, (plain, tilted)) = (maps[ch], sums[ch]);
            let shift = T::from_f64(plain / count);
            let slope = T::from_f64(inverse(ch).powi(2) * tilted / count);
            let pairs = to.iter_mut().zip(x[at..at + p].iter().zip(&g[at..at + p]));
            if relu {
                for (to, (x, g)) in pairs {
                    let g = if map.at(*x) > T::ZERO { *g } else { T::ZERO };
                    *to = map.scale * (g - shift - (*x - map.mean) * slope);
                }
            } else {
                for (to, (x, g)) in pairs {
                    *to = map.scale * (*g - shift - (*x - map.mean) * slope);
                }
            }
        },
    );
    out.extend((0..c).map(|ch| T::from_f64(inverse(ch) * sums[ch].1)));
    out.extend(sums.iter().map(|s| T::from_f64(s.0)));
    out
}

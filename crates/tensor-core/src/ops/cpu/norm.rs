//! Batch normalisation with the batch's own statistics: two passes over the data forward, two backward.
#![allow(unsafe_code)]

use super::build::fill;
use super::element::Element;
use super::elementwise::Rectify;
use super::math::vectorized;
use super::sums::{Sums, by_channel, sum};
use crate::ops::Rectifier;

/// Mean and biased variance of each channel.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub(crate) mean: Vec<f64>,
    pub(crate) var: Vec<f64>,
}

/// Elements that one task handles, about.
const RUN: usize = 1 << 14;

/// Moments of the planes of one channel so far.
#[derive(Clone, Copy)]
struct Running {
    count: f64,
    mean: f64,
    /// The sum of squared distances from the mean.
    spread: f64,
}

impl Running {
    /// Merges the moments of a plane about its own mean (Chan et al. 1979).
    #[inline(always)]
    fn add<T: Element>(&mut self, plane: &[T]) {
        let p = plane.len() as f64;
        let own = sum(
            plane,
            #[inline(always)]
            |x| x,
        ) / p;
        let centre = T::of_f64(own);
        let around = sum(
            plane,
            #[inline(always)]
            |x| (x - centre) * (x - centre),
        );
        // Corrects for the rounding of the mean.
        let around = around - p * (own - centre.as_f64()).powi(2);
        let (step, total) = (own - self.mean, self.count + p);
        self.spread += around + step * step * self.count * p / total;
        self.mean += step * p / total;
        self.count = total;
    }
}

/// Moments of x (n, c, p), merged plane by plane in f64, so that a large mean costs no precision.
pub(crate) fn moments<T: Element>(x: &[T], c: usize, p: usize) -> Moments {
    let all = by_channel(
        (x.len(), c, p),
        Running { count: 0.0, mean: 0.0, spread: 0.0 },
        #[inline(always)]
        move |running, _, at| running.add(&x[at..at + p]),
    );
    let (mean, var) = all.into_iter().map(|r| (r.mean, r.spread / r.count)).unzip();
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
            mean: T::of_f64(m.mean[ch]),
            scale: T::of_f64(gamma[ch].as_f64() / (m.var[ch] + eps).sqrt()),
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
fn planes<T: Element>(len: usize, c: usize, p: usize, f: impl Fn(usize, usize, &mut [T]) + Copy + Sync) -> Vec<T> {
    let run = (RUN / p.max(1)).max(1);
    // SAFETY: the runs are whole planes, and each `f` here writes its plane.
    unsafe {
        fill(len, 2 * c, run * p, |i, y: &mut [T]| {
            vectorized(
                #[inline(always)]
                || {
                    let own = f;
                    for (j, y) in y.chunks_exact_mut(p).enumerate() {
                        own((i * run + j) % c, (i * run + j) * p, y);
                    }
                },
            );
        })
    }
}

/// `y = gamma (x - mean) / sqrt(var + eps) + beta`, plus a residual, then rectified.
pub(crate) fn forward<T: Element>(
    x: &[T],
    affine: (&[T], &[T]),
    residual: Option<&[T]>,
    moments: &Moments,
    p: usize,
    eps: f64,
    rectifier: Option<Rectifier>,
) -> Vec<T> {
    let (maps, rectify) = (Map::all(affine, moments, eps), rectifier.map(Rectify::new));
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
            if let Some(rectify) = rectify {
                for y in y.iter_mut() {
                    *y = rectify.at(*y);
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

/// The gradients to x, gamma and beta, one after the other. A result that passed a rectifier is computed again, to find
/// where it was.
pub(crate) fn backward<T: Element>(
    x: &[T],
    affine: (&[T], &[T]),
    g: &[T],
    moments: &Moments,
    p: usize,
    eps: f64,
    rectifier: Option<Rectifier>,
) -> Vec<T> {
    let (maps, rectify) = (Map::all(affine, moments, eps), rectifier.map(Rectify::new));
    let c = maps.len();
    let count = (x.len() / c) as f64;
    let own = maps.as_slice();
    let sums = by_channel(
        (x.len(), c, p),
        Sums::ZERO,
        #[inline(always)]
        move |all, ch, at| {
            let (map, x, g) = (own[ch], &x[at..at + p], &g[at..at + p]);
            if let Some(rectify) = rectify {
                all.add(
                    x,
                    g,
                    #[inline(always)]
                    |x, g| {
                        let g = rectify.back(map.at(x), g);
                        [g, g * (x - map.mean)]
                    },
                );
            } else {
                all.add(
                    x,
                    g,
                    #[inline(always)]
                    |x, g| [g, g * (x - map.mean)],
                );
            }
        },
    );
    let sums: Vec<[f64; 2]> = sums.into_iter().map(Sums::totals).collect();
    let inverse = |ch: usize| 1.0 / (moments.var[ch] + eps).sqrt();
    let mut out = planes(
        x.len(),
        c,
        p,
        #[inline(always)]
        |ch, at, to| {
            // gamma inv (g - mean(g) - xhat mean(g xhat))
            let (map, [plain, tilted]) = (maps[ch], sums[ch]);
            let shift = T::of_f64(plain / count);
            let tilt = T::of_f64(inverse(ch).powi(2) * tilted / count);
            let pairs = to.iter_mut().zip(x[at..at + p].iter().zip(&g[at..at + p]));
            if let Some(rectify) = rectify {
                for (to, (x, g)) in pairs {
                    let g = rectify.back(map.at(*x), *g);
                    *to = map.scale * (g - shift - (*x - map.mean) * tilt);
                }
            } else {
                for (to, (x, g)) in pairs {
                    *to = map.scale * (*g - shift - (*x - map.mean) * tilt);
                }
            }
        },
    );
    out.extend((0..c).map(|ch| T::of_f64(inverse(ch) * sums[ch][1])));
    out.extend(sums.iter().map(|s| T::of_f64(s[0])));
    out
}

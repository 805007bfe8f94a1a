//! Sums over slices: lanes in the element type over short blocks, these in f64. Their order depends on the length only.

use super::element::Element;
use super::math::vectorized;
use super::threads::gather;

/// Lanes of a long slice: enough to keep the vector units busy.
const MANY: usize = 64;
/// Lanes of a short one.
const FEW: usize = 16;
/// Terms that a lane takes before it goes to f64.
const TERMS: usize = 32;
/// Lanes in f64.
const WIDE: usize = 8;

/// Running sums over pairs of elements.
#[derive(Clone, Copy)]
pub(super) struct Sums<const N: usize>([[f64; WIDE]; N]);

impl<const N: usize> Sums<N> {
    pub(super) const ZERO: Self = Self([[0.0; WIDE]; N]);

    /// Adds the terms `f(x, g)`.
    #[inline(always)]
    pub(super) fn add<T: Element>(&mut self, x: &[T], g: &[T], f: impl Fn(T, T) -> [T; N]) {
        if x.len() < 4 * MANY { self.add_in::<T, FEW>(x, g, f) } else { self.add_in::<T, MANY>(x, g, f) }
    }

    #[inline(always)]
    fn add_in<T: Element, const LANES: usize>(&mut self, x: &[T], g: &[T], f: impl Fn(T, T) -> [T; N]) {
        for (x, g) in x.chunks(TERMS * LANES).zip(g.chunks(TERMS * LANES)) {
            let (xs, gs) = (x.chunks_exact(LANES), g.chunks_exact(LANES));
            let rest = xs.remainder().iter().zip(gs.remainder());
            let mut lanes = [[T::ZERO; LANES]; N];
            for (x, g) in xs.zip(gs) {
                for i in 0..LANES {
                    let terms = f(x[i], g[i]);
                    for n in 0..N {
                        lanes[n][i] += terms[n];
                    }
                }
            }
            self.widen(&lanes);
            if rest.len() > 0 {
                // Apart from the lanes, which then stay in registers.
                let mut lanes = [[T::ZERO; LANES]; N];
                for (i, (x, g)) in rest.enumerate() {
                    let terms = f(*x, *g);
                    for n in 0..N {
                        lanes[n][i] = terms[n];
                    }
                }
                self.widen(&lanes);
            }
        }
    }

    #[inline(always)]
    fn widen<T: Element, const LANES: usize>(&mut self, lanes: &[[T; LANES]; N]) {
        for (wide, lanes) in self.0.iter_mut().zip(lanes) {
            for lanes in lanes.as_chunks::<WIDE>().0 {
                for (w, l) in wide.iter_mut().zip(lanes) {
                    *w += l.as_f64();
                }
            }
        }
    }

    /// The sums so far.
    #[inline(always)]
    pub(super) fn totals(self) -> [f64; N] {
        self.0.map(
            #[inline(always)]
            |w| ((w[0] + w[4]) + (w[2] + w[6])) + ((w[1] + w[5]) + (w[3] + w[7])),
        )
    }
}

/// Sums of terms `f(x, g)`.
#[inline(always)]
pub(super) fn sums<T: Element, const N: usize>(x: &[T], g: &[T], f: impl Fn(T, T) -> [T; N]) -> [f64; N] {
    let mut all = Sums::ZERO;
    all.add(x, g, f);
    all.totals()
}

/// The sum of terms `f(x)`.
#[inline(always)]
pub(super) fn sum<T: Element>(x: &[T], f: impl Fn(T) -> T) -> f64 {
    let [total] = sums(
        x,
        x,
        #[inline(always)]
        |x, _| [f(x)],
    );
    total
}

/// Elements of the planes of one image that a task takes in one go, about.
const SIDE_BY_SIDE: usize = 1024;

/// A value for each channel of tensors (n, channels, p) of `len` elements: `add(value, channel, first element)` for its planes in order,
/// from `start` on. Small planes of neighbouring channels are read as they lie, image by image.
pub(super) fn by_channel<V: Clone + Send + Sync>(
    (len, channels, p): (usize, usize, usize),
    start: V,
    add: impl Fn(&mut V, usize, usize) + Copy + Sync,
) -> Vec<V> {
    let images = len / (channels * p).max(1);
    let most = channels.div_ceil(4 * rayon::current_num_threads()).max(1);
    let run = (SIDE_BY_SIDE / p.max(1)).clamp(1, most);
    let some = |i: usize| {
        let first = i * run;
        let mut values = vec![start.clone(); run.min(channels - first)];
        vectorized(
            #[inline(always)]
            || {
                let own = add;
                for image in 0..images {
                    for (j, value) in values.iter_mut().enumerate() {
                        own(value, first + j, (image * channels + first + j) * p);
                    }
                }
            },
        );
        values
    };
    gather(channels.div_ceil(run), 1, &some).concat()
}

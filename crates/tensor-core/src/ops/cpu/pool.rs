//! Maximum and average over windows.

use super::build::build;
use super::element::Element;
use super::math::vectorized;

/// Windows over planes of one size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) image: (usize, usize),
    pub(crate) out: (usize, usize),
    pub(crate) kernel: (usize, usize),
    pub(crate) stride: (usize, usize),
    pub(crate) padding: (usize, usize),
    /// Windows from `floor(i H / OH)` to `ceil((i + 1) H / OH)`; kernel, stride and padding are not used then.
    pub(crate) adaptive: bool,
}

/// The larger of two; a NaN is the larger.
#[inline(always)]
fn larger<T: Element>(a: T, b: T) -> T {
    #[allow(clippy::eq_op)] // only a NaN differs from itself
    if a > b || a != a { a } else { b }
}

impl Windows {
    fn pixels(&self) -> usize {
        self.image.0 * self.image.1
    }

    fn positions(&self) -> usize {
        self.out.0 * self.out.1
    }

    /// Rows and columns of the image that window (oy, ox) covers.
    fn window(&self, oy: usize, ox: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        if self.adaptive {
            let axis = |o: usize, out: usize, len: usize| o * len / out..((o + 1) * len).div_ceil(out);
            return (axis(oy, self.out.0, self.image.0), axis(ox, self.out.1, self.image.1));
        }
        let axis = |o: usize, stride: usize, padding: usize, kernel: usize, image: usize| {
            let from = o * stride;
            from.saturating_sub(padding)..(from + kernel).saturating_sub(padding).min(image)
        };
        (
            axis(oy, self.stride.0, self.padding.0, self.kernel.0, self.image.0),
            axis(ox, self.stride.1, self.padding.1, self.kernel.1, self.image.1),
        )
    }

    /// Where the maximum of window (oy, ox) is: the first of several, or the first NaN.
    fn argmax<T: Element>(&self, plane: &[T], oy: usize, ox: usize) -> usize {
        let (ys, xs) = self.window(oy, ox);
        let mut best = ys.start * self.image.1 + xs.start;
        for y in ys {
            for at in y * self.image.1 + xs.start..y * self.image.1 + xs.end {
                // A NaN wins and stays, as in PyTorch.
                let (v, b) = (plane[at], plane[best]);
                if v > b || (v.nan() && !b.nan()) {
                    best = at;
                }
            }
        }
        best
    }

    /// Calls `f(position, pixel)` with each window's maximum in one plane.
    fn maxima<T: Element>(&self, plane: &[T], mut f: impl FnMut(usize, usize)) {
        let (ow, w) = (self.out.1, self.image.1);
        if self.adaptive || (self.kernel, self.stride, self.padding) != ((2, 2), (2, 2), (0, 0)) {
            return self.each().enumerate().for_each(|(i, (oy, ox))| f(i, self.argmax(plane, oy, ox)));
        }
        for oy in 0..self.out.0 {
            let (top, bottom) = plane[2 * oy * w..][..2 * w].split_at(w);
            for (ox, (t, b)) in top.chunks_exact(2).zip(bottom.chunks_exact(2)).enumerate() {
                let (mut at, mut best) = (0, t[0]);
                for (offset, v) in [(1, t[1]), (w, b[0]), (w + 1, b[1])] {
                    (at, best) = if v > best { (offset, v) } else { (at, best) };
                }
                // The sum is NaN if an element is: then the general search finds it.
                let at = if (t[0] + t[1] + b[0] + b[1]).nan() {
                    self.argmax(plane, oy, ox)
                } else {
                    2 * oy * w + 2 * ox + at
                };
                f(oy * ow + ox, at);
            }
        }
    }

    fn each(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let out = self.out;
        (0..out.0).flat_map(move |y| (0..out.1).map(move |x| (y, x)))
    }

    /// Each window's maximum. For 2x2 windows with stride 2 only the values are computed, not their positions.
    pub(crate) fn largest<T: Element>(&self, x: &[T]) -> Vec<T> {
        if self.adaptive || (self.kernel, self.stride, self.padding) != ((2, 2), (2, 2), (0, 0)) {
            return self.pick(x, x);
        }
        let (ow, w) = (self.out.1, self.image.1);
        build(x.len() / self.pixels() * self.positions(), self.positions(), |p, y| {
            let x = &x[p * self.pixels()..][..self.pixels()];
            vectorized(
                #[inline(always)]
                || {
                    for (oy, y) in y.chunks_exact_mut(ow).enumerate() {
                        let (top, bottom) = x[2 * oy * w..][..2 * w].split_at(w);
                        for ((y, t), b) in y.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2)) {
                            *y = larger(larger(t[0], t[1]), larger(b[0], b[1]));
                        }
                    }
                },
            );
        })
    }

    /// `y = u` at each window's maximum of `x`.
    pub(crate) fn pick<T: Element>(&self, x: &[T], u: &[T]) -> Vec<T> {
        build(x.len() / self.pixels() * self.positions(), self.positions(), |p, y| {
            let (x, u) = (&x[p * self.pixels()..][..self.pixels()], &u[p * self.pixels()..][..self.pixels()]);
            self.maxima(x, |i, at| y[i] = u[at]);
        })
    }

    /// `gx += g` at each window's maximum of `x`: the adjoint of [`Windows::pick`] in `u`.
    pub(crate) fn put<T: Element>(&self, x: &[T], g: &[T]) -> Vec<T> {
        build(x.len(), self.pixels(), |p, gx| {
            let (x, g) = (&x[p * self.pixels()..][..self.pixels()], &g[p * self.positions()..][..self.positions()]);
            self.maxima(x, |i, at| gx[at] += g[i]);
        })
    }

    /// One over the elements of a window; padding counts.
    fn share<T: Element>(&self, oy: usize, ox: usize) -> T {
        let count = if self.adaptive {
            let (ys, xs) = self.window(oy, ox);
            ys.len() * xs.len()
        } else {
            self.kernel.0 * self.kernel.1
        };
        T::from_f64(1.0 / count as f64)
    }

    /// Sum over each window divided by the kernel's size: padding counts as zeros.
    pub(crate) fn mean<T: Element>(&self, x: &[T]) -> Vec<T> {
        build(x.len() / self.pixels() * self.positions(), self.positions(), |p, y| {
            let x = &x[p * self.pixels()..][..self.pixels()];
            for (y, (oy, ox)) in y.iter_mut().zip(self.each()) {
                let (ys, xs) = self.window(oy, ox);
                for row in ys {
                    x[row * self.image.1..][xs.clone()].iter().for_each(|v| *y += *v);
                }
                *y *= self.share(oy, ox);
            }
        })
    }

    /// The adjoint of [`Windows::mean`].
    pub(crate) fn spread<T: Element>(&self, g: &[T]) -> Vec<T> {
        build(g.len() / self.positions() * self.pixels(), self.pixels(), |p, gx| {
            for (g, (oy, ox)) in g[p * self.positions()..][..self.positions()].iter().zip(self.each()) {
                let (ys, xs) = self.window(oy, ox);
                let g = *g * self.share(oy, ox);
                for row in ys {
                    gx[row * self.image.1..][xs.clone()].iter_mut().for_each(|v| *v += g);
                }
            }
        })
    }
}

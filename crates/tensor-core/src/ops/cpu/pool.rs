//! Maximum and average over windows.

use super::element::Element;
use rayon::prelude::*;

/// Windows over planes of one size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) image: (usize, usize),
    pub(crate) out: (usize, usize),
    pub(crate) kernel: (usize, usize),
    pub(crate) stride: (usize, usize),
    pub(crate) padding: (usize, usize),
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
                if v > b || (v != v && b == b) {
                    best = at;
                }
            }
        }
        best
    }

    fn each(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let out = self.out;
        (0..out.0).flat_map(move |y| (0..out.1).map(move |x| (y, x)))
    }

    /// `y = u` at each window's maximum of `x`; with `u = x`, the maximum itself.
    pub(crate) fn pick<T: Element>(&self, x: &[T], u: &[T]) -> Vec<T> {
        let mut y = vec![T::ZERO; x.len() / self.pixels() * self.positions()];
        y.par_chunks_exact_mut(self.positions()).enumerate().for_each(|(p, y)| {
            let (x, u) = (&x[p * self.pixels()..][..self.pixels()], &u[p * self.pixels()..][..self.pixels()]);
            y.iter_mut().zip(self.each()).for_each(|(y, (oy, ox))| *y = u[self.argmax(x, oy, ox)]);
        });
        y
    }

    /// `gx += g` at each window's maximum of `x`: the adjoint of [`Windows::pick`] in `u`.
    pub(crate) fn put<T: Element>(&self, x: &[T], g: &[T]) -> Vec<T> {
        let mut gx = vec![T::ZERO; x.len()];
        gx.par_chunks_exact_mut(self.pixels()).enumerate().for_each(|(p, gx)| {
            let (x, g) = (&x[p * self.pixels()..][..self.pixels()], &g[p * self.positions()..][..self.positions()]);
            g.iter().zip(self.each()).for_each(|(g, (oy, ox))| gx[self.argmax(x, oy, ox)] += *g);
        });
        gx
    }

    /// Sum over each window divided by the kernel's size: padding counts as zeros.
    pub(crate) fn mean<T: Element>(&self, x: &[T]) -> Vec<T> {
        let share = T::from_f64(1.0 / (self.kernel.0 * self.kernel.1) as f64);
        let mut y = vec![T::ZERO; x.len() / self.pixels() * self.positions()];
        y.par_chunks_exact_mut(self.positions()).enumerate().for_each(|(p, y)| {
            let x = &x[p * self.pixels()..][..self.pixels()];
            for (y, (oy, ox)) in y.iter_mut().zip(self.each()) {
                let (ys, xs) = self.window(oy, ox);
                for row in ys {
                    x[row * self.image.1..][xs.clone()].iter().for_each(|v| *y += *v);
                }
                *y = *y * share;
            }
        });
        y
    }

    /// The adjoint of [`Windows::mean`].
    pub(crate) fn spread<T: Element>(&self, g: &[T]) -> Vec<T> {
        let share = T::from_f64(1.0 / (self.kernel.0 * self.kernel.1) as f64);
        let mut gx = vec![T::ZERO; g.len() / self.positions() * self.pixels()];
        gx.par_chunks_exact_mut(self.pixels()).enumerate().for_each(|(p, gx)| {
            for (g, (oy, ox)) in g[p * self.positions()..][..self.positions()].iter().zip(self.each()) {
                let (ys, xs) = self.window(oy, ox);
                for row in ys {
                    gx[row * self.image.1..][xs.clone()].iter_mut().for_each(|v| *v += *g * share);
                }
            }
        });
        gx
    }
}

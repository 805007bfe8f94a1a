//! Linear maps along the two axes of planes: nearest and bilinear resizing.

use super::build::build;
use super::element::Element;

/// Where each output of an axis comes from: `(1 - w) x[a] + w x[b]`.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) from: usize,
    pub(crate) taps: Vec<(usize, usize, f64)>,
}

/// A map of planes by two axes.
#[derive(Clone, Debug)]
pub(crate) struct Resample {
    pub(crate) rows: Axis,
    pub(crate) cols: Axis,
}

impl Resample {
    fn pixels(&self) -> usize {
        self.rows.from * self.cols.from
    }

    fn positions(&self) -> usize {
        self.rows.taps.len() * self.cols.taps.len()
    }

    /// The weights of one output, on up to four pixels.
    #[inline(always)]
    fn corners<T: Element>(&self, row: (usize, usize, f64), col: (usize, usize, f64)) -> [(usize, T); 4] {
        let (w, (a, b, v), (c, d, u)) = (self.cols.from, row, col);
        let weight = |x: f64| T::of_f64(x);
        [
            (a * w + c, weight((1.0 - v) * (1.0 - u))),
            (a * w + d, weight((1.0 - v) * u)),
            (b * w + c, weight(v * (1.0 - u))),
            (b * w + d, weight(v * u)),
        ]
    }

    /// `y = R x`, plane by plane.
    pub(crate) fn forward<T: Element>(&self, x: &[T]) -> Vec<T> {
        build(x.len() / self.pixels() * self.positions(), self.positions(), |p, y| {
            let x = &x[p * self.pixels()..][..self.pixels()];
            for (y, &row) in y.chunks_exact_mut(self.cols.taps.len()).zip(&self.rows.taps) {
                for (y, &col) in y.iter_mut().zip(&self.cols.taps) {
                    *y = if row.2 == 0.0 && col.2 == 0.0 {
                        x[row.0 * self.cols.from + col.0]
                    } else {
                        self.corners::<T>(row, col).into_iter().fold(T::ZERO, |sum, (at, w)| sum + x[at] * w)
                    };
                }
            }
        })
    }

    /// The adjoint: `gx = R^T g`.
    pub(crate) fn adjoint<T: Element>(&self, g: &[T]) -> Vec<T> {
        build(g.len() / self.positions() * self.pixels(), self.pixels(), |p, gx| {
            let g = &g[p * self.positions()..][..self.positions()];
            for (g, &row) in g.chunks_exact(self.cols.taps.len()).zip(&self.rows.taps) {
                for (&g, &col) in g.iter().zip(&self.cols.taps) {
                    if row.2 == 0.0 && col.2 == 0.0 {
                        gx[row.0 * self.cols.from + col.0] += g;
                    } else {
                        self.corners::<T>(row, col).into_iter().for_each(|(at, w)| gx[at] += g * w);
                    }
                }
            }
        })
    }
}

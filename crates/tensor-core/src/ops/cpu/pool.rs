//! Maximum and average over windows.

use super::build::build;
use super::element::Element;
use super::math::vectorized;

/// The windows along one axis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub(crate) image: usize,
    pub(crate) out: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) padding_end: usize,
    pub(crate) dilation: usize,
    /// Windows from `floor(i H / OH)` to `ceil((i + 1) H / OH)`; kernel, stride, padding and dilation are not used then.
    pub(crate) adaptive: bool,
}

impl Axis {
    /// The first element of the image in window `o`, and how many; each is `dilation` after the one before.
    #[inline(always)]
    fn window(&self, o: usize) -> (usize, usize) {
        if self.adaptive {
            let from = o * self.image / self.out;
            return (from, ((o + 1) * self.image).div_ceil(self.out) - from);
        }
        let from = o * self.stride;
        let first = self.padding.saturating_sub(from).div_ceil(self.dilation);
        let end = (self.padding + self.image).saturating_sub(from).div_ceil(self.dilation).min(self.kernel);
        if first >= end { (0, 0) } else { (from + first * self.dilation - self.padding, end - first) }
    }

    /// Elements of window `o` in the image.
    pub(crate) fn count(&self, o: usize) -> usize {
        self.window(o).1
    }

    /// Elements of window `o` in the padded image.
    pub(crate) fn padded_count(&self, o: usize) -> usize {
        if self.adaptive {
            return self.count(o);
        }
        let len = self.padding + self.image + self.padding_end;
        len.saturating_sub(o * self.stride).div_ceil(self.dilation).min(self.kernel)
    }

    /// The outputs whose tap `k` is in the image, and the element that the first of them reads.
    fn outputs(&self, k: usize) -> (std::ops::Range<usize>, usize) {
        let at = k * self.dilation;
        let from = self.padding.saturating_sub(at).div_ceil(self.stride);
        let to = (self.padding + self.image).saturating_sub(at).div_ceil(self.stride).min(self.out);
        if from >= to { (0..0, 0) } else { (from..to, from * self.stride + at - self.padding) }
    }

    fn tiles(&self, size: usize) -> bool {
        let Self { kernel, stride, padding, dilation, adaptive, .. } = *self;
        !adaptive && (kernel, stride, padding, dilation) == (size, size, 0, 1) && self.out * size <= self.image
    }
}

/// Windows over planes of one size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) rows: Axis,
    pub(crate) cols: Axis,
    /// Whether an average counts the elements of the padding.
    pub(crate) count_padding: bool,
}

/// The larger of two; a NaN is the larger.
#[inline(always)]
fn larger<T: Element>(a: T, b: T) -> T {
    #[allow(clippy::eq_op)] // only a NaN differs from itself
    if a > b || a != a { a } else { b }
}

impl Windows {
    pub(crate) fn image(&self) -> (usize, usize) {
        (self.rows.image, self.cols.image)
    }

    pub(crate) fn out(&self) -> (usize, usize) {
        (self.rows.out, self.cols.out)
    }

    fn pixels(&self) -> usize {
        self.rows.image * self.cols.image
    }

    fn positions(&self) -> usize {
        self.rows.out * self.cols.out
    }

    /// Whether the windows are 2x2 and side by side.
    fn pairs(&self) -> bool {
        self.rows.tiles(2) && self.cols.tiles(2)
    }

    /// Whether output rows are long enough to be computed tap by tap instead of window by window.
    fn long(&self) -> bool {
        !self.cols.adaptive && self.cols.out >= 4
    }

    /// Calls `f` with the first pixel of each row of window (oy, ox), and gives the number of pixels of a row.
    #[inline(always)]
    fn each_row(&self, oy: usize, ox: usize, mut f: impl FnMut(usize)) -> usize {
        let ((y, rows), (x, cols)) = (self.rows.window(oy), self.cols.window(ox));
        let step = if self.rows.adaptive { 1 } else { self.rows.dilation };
        for i in 0..rows {
            f((y + i * step) * self.cols.image + x);
        }
        cols
    }

    /// Elements between the pixels of a row of a window.
    fn step(&self) -> usize {
        if self.cols.adaptive { 1 } else { self.cols.dilation }
    }

    /// Where the maximum of window (oy, ox) is: the first of several, or the first NaN.
    fn argmax<T: Element>(&self, plane: &[T], oy: usize, ox: usize) -> usize {
        let (cols, step) = (self.cols.count(ox), self.step());
        let mut best = usize::MAX;
        self.each_row(oy, ox, |from| {
            for at in (from..).step_by(step).take(cols) {
                if best == usize::MAX {
                    best = at;
                }
                // A NaN wins and stays, as in PyTorch.
                let (v, b) = (plane[at], plane[best]);
                if v > b || (v.nan() && !b.nan()) {
                    best = at;
                }
            }
        });
        best
    }

    /// Calls `f(position, pixel)` with each window's maximum in one plane.
    #[inline(always)]
    fn maxima<T: Element>(&self, plane: &[T], mut f: impl FnMut(usize, usize)) {
        let (ow, w) = (self.cols.out, self.cols.image);
        if !self.pairs() {
            return self.each().enumerate().for_each(|(i, (oy, ox))| f(i, self.argmax(plane, oy, ox)));
        }
        for oy in 0..self.rows.out {
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
        let out = self.out();
        (0..out.0).flat_map(move |y| (0..out.1).map(move |x| (y, x)))
    }

    /// Each window's maximum. Only the values are computed, not their positions, where that is faster.
    pub(crate) fn largest<T: Element>(&self, x: &[T]) -> Vec<T> {
        if !self.pairs() {
            return if self.long() { self.largest_by_rows(x) } else { self.pick(x, x) };
        }
        let (ow, w) = (self.cols.out, self.cols.image);
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

    /// [`Windows::largest`] by the maxima over the rows of a window, then over its columns.
    fn largest_by_rows<T: Element>(&self, x: &[T]) -> Vec<T> {
        let (ow, w, stride) = (self.cols.out, self.cols.image, self.cols.stride);
        let lowest = T::of_f64(f64::NEG_INFINITY);
        build(x.len() / self.pixels() * self.positions(), self.positions(), |p, y| {
            let x = &x[p * self.pixels()..][..self.pixels()];
            T::scratch(w, |high| {
                for (oy, y) in y.chunks_exact_mut(ow).enumerate() {
                    let (first, rows) = self.rows.window(oy);
                    let step = if self.rows.adaptive { 1 } else { self.rows.dilation };
                    vectorized(
                        #[inline(always)]
                        || {
                            high.fill(lowest);
                            for i in 0..rows {
                                for (h, v) in high.iter_mut().zip(&x[(first + i * step) * w..][..w]) {
                                    *h = larger(*h, *v);
                                }
                            }
                            y.fill(lowest);
                            for k in 0..self.cols.kernel {
                                let (to, from) = self.cols.outputs(k);
                                if stride == 1 {
                                    for (y, h) in y[to].iter_mut().zip(&high[from..]) {
                                        *y = larger(*y, *h);
                                    }
                                } else {
                                    for (y, h) in y[to].iter_mut().zip(high[from..].chunks(stride)) {
                                        *y = larger(*y, h[0]);
                                    }
                                }
                            }
                        },
                    );
                }
            });
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
            vectorized(
                #[inline(always)]
                || self.maxima(x, |i, at| gx[at] += g[i]),
            );
        })
    }

    /// One over the elements of window (oy, ox), with those of the padding if they count.
    pub(crate) fn share(&self, oy: usize, ox: usize) -> f64 {
        let axis = |axis: &Axis, o: usize| if self.count_padding { axis.padded_count(o) } else { axis.count(o) };
        1.0 / (axis(&self.rows, oy) * axis(&self.cols, ox)) as f64
    }

    /// [`Windows::share`] of all positions.
    pub(crate) fn shares<T: Element>(&self) -> Vec<T> {
        self.each().map(|(oy, ox)| T::of_f64(self.share(oy, ox))).collect()
    }

    /// Sum over each window, row after row, times its share: padding adds zeros.
    pub(crate) fn mean<T: Element>(&self, x: &[T]) -> Vec<T> {
        let (ow, w, stride, shares) = (self.cols.out, self.cols.image, self.cols.stride, self.shares::<T>());
        build(x.len() / self.pixels() * self.positions(), self.positions(), |p, y| {
            let x = &x[p * self.pixels()..][..self.pixels()];
            if !self.long() {
                for ((y, share), (oy, ox)) in y.iter_mut().zip(&shares).zip(self.each()) {
                    let (cols, step) = (self.cols.count(ox), self.step());
                    self.each_row(oy, ox, |from| {
                        for v in x[from..].iter().step_by(step).take(cols) {
                            *y += *v;
                        }
                    });
                    *y *= *share;
                }
                return;
            }
            for (oy, (y, shares)) in y.chunks_exact_mut(ow).zip(shares.chunks_exact(ow)).enumerate() {
                let (first, rows) = self.rows.window(oy);
                let step = if self.rows.adaptive { 1 } else { self.rows.dilation };
                vectorized(
                    #[inline(always)]
                    || {
                        for i in 0..rows {
                            let row = &x[(first + i * step) * w..][..w];
                            for k in 0..self.cols.kernel {
                                let (to, from) = self.cols.outputs(k);
                                if stride == 1 {
                                    for (y, v) in y[to].iter_mut().zip(&row[from..]) {
                                        *y += *v;
                                    }
                                } else {
                                    for (y, v) in y[to].iter_mut().zip(row[from..].chunks(stride)) {
                                        *y += v[0];
                                    }
                                }
                            }
                        }
                        for (y, share) in y.iter_mut().zip(shares) {
                            *y *= *share;
                        }
                    },
                );
            }
        })
    }

    /// The adjoint of [`Windows::mean`].
    pub(crate) fn spread<T: Element>(&self, g: &[T]) -> Vec<T> {
        let shares = self.shares::<T>();
        build(g.len() / self.positions() * self.pixels(), self.pixels(), |p, gx| {
            let g = &g[p * self.positions()..][..self.positions()];
            for ((g, share), (oy, ox)) in g.iter().zip(&shares).zip(self.each()) {
                let (g, cols, step) = (*g * *share, self.cols.count(ox), self.step());
                self.each_row(oy, ox, |from| {
                    for v in gx[from..].iter_mut().step_by(step).take(cols) {
                        *v += g;
                    }
                });
            }
        })
    }
}

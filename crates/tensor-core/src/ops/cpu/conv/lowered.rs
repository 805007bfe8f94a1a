//! A convolution as a product of matrices: the kernels by the columns of inputs that the results read (im2col), which are packed a block at
//! a time. All positions of a batch are columns, so that small maps fill whole vectors, and the kernels are read once.
#![allow(unsafe_code)]

use super::correlate::{Correlation, Pass};
use super::kernels::Rows;
use crate::ops::Rectifier;
use crate::ops::cpu::build::unwritten;
use crate::ops::cpu::element::Element;
use crate::ops::cpu::elementwise::Rectify;
use crate::ops::cpu::matmul::{self, Begin, Factor, Job, PackColumns, Place, Threads};
use crate::ops::cpu::threads::each_run;
use crate::ops::cpu::tile;

/// The columns `x[n, c, i sy + ty, j sx + tx]` of a batch of maps, one for each position (n, i, j); terms are (channel, tap).
struct Columns<'a, T> {
    x: &'a [T],
    channels: usize,
    /// Lines and columns of the source.
    source: (usize, usize),
    /// Lines and columns of the results.
    out: (usize, usize),
    stride: (usize, usize),
    /// Offsets (ty, tx) of the taps.
    offsets: &'a [(isize, isize)],
}

/// Neighbouring results of one line, which are columns `at..at + len` of a panel.
struct Run {
    at: usize,
    len: usize,
    image: usize,
    /// The source's position under tap (0, 0) of the first.
    line: isize,
    column: isize,
}

impl<T: Element> Columns<'_, T> {
    fn runs(&self, (first, count): (usize, usize)) -> Vec<Run> {
        let (h, w) = self.out;
        let mut runs = Vec::with_capacity(count.div_ceil(w) + 1);
        let mut at = 0;
        while at < count {
            let (line, column) = ((first + at) / w, (first + at) % w);
            let len = (w - column).min(count - at);
            let (y, x) = (line % h * self.stride.0, column * self.stride.1);
            runs.push(Run { at, len, image: line / h, line: y as isize, column: x as isize });
            at += len;
        }
        runs
    }

    /// The inputs of one run at one term.
    #[inline(always)]
    fn copy(&self, run: &Run, channel: usize, (ty, tx): (isize, isize), to: &mut [T]) {
        let ((h, w), step) = (self.source, self.stride.1);
        let y = run.line + ty;
        if y < 0 || y >= h as isize {
            return to.fill(T::ZERO);
        }
        let from = &self.x[((run.image * self.channels + channel) * h + y as usize) * w..][..w];
        let x = run.column + tx;
        // Results `skip..end` read inside the line.
        let skip = if x < 0 { ((-x) as usize).div_ceil(step).min(run.len) } else { 0 };
        let start = (x + (skip * step) as isize) as usize;
        let end = if start < w { (skip + (w - 1 - start) / step + 1).min(run.len) } else { skip };
        to[..skip].fill(T::ZERO);
        to[end..].fill(T::ZERO);
        let (to, from) = (&mut to[skip..end], &from[start.min(w)..]);
        if step > 1 {
            to.iter_mut().zip(from.iter().step_by(step)).for_each(|(to, from)| *to = *from);
        } else if to.len().is_multiple_of(8) {
            // Short and of one length: not worth a call to copy memory.
            for (to, from) in to.as_chunks_mut::<8>().0.iter_mut().zip(from.as_chunks::<8>().0) {
                *to = *from;
            }
        } else {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
    }
}

impl<T: Element> PackColumns<T> for Columns<'_, T> {
    fn pack_columns(&self, columns: (usize, usize), (k0, depth): (usize, usize), to: &mut [T], panel: usize) {
        let (runs, taps) = (self.runs(columns), self.offsets.len());
        for (k, to) in (k0..k0 + depth).zip(to.chunks_exact_mut(panel)) {
            let (channel, tap) = (k / taps, self.offsets[k % taps]);
            for run in &runs {
                self.copy(run, channel, tap, &mut to[run.at..][..run.len]);
            }
            to[columns.1..].fill(T::ZERO);
        }
    }
}

/// Kernels that do not stay in a second-level cache while the images pass.
const LARGE: usize = 1 << 18;
/// Rows below which the columns cost too much beside the product.
const FEW: usize = 32;

impl Correlation {
    /// Whether the product is faster than the sums over padded copies of the images; the bytes are the same.
    pub(super) fn lowers<T: Element>(&self, batch: usize) -> bool {
        let lanes = tile::lanes::<T>();
        if self.rows < FEW || self.passes.is_empty() || Self::spread(batch, lanes) && self.interleave::<T>(lanes) {
            return false;
        }
        let (mut apart, mut side_by_side, mut kernels) = (0, 0, 0);
        for pass in &self.passes {
            let ((h, w), depth) = (pass.taps.out, self.channels * pass.order.len());
            apart += depth * batch * h * w.div_ceil(lanes);
            side_by_side += depth * (batch * h * w).div_ceil(lanes);
            kernels += depth * self.rows;
        }
        kernels >= LARGE || side_by_side * 4 <= apart * 3
    }

    /// The correlation of a batch (n, c, h, w) with the kernels, plus a bias (m,), rectified.
    pub(super) fn lowered<T: Element>(
        &self,
        batch: usize,
        x: &[T],
        w: &[T],
        bias: Option<&[T]>,
        rectify: Option<Rectifier>,
    ) -> Vec<T> {
        let ((high, wide), step) = (self.map, self.step);
        assert!(x.len() == batch * self.source_len(), "images of another size");
        // SAFETY: the passes write all positions, or the loop below does first.
        let mut y: Vec<T> = unsafe { unwritten(batch * self.map_len(), 0) };
        if self.passes.len() < step.0 * step.1 {
            // Where no tap reaches, the bias alone stands.
            let alone = |i: usize| bias.map_or(T::ZERO, |b| b[i % self.rows]);
            each_run(&mut y, high * wide, &|i, map| {
                map.fill(rectify.map_or(alone(i), |r| Rectify::new(r).at(alone(i))));
            });
        }
        for pass in &self.passes {
            let kernels = Rows::new(self, &pass.order, w);
            let columns = self.columns(pass, x);
            let maps = matmul::Maps {
                size: columns.out,
                first: pass.first.0 * wide + pass.first.1,
                image: self.map_len(),
                line: step.0 * wide,
                position: step.1,
            };
            let job = Job {
                size: (self.rows, batch * columns.out.0 * columns.out.1, self.channels * pass.order.len()),
                a: &kernels,
                b: Factor::Plain(&columns),
                place: Place { row: high * wide, maps: Some(maps) },
                begin: Begin::rows(bias),
                rectify: rectify.map(Rectify::new),
                threads: Threads::All,
            };
            let last = |first: usize, step: usize, n: usize| first + (n - 1) * step;
            let inside = last(pass.first.0, step.0, pass.taps.out.0) < high
                && last(pass.first.1, step.1, pass.taps.out.1) < wide;
            assert!(inside, "results outside of their map");
            // SAFETY: the assertion bounds the results in each of the `batch * rows` maps of `y`.
            unsafe { matmul::multiply(&job, y.as_mut_ptr()) }
        }
        y
    }

    /// The columns of a pass; maps of which one tap reads every position are taken as one line.
    fn columns<'a, T>(&'a self, pass: &'a Pass, x: &'a [T]) -> Columns<'a, T> {
        let plain = pass.taps.offsets == [(0, 0)]
            && self.stride == (1, 1)
            && self.step == (1, 1)
            && self.source == pass.taps.out;
        let line = |(h, w): (usize, usize)| if plain { (1, h * w) } else { (h, w) };
        Columns {
            x,
            channels: self.channels,
            source: line(self.source),
            out: line(pass.taps.out),
            stride: self.stride,
            offsets: &pass.taps.offsets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cpu::conv::Geometry;

    fn numbers<T: Element>(n: usize, seed: u64) -> Vec<T> {
        crate::Rng::new(seed).normals(n).into_iter().map(T::of_f64).collect()
    }

    /// Batch, channels in and out, image, kernel, and stride, padding, dilation.
    type Case = (usize, (usize, usize), (usize, usize), (usize, usize), [usize; 3]);

    /// Whole and cut vectors, several images in a vector, maps of one line, sums cut inside a channel and into blocks, positions that no
    /// tap reaches, and none that any does.
    const CASES: [Case; 12] = [
        (3, (5, 40), (7, 7), (3, 3), [1, 1, 1]),
        (2, (300, 33), (7, 5), (1, 1), [1, 0, 1]),
        (5, (9, 14), (8, 9), (3, 3), [2, 1, 1]),
        (4, (6, 7), (9, 9), (1, 1), [2, 0, 1]),
        (1, (40, 37), (20, 40), (1, 1), [1, 0, 1]),
        (2, (170, 13), (6, 6), (3, 2), [1, 2, 2]),
        (2, (170, 40), (6, 6), (3, 3), [1, 1, 1]),
        (2, (14, 170), (6, 6), (3, 3), [1, 1, 1]),
        (2, (14, 230), (6, 6), (5, 5), [2, 2, 1]),
        (17, (3, 5), (4, 4), (4, 4), [2, 1, 1]),
        (2, (4, 3), (5, 5), (1, 1), [3, 1, 1]),
        (2, (4, 3), (1, 1), (1, 1), [3, 1, 1]),
    ];

    fn both_ways_agree<T: Element + std::fmt::Debug>() {
        for (n, (channels, out_channels), image, kernel, [stride, padding, dilation]) in CASES {
            let out = |i: usize, k: usize| (i + 2 * padding - dilation * (k - 1) - 1) / stride + 1;
            let geo = Geometry {
                batch: n,
                groups: 1,
                channels,
                out_channels,
                image,
                kernel,
                out: (out(image.0, kernel.0), out(image.1, kernel.1)),
                stride: (stride, stride),
                padding: (padding, padding),
                dilation: (dilation, dilation),
            };
            let w: Vec<T> = numbers(out_channels * channels * kernel.0 * kernel.1, 2);
            let capped = Some(Rectifier { slope: 0.0, cap: 1.0 });
            for (of, rectify) in
                [(geo.correlation(), None), (geo.correlation(), capped), (geo.adjoint(), None), (geo.adjoint(), capped)]
            {
                let (x, bias): (Vec<T>, Vec<T>) = (numbers(n * of.source_len(), 1), numbers(of.rows, 3));
                for bias in [None, Some(&bias[..])] {
                    let product = of.lowered(n, &x, &w, bias, rectify);
                    assert_eq!(product, geo.over_batch(&of, &x, &w, bias, rectify), "{geo:?}");
                }
            }
        }
    }

    #[test]
    fn the_product_has_the_bytes_of_the_direct_sums() {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                both_ways_agree::<f32>();
                both_ways_agree::<f64>();
            });
        }
    }
}

//! A padded copy of some channels, laid out so that every tap of a kernel is one offset.
//!
//! With a stride the rows and columns are dealt out to one plane per phase (`row mod stride`), so that
//! neighbouring outputs read neighbouring elements. `lanes` images may be interleaved element by element: then
//! a vector holds one position of `lanes` images, and small maps leave no lane unused.

use crate::ops::cpu::element::Element;
use crate::ops::cpu::transpose::transpose;

/// The taps of one correlation: `y[m, i, j] = sum_{c, t} a[m, c, t] x[c, i sy + ty, j sx + tx]`.
#[derive(Clone, Debug)]
pub(super) struct Taps {
    pub(super) out: (usize, usize),
    /// Offsets (ty, tx), in the order of the sum.
    pub(super) offsets: Vec<(isize, isize)>,
}

/// Sizes of the padded planes that some correlations with one stride read.
#[derive(Clone, Debug)]
pub(super) struct Planes {
    pub(super) source: (usize, usize),
    pub(super) stride: (usize, usize),
    /// The source's position at the planes' origin: minus the padding.
    origin: (isize, isize),
    /// Rows and columns of the plane of one phase.
    size: (usize, usize),
    pub(super) lanes: usize,
}

impl Planes {
    pub(super) fn new<'a>(
        source: (usize, usize),
        stride: (usize, usize),
        all: impl Iterator<Item = &'a Taps> + Clone,
        lanes: usize,
    ) -> Self {
        let axis = |stride: usize, out: fn(&Taps) -> usize, get: fn(&(isize, isize)) -> isize| {
            let each = || all.clone().flat_map(move |t| t.offsets.iter().map(move |o| (t, get(o))));
            let low = each().map(|(_, o)| o).min().unwrap_or(0);
            let high = each().map(|(t, o)| ((out(t) - 1) * stride) as isize + o).max().unwrap_or(0);
            (low, ((high - low) as usize + 1).div_ceil(stride))
        };
        let (y, h) = axis(stride.0, |t| t.out.0, |o| o.0);
        let (x, w) = axis(stride.1, |t| t.out.1, |o| o.1);
        Self { source, stride, origin: (y, x), size: (h, w), lanes }
    }

    /// Elements of one channel.
    pub(super) fn channel(&self) -> usize {
        self.stride.0 * self.stride.1 * self.size.0 * self.size.1 * self.lanes
    }

    /// Elements between output rows.
    pub(super) fn row(&self) -> usize {
        self.size.1 * self.lanes
    }

    /// Where each (channel, tap) of `channels` channels starts, in the order of the sum.
    pub(super) fn offsets(&self, taps: &Taps, channels: usize) -> Vec<usize> {
        let (sy, sx) = self.stride;
        let tap = |&(ty, tx): &(isize, isize)| {
            let (y, x) = ((ty - self.origin.0) as usize, (tx - self.origin.1) as usize);
            (((y % sy * sx + x % sx) * self.size.0 + y / sy) * self.size.1 + x / sx) * self.lanes
        };
        let taps: Vec<usize> = taps.offsets.iter().map(tap).collect();
        (0..channels).flat_map(|c| taps.iter().map(move |t| c * self.channel() + t)).collect()
    }

    /// Lays `channels` channels out; `image` and `step` say where in `x` the first image's channels and the
    /// next image's begin. Images past `count` are zeros.
    pub(super) fn lay<T: Element>(&self, channels: usize, x: &[T], step: usize, count: usize, to: &mut [T]) {
        let ((h, w), (sy, sx), l) = (self.source, self.stride, self.lanes);
        let row = self.row();
        let plane = self.size.0 * row;
        for c in 0..channels {
            let to = &mut to[c * self.channel()..][..self.channel()];
            for (at, line) in to.chunks_exact_mut(row).enumerate() {
                let (phase, i) = (at / self.size.0, at % self.size.0);
                debug_assert_eq!(at * row, phase * plane + i * row);
                let (py, px) = ((phase / sx) as isize, (phase % sx) as isize);
                let y = (i * sy) as isize + py + self.origin.0;
                if y < 0 || y >= h as isize {
                    line.fill(T::ZERO);
                    continue;
                }
                let from = &x[(c * h + y as usize) * w..];
                // Columns j of the plane hold source columns j sx + px + origin.
                let first = px + self.origin.1;
                let skip = if first < 0 { ((-first) as usize).div_ceil(sx) } else { 0 }.min(self.size.1);
                let start = (first + (skip * sx) as isize) as usize;
                let n = if start < w { ((w - 1 - start) / sx + 1).min(self.size.1 - skip) } else { 0 };
                line[..skip * l].fill(T::ZERO);
                line[(skip + n) * l..].fill(T::ZERO);
                if n == 0 {
                    continue;
                }
                let line = &mut line[skip * l..(skip + n) * l];
                match (l, sx) {
                    (1, 1) => line.copy_from_slice(&from[start..start + n]),
                    (1, _) => line.iter_mut().zip(from[start..].iter().step_by(sx)).for_each(|(t, f)| *t = *f),
                    (_, 1) => {
                        if count < l {
                            line.fill(T::ZERO);
                        }
                        transpose((count, n), &from[start..], step, line, l);
                    }
                    _ => {
                        for (j, line) in line.chunks_exact_mut(l).enumerate() {
                            line[count..].fill(T::ZERO);
                            for (image, t) in line[..count].iter_mut().enumerate() {
                                *t = from[image * step + start + j * sx];
                            }
                        }
                    }
                }
            }
        }
    }

    /// The rows of one plane in its copy: (place in the copy, place in the source, length). A source's columns are `stride`
    /// apart. All other elements of the copy are padding.
    pub(super) fn lines(&self) -> Vec<(usize, usize, usize)> {
        let ((h, w), (sy, sx), (rows, cols)) = (self.source, self.stride, self.size);
        let mut lines = Vec::new();
        for phase in 0..sy * sx {
            // Columns j of the phase's plane hold source columns j sx + first.
            let first = (phase % sx) as isize + self.origin.1;
            let skip = if first < 0 { ((-first) as usize).div_ceil(sx).min(cols) } else { 0 };
            let start = (first + (skip * sx) as isize) as usize;
            let n = if start < w { ((w - 1 - start) / sx + 1).min(cols - skip) } else { 0 };
            for i in 0..rows {
                let y = (i * sy + phase / sx) as isize + self.origin.0;
                if n > 0 && (0..h as isize).contains(&y) {
                    lines.push(((phase * rows + i) * cols + skip, y as usize * w + start, n));
                }
            }
        }
        lines
    }
}

//! The engine of the forward map and of the map to the input: a correlation with a list of taps.
#![allow(unsafe_code)]

use super::planes::{Planes, Taps};
use crate::ops::cpu::element::Element;
use crate::ops::cpu::tile::{self, Panels, Start, Tile, VECTORS};
use crate::ops::cpu::transpose::transpose;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Elements of a block of kernels that should stay in the second-level cache.
const KERNEL_BLOCK: usize = 1 << 17;

/// The kernels `a[m, c, t]` of a correlation, in panels: `[panel][c, t][row]`.
pub(super) struct Kernels<T> {
    panels: Panels,
    /// Steps of the sum: channels x taps.
    depth: usize,
    data: Vec<T>,
}

impl<T: Element> Kernels<T> {
    /// `a[m, c, t]` at `at(m, c, 0)`, and tap t at `order[t]` past it; `taps_step` elements apart are rows.
    pub(super) fn new(
        rows: usize,
        channels: usize,
        order: &[usize],
        w: &[T],
        (row_step, channel_step): (usize, usize),
    ) -> Self {
        let panels = Panels::new(rows, tile::rows());
        let (taps, depth) = (order.len(), channels * order.len());
        let whole = order.iter().enumerate().all(|(i, t)| i == *t);
        let mut data: Vec<T> = Vec::with_capacity(rows * depth);
        // SAFETY: the buffer holds this many plain numbers, and each panel below is written whole before it is read.
        let mut rest = unsafe { std::slice::from_raw_parts_mut(data.as_mut_ptr(), rows * depth) };
        let mut parts = Vec::with_capacity(panels.count);
        for p in 0..panels.count {
            let (part, tail) = rest.split_at_mut(panels.height(p) * depth);
            parts.push((panels.first(p), panels.height(p), part));
            rest = tail;
        }
        parts.into_par_iter().for_each(|(first, height, part)| {
            if whole && channel_step == taps {
                return transpose((height, depth), &w[first * row_step..], row_step, part, height);
            }
            for c in 0..channels {
                let (from, to) = (&w[first * row_step + c * channel_step..], &mut part[c * taps * height..]);
                if whole {
                    transpose((height, taps), from, row_step, to, height);
                } else {
                    for (t, &tap) in order.iter().enumerate() {
                        (0..height).for_each(|i| to[t * height + i] = from[i * row_step + tap]);
                    }
                }
            }
        });
        // SAFETY: the panels cover all elements, and each was written.
        unsafe { data.set_len(rows * depth) };
        Self { panels, depth, data }
    }
}

/// Where the result of a correlation goes in a map (m, h, w): a grid of rows and columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) map: (usize, usize),
    pub(super) first: (usize, usize),
    pub(super) step: (usize, usize),
}

impl Grid {
    fn dense(&self) -> bool {
        self.first == (0, 0) && self.step == (1, 1)
    }
}

/// A correlation over a batch.
pub(super) struct Correlation<'a, T> {
    pub(super) taps: Taps,
    pub(super) channels: usize,
    pub(super) kernels: &'a Kernels<T>,
    pub(super) grid: Grid,
}

/// One call: some images of one group.
pub(super) struct Images<'a, T> {
    /// The first image's first channel of the group, and the step to the next image.
    pub(super) x: &'a [T],
    pub(super) x_step: usize,
    /// The same in the result.
    pub(super) y: &'a mut [T],
    pub(super) y_step: usize,
    pub(super) count: usize,
    pub(super) bias: Option<&'a [T]>,
}

impl<T: Element> Correlation<'_, T> {
    /// Whether the result is the whole map.
    pub(super) fn dense(&self) -> bool {
        self.grid.dense()
    }

    /// Whether `count` images should be interleaved, by an estimate of the work of either way.
    pub(super) fn interleave(&self, count: usize) -> bool {
        let lanes = tile::lanes::<T>();
        let ((h, w), (oh, ow), m) = (self.taps.source, self.taps.out, self.kernels.panels.rows);
        let steps = self.channels * self.taps.offsets.len() * m * oh / 2;
        let apart = count * (steps * ow.div_ceil(lanes) + 2 * self.channels * h * w / lanes);
        let moved = lanes * (self.channels * h * w + 2 * m * oh * ow);
        let together = steps * ow + moved / 2;
        lanes > 1 && together < apart
    }

    /// Computes the images of one call, interleaved or one by one.
    pub(super) fn run(&self, images: Images<'_, T>) {
        struct Run<'a, 'b, T>(&'a Correlation<'b, T>, Images<'a, T>);
        impl<T: Element> WithSimd for Run<'_, '_, T> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, s: S) {
                let Self(this, i) = self;
                if i.count > 1 && this.interleave(i.count) {
                    return this.together(s, i);
                }
                for n in 0..i.count {
                    this.apart(s, &i.x[n * i.x_step..], &mut i.y[n * i.y_step..], i.bias);
                }
            }
        }
        Arch::new().dispatch(Run(self, images));
    }

    /// Channels whose kernels are used as one block.
    fn block(&self) -> usize {
        (KERNEL_BLOCK / (self.kernels.panels.rows * self.taps.offsets.len()).max(1)).clamp(1, self.channels)
    }

    /// One image: vectors along its rows.
    #[inline(always)]
    fn apart<S: Simd>(&self, s: S, x: &[T], y: &mut [T], bias: Option<&[T]>) {
        let ((oh, ow), m, lanes) = (self.taps.out, self.kernels.panels.rows, T::lanes::<S>());
        let planes = Planes::new(self.taps.clone(), 1);
        // Whole vectors are read past the ends of rows: at most two vectors, or a vector one row down.
        let slack = VECTORS * lanes + planes.row();
        let block = self.block();
        let offsets = planes.offsets(block);
        let size = block * planes.channel();
        if self.grid.dense() {
            T::scratch(size + slack, |source| {
                self.blocks(block, |c0, channels| {
                    planes.lay(channels, &x[c0 * self.taps.source.0 * self.taps.source.1..], 0, 1, source);
                    source[channels * planes.channel()..].fill(T::ZERO);
                    self.rows(s, (c0, channels), source, (planes.row(), 1), &offsets, &mut y[..m * oh * ow], ow, bias);
                });
            });
        } else {
            T::scratch(size + slack + m * oh * ow, |scratch| {
                let (source, dense) = scratch.split_at_mut(size + slack);
                self.blocks(block, |c0, channels| {
                    planes.lay(channels, &x[c0 * self.taps.source.0 * self.taps.source.1..], 0, 1, source);
                    source[channels * planes.channel()..].fill(T::ZERO);
                    self.rows(s, (c0, channels), source, (planes.row(), 1), &offsets, dense, ow, bias);
                });
                self.scatter(dense, y);
            });
        }
    }

    /// As many images as a vector has lanes, interleaved.
    #[inline(always)]
    fn together<S: Simd>(&self, s: S, images: Images<'_, T>) {
        let ((oh, ow), m, lanes) = (self.taps.out, self.kernels.panels.rows, T::lanes::<S>());
        let Images { x, x_step, y, y_step, count, bias } = images;
        let planes = Planes::new(self.taps.clone(), lanes);
        let block = self.block();
        let offsets = planes.offsets(block);
        let (source_size, positions) = (block * planes.channel() + VECTORS * lanes, oh * ow);
        T::scratch(source_size + m * positions * lanes, |scratch| {
            let (source, out) = scratch.split_at_mut(source_size);
            self.blocks(block, |c0, channels| {
                planes.lay(channels, &x[c0 * self.taps.source.0 * self.taps.source.1..], x_step, count, source);
                source[channels * planes.channel()..].fill(T::ZERO);
                self.rows(s, (c0, channels), source, (planes.row(), lanes), &offsets, out, ow * lanes, bias);
            });
            if self.grid.dense() {
                for (row, out) in out.chunks_exact(positions * lanes).enumerate() {
                    transpose((positions, count), out, lanes, &mut y[row * positions..], y_step);
                }
            } else {
                T::scratch(m * positions, |dense| {
                    for image in 0..count {
                        dense.iter_mut().zip(out[image..].iter().step_by(lanes)).for_each(|(d, o)| *d = *o);
                        self.scatter(dense, &mut y[image * y_step..]);
                    }
                });
            }
        });
    }

    /// Calls `f(first channel, channels)` for the blocks of the sum.
    #[inline(always)]
    fn blocks(&self, block: usize, mut f: impl FnMut(usize, usize)) {
        for c0 in (0..self.channels).step_by(block) {
            f(c0, block.min(self.channels - c0));
        }
    }

    /// Adds a block of channels into `out` (m, oh, `width`), or starts it.
    #[inline(always)]
    fn rows<S: Simd>(
        &self,
        s: S,
        (c0, channels): (usize, usize),
        source: &[T],
        (source_row, _): (usize, usize),
        offsets: &[usize],
        out: &mut [T],
        width: usize,
        bias: Option<&[T]>,
    ) {
        let (oh, lanes, panels) = (self.taps.out.0, T::lanes::<S>(), self.kernels.panels);
        let taps = self.taps.offsets.len();
        let (k0, depth) = (c0 * taps, channels * taps);
        let offsets = &offsets[..depth];
        // Rows narrower than a vector: two rows at once.
        let narrow = width <= lanes;
        let (y_step, x_step) = if narrow { (VECTORS, lanes) } else { (1, VECTORS * lanes) };
        assert!(out.len() >= panels.rows * oh * width);
        let farthest = (oh - 1) * source_row + (width - 1) / lanes * lanes + lanes + offsets.iter().max().unwrap_or(&0);
        assert!(farthest <= source.len(), "correlation reads past its source");
        for p in 0..panels.count {
        for i in (0..oh).step_by(y_step) {
            for j in (0..width).step_by(x_step) {
                let (vectors, valid, b_vector, c_vector) = if narrow {
                    ((oh - i).min(VECTORS), [width; VECTORS], source_row, width)
                } else {
                    let left = width - j;
                    let vectors = left.div_ceil(lanes).min(VECTORS);
                    (vectors, [left.min(lanes), left.saturating_sub(lanes).min(lanes)], lanes, lanes)
                };
                {
                    let (first, height) = (panels.first(p), panels.height(p));
                    let start = match bias {
                        _ if c0 > 0 => Start::Result,
                        Some(b) => Start::Bias(b[first..first + height].as_ptr()),
                        None => Start::Zero,
                    };
                    let a = &self.kernels.data[first * self.kernels.depth + k0 * height..][..depth * height];
                    // SAFETY: the panel's slice holds depth x height elements; the farthest vector read from
                    // the source and the last element of `out` were checked above.
                    unsafe {
                        let tile = Tile {
                            a: a.as_ptr(),
                            scattered: None,
                            b: source.as_ptr().add(i * source_row + j),
                            offsets,
                            b_vector,
                            c: out.as_mut_ptr().add(first * oh * width + i * width + j),
                            c_row: oh * width,
                            c_vector,
                            valid,
                            start,
                            next: out.as_ptr().wrapping_add(first * oh * width + i * width + j + x_step),
                        };
                        tile::run(s, height, vectors, tile);
                    }
                }
            }
        }
        }
    }

    /// Writes a dense result to its grid.
    fn scatter(&self, dense: &[T], y: &mut [T]) {
        let ((oh, ow), Grid { map: (h, w), first, step }) = (self.taps.out, self.grid);
        for (r, from) in dense.chunks_exact(ow).enumerate() {
            let line = &mut y[((r / oh) * h + first.0 + r % oh * step.0) * w..][..w];
            line[first.1..].iter_mut().step_by(step.1).zip(from).for_each(|(t, f)| *t = *f);
        }
    }
}

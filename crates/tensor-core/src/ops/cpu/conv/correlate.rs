//! A correlation with a list of taps, which computes the forward map and the map to the input.
#![allow(unsafe_code)]

use super::kernels::Kernels;
use super::planes::{Planes, Taps};
use crate::ops::cpu::element::Element;
use crate::ops::cpu::tile::{self, Left, Start, Tile, VECTORS};
use crate::ops::cpu::transpose::transpose;
use pulp::{Arch, Simd, WithSimd};

/// Elements of a block of kernels that should stay in the second-level cache.
const KERNEL_BLOCK: usize = 1 << 17;
/// Elements of a source's rows that all kernels are applied to before the next rows, likewise.
const ROWS_BLOCK: usize = 1 << 16;
/// Elements of a block of interleaved channels, likewise: larger maps fill their vectors without.
const INTERLEAVED: usize = 1 << 18;

/// One pass over a source: its taps, their numbers in a kernel, and the first position of its results in their map.
pub(super) struct Pass {
    pub(super) taps: Taps,
    pub(super) order: Vec<usize>,
    pub(super) first: (usize, usize),
}

impl Pass {
    /// Positions of the result for one image.
    pub(super) fn positions(&self) -> usize {
        self.taps.out.0 * self.taps.out.1
    }
}

/// Correlations of one group's channels, all reading one source: one for a convolution, one for each phase of the stride for its
/// adjoint.
pub(super) struct Correlation {
    pub(super) source: (usize, usize),
    pub(super) stride: (usize, usize),
    pub(super) channels: usize,
    /// Of the result: its channels, the size of its maps, and the distance of a pass's results in them.
    pub(super) rows: usize,
    pub(super) map: (usize, usize),
    pub(super) step: (usize, usize),
    pub(super) passes: Vec<Pass>,
    /// Where the taps of row m and channel c begin: at `m steps.0 + c steps.1` in a group's kernels.
    pub(super) steps: (usize, usize),
}

impl Correlation {
    /// Elements of one image of a group.
    pub(super) fn source_len(&self) -> usize {
        self.channels * self.source.0 * self.source.1
    }

    /// Elements of its result.
    pub(super) fn map_len(&self) -> usize {
        self.rows * self.map.0 * self.map.1
    }

    /// Whether there is one pass, over all positions of the map.
    pub(super) fn dense(&self) -> bool {
        self.step == (1, 1) && !self.passes.is_empty()
    }

    /// Whether a batch fills all threads with as many images at once as a vector has lanes.
    pub(super) fn spread(batch: usize, lanes: usize) -> bool {
        batch.div_ceil(lanes) >= rayon::current_num_threads().min(batch)
    }

    /// Whether `count` images should be interleaved, by an estimate of the work with and without.
    pub(super) fn interleave<T: Element>(&self, count: usize) -> bool {
        let lanes = tile::lanes::<T>();
        let image = self.source_len();
        let (mut apart, mut together) = (count * 2 * image / lanes, lanes * image / 2);
        for p in &self.passes {
            let (oh, ow) = p.taps.out;
            let steps = self.channels * p.taps.offsets.len() * self.rows * oh / 2;
            apart += count * (steps * ow.div_ceil(lanes));
            together += steps * ow + lanes * self.rows * p.positions();
        }
        let copy = self.block() * self.planes(lanes).channel();
        lanes > 1 && copy <= INTERLEAVED && together < apart
    }

    fn planes(&self, lanes: usize) -> Planes {
        Planes::new(self.source, self.stride, self.passes.iter().map(|p| &p.taps), lanes)
    }

    /// Channels whose kernels are used as one block.
    fn block(&self) -> usize {
        let per_channel: usize = self.passes.iter().map(|p| self.rows * p.taps.offsets.len()).sum();
        (KERNEL_BLOCK / per_channel.max(1)).clamp(1, self.channels)
    }

    /// Writes the result of a pass to its places.
    fn scatter<T: Element>(&self, pass: &Pass, dense: &[T], y: &mut [T]) {
        let ((oh, ow), (h, w), first, step) = (pass.taps.out, self.map, pass.first, self.step);
        for (r, from) in dense.chunks_exact(ow).enumerate() {
            let line = &mut y[((r / oh) * h + first.0 + r % oh * step.0) * w..][..w];
            line[first.1..].iter_mut().step_by(step.1).zip(from).for_each(|(t, f)| *t = *f);
        }
    }
}

/// A correlation with the packed kernels of a group, for each of its passes.
pub(super) struct Packed<'a, T> {
    of: &'a Correlation,
    kernels: Vec<Kernels<T>>,
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

impl<'a, T: Element> Packed<'a, T> {
    pub(super) fn new(of: &'a Correlation, w: &[T]) -> Self {
        let pack = |p: &Pass| Kernels::new(of, &p.order, w);
        Self { of, kernels: of.passes.iter().map(pack).collect() }
    }

    fn passes(&self) -> impl Iterator<Item = (&Pass, &Kernels<T>)> {
        self.of.passes.iter().zip(&self.kernels)
    }

    /// Elements of the result of a pass for one image.
    fn size(&self, p: &Pass) -> usize {
        self.of.rows * p.positions()
    }

    /// Computes the images of one call, interleaved or one by one.
    pub(super) fn run(&self, images: Images<'_, T>) {
        struct Run<'a, T>(&'a Packed<'a, T>, Images<'a, T>);
        impl<T: Element> WithSimd for Run<'_, T> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, s: S) {
                let Self(this, i) = self;
                if i.count > 1 && this.of.interleave::<T>(i.count) {
                    return this.together(s, i);
                }
                for n in 0..i.count {
                    this.apart(s, &i.x[n * i.x_step..], &mut i.y[n * i.y_step..], i.bias);
                }
            }
        }
        Arch::new().dispatch(Run(self, images));
    }

    /// Lays out block after block of channels, and calls `f(first channel, channels, source)` for each.
    #[inline(always)]
    fn blocks(
        &self,
        planes: &Planes,
        block: usize,
        (x, x_step, count): (&[T], usize, usize),
        source: &mut [T],
        mut f: impl FnMut(usize, usize, &[T]),
    ) {
        for c0 in (0..self.of.channels).step_by(block) {
            let channels = block.min(self.of.channels - c0);
            planes.lay(channels, &x[c0 * self.of.source.0 * self.of.source.1..], x_step, count, source);
            source[channels * planes.channel()..].fill(T::ZERO);
            f(c0, channels, source);
        }
    }

    /// One image: vectors along its rows.
    #[inline(always)]
    fn apart<S: Simd>(&self, s: S, x: &[T], y: &mut [T], bias: Option<&[T]>) {
        let (lanes, planes, block) = (T::lanes::<S>(), self.of.planes(1), self.of.block());
        // Whole vectors are read past the ends of rows: at most two vectors, or a vector one row down.
        let room = block * planes.channel() + VECTORS * lanes + planes.row();
        let offsets: Vec<_> = self.of.passes.iter().map(|p| planes.offsets(&p.taps, block)).collect();
        // A dense result is written in place, others beside.
        let beside = if self.of.dense() { 0 } else { self.of.passes.iter().map(|p| self.size(p)).sum() };
        T::scratch(room + beside, |scratch| {
            let (source, beside) = scratch.split_at_mut(room);
            self.blocks(&planes, block, (x, 0, 1), source, |c0, channels, source| {
                let mut rest = &mut *beside;
                for ((p, kernels), offsets) in self.passes().zip(&offsets) {
                    let out = if self.of.dense() { &mut y[..self.size(p)] } else { take(&mut rest, self.size(p)) };
                    kernels.add(s, p, (c0, channels), source, planes.row(), offsets, (out, p.taps.out.1), bias);
                }
            });
            let mut rest = beside;
            for p in self.of.passes.iter().filter(|_| !self.of.dense()) {
                self.of.scatter(p, take(&mut rest, self.size(p)), y);
            }
        });
    }

    /// As many images as a vector has lanes, interleaved.
    #[inline(always)]
    fn together<S: Simd>(&self, s: S, images: Images<'_, T>) {
        let Images { x, x_step, y, y_step, count, bias } = images;
        let lanes = T::lanes::<S>();
        let (planes, block) = (self.of.planes(lanes), self.of.block());
        let offsets: Vec<_> = self.of.passes.iter().map(|p| planes.offsets(&p.taps, block)).collect();
        let room = block * planes.channel() + VECTORS * lanes;
        let size: usize = self.of.passes.iter().map(|p| self.size(p)).sum();
        T::scratch(room + size * lanes, |scratch| {
            let (source, out) = scratch.split_at_mut(room);
            self.blocks(&planes, block, (x, x_step, count), source, |c0, channels, source| {
                let mut rest = &mut *out;
                for ((p, kernels), offsets) in self.passes().zip(&offsets) {
                    let (out, width) = (take(&mut rest, self.size(p) * lanes), p.taps.out.1 * lanes);
                    kernels.add(s, p, (c0, channels), source, planes.row(), offsets, (out, width), bias);
                }
            });
            let mut rest = out;
            for p in &self.of.passes {
                let out = take(&mut rest, self.size(p) * lanes);
                if self.of.dense() {
                    let positions = p.positions();
                    for (row, out) in out.chunks_exact(positions * lanes).enumerate() {
                        transpose((positions, count), out, lanes, &mut y[row * positions..], y_step);
                    }
                    continue;
                }
                T::scratch(count * self.size(p), |dense| {
                    transpose((self.size(p), count), out, lanes, dense, self.size(p));
                    for (image, dense) in dense.chunks_exact(self.size(p)).enumerate() {
                        self.of.scatter(p, dense, &mut y[image * y_step..]);
                    }
                });
            }
        });
    }
}

/// Cuts the first `n` elements off.
fn take<'b, T>(rest: &mut &'b mut [T], n: usize) -> &'b mut [T] {
    let (first, tail) = std::mem::take(rest).split_at_mut(n);
    *rest = tail;
    first
}

impl<T: Element> Kernels<T> {
    /// Adds a block of channels into `out` (m, oh, `width`), or starts it.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn add<S: Simd>(
        &self,
        s: S,
        pass: &Pass,
        (c0, channels): (usize, usize),
        source: &[T],
        source_row: usize,
        offsets: &[usize],
        (out, width): (&mut [T], usize),
        bias: Option<&[T]>,
    ) {
        let (oh, lanes, panels) = (pass.taps.out.0, T::lanes::<S>(), self.panels);
        let taps = pass.taps.offsets.len();
        let (k0, depth) = (c0 * taps, channels * taps);
        let offsets = &offsets[..depth];
        // Rows narrower than a vector: two rows at once.
        let narrow = width <= lanes;
        let (y_step, x_step) = if narrow { (VECTORS, lanes) } else { (1, VECTORS * lanes) };
        assert!(out.len() >= panels.rows * oh * width);
        let farthest = (oh - 1) * source_row + (width - 1) / lanes * lanes + lanes + offsets.iter().max().unwrap_or(&0);
        assert!(farthest <= source.len(), "correlation reads past its source");
        let block = (ROWS_BLOCK / (channels * source_row)).max(1) * y_step;
        for (i0, p) in (0..oh).step_by(block).flat_map(|i0| (0..panels.count).map(move |p| (i0, p))) {
            for i in (i0..oh.min(i0 + block)).step_by(y_step) {
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
                        let a = &self.data[first * self.depth + k0 * height..][..depth * height];
                        // SAFETY: the panel's slice holds depth x height elements; the farthest vector read from
                        // the source and the last element of `out` were checked above.
                        unsafe {
                            let tile = Tile {
                                a: a.as_ptr(),
                                left: Left::Packed,
                                b: source.as_ptr().add(i * source_row + j),
                                offsets,
                                b_vector,
                                c: out.as_mut_ptr().add(first * oh * width + i * width + j),
                                c_row: oh * width,
                                c_vector,
                                valid,
                                start,
                                next: out.as_ptr().wrapping_add(first * oh * width + i * width + j + x_step),
                                ahead: a.as_ptr_range().end,
                            };
                            tile::run(s, height, vectors, tile);
                        }
                    }
                }
            }
        }
    }
}

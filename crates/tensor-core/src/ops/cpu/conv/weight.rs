//! The map to the weight: sums over the positions of all images.
//!
//! Images are laid out with their channels innermost. With many input channels the vectors of a tile run along
//! them, and output channels are broadcast; with few, the vectors run along the output channels, and the taps of
//! one row of the kernel are broadcast.
#![allow(unsafe_code)]

use super::Geometry;
use crate::ops::cpu::build::{build, fill, split};
use crate::ops::cpu::element::Element;
use crate::ops::cpu::threads::{each_of, each_run};
use crate::ops::cpu::tile::{self, Left, Panels, Start, Tile, VECTORS, max_rows};
use crate::ops::cpu::transpose::transpose;
use pulp::{Arch, Simd, WithSimd};

/// Positions summed in one chain, about.
const CHAIN: usize = 1024;
/// Elements of a chunk of images laid out at once, about.
const CHUNK: usize = 1 << 18;
/// Weights up to this size are summed in parts, each over its own run of images.
const IN_PARTS: usize = 1 << 18;
const PARTS: usize = 8;

impl Geometry {
    /// `gw (o, c/groups, kh, kw)`: the adjoint of [`Geometry::forward`] in `w`, applied to `gy`.
    pub(crate) fn weight_grad<T: Element>(&self, x: &[T], gy: &[T]) -> Vec<T> {
        if self.depthwise() {
            return self.depthwise_weight_grad(x, gy);
        }
        if let Some(gw) = self.winograd_weight_grad(x, gy) {
            return gw;
        }
        struct Run<'a, T>(&'a Geometry, &'a [T], &'a [T]);
        impl<T: Element> WithSimd for Run<'_, T> {
            type Output = Vec<T>;
            fn with_simd<S: Simd>(self, s: S) -> Vec<T> {
                let size = self.0.groups * self.0.out_channels * self.0.channels * self.0.taps();
                let mut gw = Vec::with_capacity(size);
                for group in 0..self.0.groups {
                    gw.extend(Sum::new(s, self.0, group, self.1, self.2).run());
                }
                gw
            }
        }
        Arch::new().dispatch(Run(self, x, gy))
    }
}

/// The weight gradient of one group.
struct Sum<'a, S, T> {
    s: S,
    geo: &'a Geometry,
    group: usize,
    x: &'a [T],
    gy: &'a [T],
    /// Rows and columns of a padded image.
    size: (usize, usize),
    /// Elements of the padded image between neighbouring positions.
    step: (usize, usize),
    /// Whether vectors run along the output channels.
    outward: bool,
    /// First elements of the runs of the padded image that meet one position, and their length.
    runs: Vec<usize>,
    run: usize,
    /// The result as it is summed: panels of rows x `width`.
    panels: Panels,
    width: usize,
    /// Images laid out at once.
    chunk: usize,
}

impl<'a, S: Simd, T: Element> Sum<'a, S, T> {
    fn new(s: S, geo: &'a Geometry, group: usize, x: &'a [T], gy: &'a [T]) -> Self {
        let lanes = T::lanes::<S>();
        let (c, o, (kh, kw), (dy, dx)) = (geo.channels, geo.out_channels, geo.kernel, geo.dilation);
        let extent = |axis: fn((usize, usize)) -> usize| {
            let reach = (axis(geo.out) - 1) * axis(geo.stride) + (axis(geo.kernel) - 1) * axis(geo.dilation) + 1;
            reach.max(axis(geo.image) + axis(geo.padding))
        };
        let size = (extent(|a| a.0), extent(|a| a.1));
        let row = size.1 * c;
        let run = if dx == 1 { kw * c } else { c };
        let waste = |n: usize| n.div_ceil(lanes) * lanes * 4 / n;
        let outward = waste(run) > waste(o).max(5);
        let runs: Vec<usize> = if outward || dx != 1 {
            (0..kh * kw).map(|t| t / kw * dy * row + t % kw * dx * c).collect()
        } else {
            (0..kh).map(|y| y * dy * row).collect()
        };
        let wide = |n: usize| n.div_ceil(lanes) * lanes;
        let (panels, width) = if outward {
            // Rows: (ky, kx, c), in panels that share a ky.
            (Panels::new(kh * kw * c, usize::MAX), wide(o))
        } else {
            (Panels::new(o, max_rows::<S>()), runs.len() * wide(run))
        };
        let positions = geo.out.0 * geo.out.1;
        let image = size.0 * row;
        let chunk = (CHUNK / (image + o * positions)).max(1).min(CHAIN.div_ceil(positions)).min(geo.batch);
        let step = (geo.stride.0 * row, geo.stride.1 * c);
        Self { s, geo, group, x, gy, size, step, outward, runs, run, panels, width, chunk }
    }

    fn image(&self) -> usize {
        self.size.0 * self.size.1 * self.geo.channels
    }

    fn positions(&self) -> usize {
        self.geo.out.0 * self.geo.out.1
    }

    fn run(&self) -> Vec<T> {
        let total = self.panels.rows * self.width;
        // By the weight's own size: its width here has the machine's vectors in it, and how sums are cut must not.
        let size = self.geo.out_channels * self.geo.channels * self.geo.taps();
        let parts = if size <= IN_PARTS { PARTS.min(self.geo.batch) } else { 1 };
        let share = self.geo.batch.div_ceil(parts);
        let mut sums = build(parts * total, total, |part, sums| {
            let images = part * share..((part + 1) * share).min(self.geo.batch);
            self.over(images, sums, parts == 1);
        });
        let (first, rest) = sums.split_at_mut(total);
        for part in rest.chunks_exact(total) {
            first.iter_mut().zip(part).for_each(|(a, b)| *a += *b);
        }
        self.unpack(first)
    }

    /// Adds the images' share, chunk by chunk, on all threads or on this one.
    fn over(&self, images: std::ops::Range<usize>, sums: &mut [T], spread: bool) {
        let (image, positions, o, lanes) = (self.image(), self.positions(), self.geo.out_channels, T::lanes::<S>());
        // With all threads on one chunk, it should be worth their while, and fit into each one's cache.
        let chunk = if spread { (CHUNK / image).max(4) } else { self.chunk }.min(images.len().max(1));
        let offsets: Vec<usize> = (0..chunk)
            .flat_map(|n| {
                let (step, ow) = (self.step, self.geo.out.1);
                (0..positions).map(move |p| n * image + p / ow * step.0 + p % ow * step.1)
            })
            .collect();
        let g_row = if self.outward { self.width } else { o };
        T::scratch(chunk * image + VECTORS * lanes + chunk * positions * g_row, |scratch| {
            let (source, g) = scratch.split_at_mut(chunk * image + VECTORS * lanes);
            source[chunk * image..].fill(T::ZERO);
            for n0 in images.clone().step_by(chunk) {
                let count = chunk.min(images.end - n0);
                let lay = |(n, to): (usize, &mut [T])| self.lay_image(n0 + n, to);
                let g = &mut g[..count * positions * g_row];
                if spread {
                    each_run(&mut source[..count * image], image, &|n, to| lay((n, to)));
                } else {
                    source.chunks_exact_mut(image).take(count).enumerate().for_each(lay);
                }
                let offsets = &offsets[..count * positions];
                if self.outward {
                    g.chunks_exact_mut(positions * g_row).enumerate().for_each(|(n, to)| {
                        let at = ((n0 + n) * self.geo.groups + self.group) * o * positions;
                        transpose((o, positions), &self.gy[at..], positions, to, g_row);
                        if o < g_row {
                            to.chunks_exact_mut(g_row).for_each(|to| to[o..].fill(T::ZERO));
                        }
                    });
                    self.s.vectorize(Outward { sum: self, source, g, offsets, sums });
                } else {
                    let panels: Vec<_> = split(g, self.panels.lengths(count * positions))
                        .into_iter()
                        .zip(split(sums, self.panels.lengths(self.width)))
                        .collect();
                    let source = &*source;
                    let one = |p: usize, (g, sums): (&mut [T], &mut [T])| {
                        let (first, height) = (self.panels.first(p), self.panels.height(p));
                        for (n, to) in g.chunks_exact_mut(positions * height).enumerate() {
                            let at = (((n0 + n) * self.geo.groups + self.group) * o + first) * positions;
                            transpose((height, positions), &self.gy[at..], positions, to, height);
                        }
                        self.s.vectorize(Inward { sum: self, a: g, height, source, offsets, sums });
                    };
                    if spread {
                        each_of(panels, &one);
                    } else {
                        panels.into_iter().enumerate().for_each(|(p, part)| one(p, part));
                    }
                }
            }
        });
    }

    /// One image with its channels innermost, padded.
    fn lay_image(&self, n: usize, to: &mut [T]) {
        let (c, (h, w), (ph, pw)) = (self.geo.channels, self.geo.image, self.geo.padding);
        let x = &self.x[(n * self.geo.groups + self.group) * c * h * w..][..c * h * w];
        let row = self.size.1 * c;
        to[..ph * row].fill(T::ZERO);
        to[(ph + h) * row..].fill(T::ZERO);
        for y in 0..h {
            let line = &mut to[(ph + y) * row..][..row];
            line[..pw * c].fill(T::ZERO);
            line[(pw + w) * c..].fill(T::ZERO);
            if c == 1 {
                line[pw..pw + w].copy_from_slice(&x[y * w..][..w]);
            } else {
                transpose((c, w), &x[y * w..], h * w, &mut line[pw * c..], c);
            }
        }
    }

    /// From the order of the sums to (o, c, kh, kw).
    fn unpack(&self, sums: &[T]) -> Vec<T> {
        let (c, o, taps) = (self.geo.channels, self.geo.out_channels, self.geo.taps());
        if self.outward {
            // (ky, kx, c) x o
            return build(o * c * taps, c * taps, |i, to| {
                for t in 0..taps {
                    let to = to[t..].iter_mut().step_by(taps);
                    to.enumerate().for_each(|(ch, to)| *to = sums[(t * c + ch) * self.width + i]);
                }
            });
        }
        // o x (run, taps of the run, c)
        let (wide, per_run) = (self.width / self.runs.len(), taps / self.runs.len());
        let one = |i: usize, to: &mut [T]| {
            for run in 0..self.runs.len() {
                let from = &sums[i * self.width + run * wide..];
                transpose((per_run, c), from, c, &mut to[run * per_run..], taps);
            }
        };
        // SAFETY: each tap of each run is written, and these are all.
        unsafe { fill(o * c * taps, 0, c * taps, one) }
    }
}

/// Adds a tile's products to their place: one chain over the chunk, started at zero in `out`, then added to what stands.
///
/// # Safety
/// As [`tile::run`] for the reads of `a` and `b`; at most [`tile::MAX_ROWS`] rows.
#[inline(always)]
unsafe fn add<S: Simd, T: Element>(
    s: S,
    (rows, vectors): (usize, usize),
    (a, left): (&[T], Left<'_>),
    (b, offsets): (&[T], &[usize]),
    (to, to_row): (&mut [T], usize),
    out: &mut [T; tile::MOST],
) {
    let lanes = T::lanes::<S>();
    let width = vectors * lanes;
    let tile = Tile {
        a: a.as_ptr(),
        left,
        b: b.as_ptr(),
        offsets,
        b_vector: lanes,
        c: out.as_mut_ptr(),
        c_row: width,
        c_vector: lanes,
        valid: [lanes; VECTORS],
        start: Start::Zero,
        next: out.as_ptr(),
        ahead: a.as_ptr(),
    };
    // SAFETY: the caller vouches for the reads; `out` has room for the largest tile.
    unsafe { tile::run(s, rows, vectors, tile) }
    for i in 0..rows {
        to[i * to_row..][..width].iter_mut().zip(&out[i * width..]).for_each(|(t, f)| *t += *f);
    }
}

/// One panel of output channels against all runs: vectors along (kx, c).
struct Inward<'a, S, T> {
    sum: &'a Sum<'a, S, T>,
    /// `[image, position][row]`
    a: &'a [T],
    height: usize,
    source: &'a [T],
    offsets: &'a [usize],
    sums: &'a mut [T],
}

impl<S0: Simd, T: Element> WithSimd for Inward<'_, S0, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let (lanes, sum) = (T::lanes::<S>(), self.sum);
        let wide = sum.run.div_ceil(lanes) * lanes;
        let farthest = sum.runs.iter().max().unwrap_or(&0) + wide + self.offsets.iter().max().unwrap_or(&0);
        assert!(farthest <= self.source.len() && self.a.len() >= self.height * self.offsets.len());
        let mut out = [T::ZERO; tile::MOST];
        for (r, &run) in sum.runs.iter().enumerate() {
            for j in (0..wide).step_by(VECTORS * lanes) {
                let vectors = ((wide - j) / lanes).min(VECTORS);
                let (b, to) = (&self.source[run + j..], &mut self.sums[r * wide + j..]);
                // SAFETY: the farthest read was checked above.
                unsafe {
                    let a = (self.a, Left::Packed);
                    add(s, (self.height, vectors), a, (b, self.offsets), (to, sum.width), &mut out);
                }
            }
        }
    }
}

/// All taps against the output channels: vectors along these.
struct Outward<'a, S, T> {
    sum: &'a Sum<'a, S, T>,
    source: &'a [T],
    /// `[image, position][output channel]`, padded to whole vectors.
    g: &'a [T],
    offsets: &'a [usize],
    sums: &'a mut [T],
}

impl<S0: Simd, T: Element> WithSimd for Outward<'_, S0, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let (lanes, sum) = (T::lanes::<S>(), self.sum);
        let (c, (kh, kw)) = (sum.geo.channels, sum.geo.kernel);
        let joined = sum.geo.dilation.1 == 1;
        // Neighbouring elements of the padded image that one tile takes as its rows.
        let (groups, len) = if joined { (kh, kw * c) } else { (kh * kw, c) };
        let steps: Vec<usize> = (0..self.offsets.len()).map(|k| k * sum.width).collect();
        assert!(self.g.len() >= steps.len() * sum.width);
        let farthest = sum.runs.iter().max().unwrap_or(&0) + c + self.offsets.iter().max().unwrap_or(&0);
        assert!(farthest <= self.source.len());
        let cut = Panels::new(len, max_rows::<S>());
        let mut out = [T::ZERO; tile::MOST];
        for group in 0..groups {
            let run = sum.runs[if joined { group * kw } else { group }];
            for p in 0..cut.count {
                let (first, height) = (cut.first(p), cut.height(p));
                for j in (0..sum.width).step_by(VECTORS * lanes) {
                    let vectors = ((sum.width - j) / lanes).min(VECTORS);
                    let a = (&self.source[run + first..], Left::Columns(self.offsets));
                    let to = &mut self.sums[(group * len + first) * sum.width + j..];
                    // SAFETY: both farthest reads were checked above.
                    unsafe { add(s, (height, vectors), a, (&self.g[j..], &steps), (to, sum.width), &mut out) }
                }
            }
        }
    }
}

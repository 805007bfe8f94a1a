//! The map to the result: transform the source's tiles, multiply with the kernels at each point, transform back.
#![allow(unsafe_code)]

use super::kernels::{Kernels, Shared};
use super::strips::{Grid, Strip, Window, lay};
use super::transform::{Maps, both};
use super::{POINTS, TILE};
use crate::ops::cpu::element::Element;
use crate::ops::cpu::elementwise::rectified;
use crate::ops::cpu::tile::{self, Left, Start, Tile, VECTORS, lanes, load};
use crate::ops::cpu::transpose::transpose_to;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Elements of the transformed tiles of a task that should stay in the second-level cache.
const BLOCK: usize = 160 << 10;
/// Tiles of a task: for few, the kernels are read too often.
const FEWEST: usize = 24;
const MOST: usize = 96;

/// A correlation of stride 1 over a batch, one set of kernels for each group.
pub(super) struct Correlation<T> {
    pub(super) grid: Grid,
    pub(super) batch: usize,
    /// Of a group of the source.
    pub(super) channels: usize,
    pub(super) groups: Vec<Kernels<T>>,
    /// Of a leaky ReLU of the result.
    pub(super) slope: Option<T>,
}

/// The distance of rows of `n` channels: whole vectors, and one more so that rows do not share a set of the cache.
pub(super) fn padded<T: Element>(n: usize) -> usize {
    let lanes = lanes::<T>();
    (n.div_ceil(lanes) + 1) * lanes
}

impl<T: Element> Correlation<T> {
    /// The result for `x`, plus a bias for each output channel of all groups.
    pub(super) fn run(&self, x: &[T], bias: Option<&[T]>) -> Vec<T> {
        let (outputs, positions) = (self.groups[0].outputs, self.grid.out.0 * self.grid.out.1);
        let total = self.batch * self.groups.len() * outputs * positions;
        let mut y: Vec<T> = Vec::with_capacity(total);
        let to = Shared(y.as_mut_ptr());
        let (tiles, threads) = (self.batch * self.grid.per_image(), rayon::current_num_threads());
        // Whole images or rows of tiles where they fit, so that few inputs are read twice. The cut does not change the result.
        let each = (BLOCK / POINTS / (self.channels + outputs)).clamp(FEWEST, MOST);
        let unit =
            [self.grid.per_image(), self.grid.tiles().1].into_iter().find(|u| *u <= each).unwrap_or(tile::rows());
        let units = tiles.div_ceil(unit);
        let tasks = units.div_ceil(each / unit).next_multiple_of(threads).min(units);
        let each = units.div_ceil(tasks) * unit;
        (0..self.groups.len() * tasks).into_par_iter().for_each(|i| {
            let (group, first) = (i / tasks, i % tasks * each);
            let tiles = first.min(tiles)..(first + each).min(tiles);
            if !tiles.is_empty() {
                let bias = bias.map(|b| &b[group * outputs..][..outputs]);
                Task { of: self, group, x, bias, tiles, to }.run();
            }
        });
        // SAFETY: the tiles cover the results of all images and groups, and every task writes its tiles' results.
        unsafe { y.set_len(total) };
        y
    }
}

/// Some tiles of one group.
struct Task<'a, T> {
    of: &'a Correlation<T>,
    group: usize,
    x: &'a [T],
    bias: Option<&'a [T]>,
    tiles: Range<usize>,
    to: Shared<T>,
}

impl<T: Element> Task<'_, T> {
    fn run(&self) {
        let (grid, kernels) = (&self.of.grid, &self.of.groups[self.group]);
        let (layout, outputs) = (Layout::panels::<T>(self.tiles.len(), kernels.inputs), padded::<T>(kernels.outputs));
        let count = self.tiles.len();
        let planes =
            Planes { image: self.x, groups: self.of.groups.len(), group: self.group, channels: self.of.channels };
        T::scratch(POINTS * (layout.step + count * outputs), |scratch| {
            let (data, sums) = scratch.split_at_mut(POINTS * layout.step);
            // SAFETY: `data` is this task's own, and long enough.
            unsafe { spread::<T, TILE>(grid, &planes, self.tiles.clone(), (data.as_mut_ptr(), layout, 0)) };
            Arch::new().dispatch(Products { kernels, data: (data, layout), sums: (&mut *sums, outputs), count });
            match grid.m {
                4 => self.gather::<4>(sums, outputs),
                _ => self.gather::<2>(sums, outputs),
            }
        });
    }
}

/// The channels of one group in a batch of maps.
pub(super) struct Planes<'a, T> {
    pub(super) image: &'a [T],
    pub(super) groups: usize,
    pub(super) group: usize,
    pub(super) channels: usize,
}

impl<T> Planes<'_, T> {
    /// Of one image with maps of `size` elements.
    pub(super) fn of(&self, image: usize, size: usize) -> &[T] {
        &self.image[(image * self.groups + self.group) * self.channels * size..][..self.channels * size]
    }
}

/// Where transformed tiles lie: tile t, vector v of its channels and point e at
/// `e step + (t / panel) panel_step + (t % panel) row + (v / VECTORS) pair + (v % VECTORS) vector`.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) step: usize,
    pub(super) panel: usize,
    pub(super) panel_step: usize,
    pub(super) row: usize,
    pub(super) pair: usize,
    pub(super) vector: usize,
}

impl Layout {
    /// `[panel of tiles][vector][tile]`: what a product reads as its left factor ([`Left::Blocks`]).
    fn panels<T: Element>(tiles: usize, channels: usize) -> Self {
        let (lanes, panel) = (lanes::<T>(), tile::rows());
        let vector = panel * lanes;
        let panel_step = channels.div_ceil(lanes) * vector;
        let step = tiles.div_ceil(panel) * panel_step + lanes;
        Self { step, panel, panel_step, row: lanes, pair: VECTORS * vector, vector }
    }

    /// `[pair of vectors][tile]`: what a product over the tiles reads as its right factor.
    pub(super) fn pairs<T: Element>(tiles: usize, channels: usize) -> Self {
        let lanes = lanes::<T>();
        let (row, pair) = (VECTORS * lanes, tiles * VECTORS * lanes);
        let step = channels.div_ceil(row) * pair + lanes;
        Self { step, panel: usize::MAX, panel_step: 0, row, pair, vector: lanes }
    }

    /// `[tile][channel]`: its left factor ([`Left::Columns`]).
    pub(super) fn rows<T: Element>(tiles: usize, channels: usize) -> Self {
        let (lanes, row) = (lanes::<T>(), padded::<T>(channels));
        Self { step: tiles * row, panel: usize::MAX, panel_step: 0, row, pair: VECTORS * lanes, vector: lanes }
    }

    #[inline(always)]
    fn at(&self, tile: usize, vector: usize) -> usize {
        let (panel, row) = (tile / self.panel, tile % self.panel);
        panel * self.panel_step + row * self.row + vector / VECTORS * self.pair + vector % VECTORS * self.vector
    }
}

/// Transforms the `N x N` inputs of some tiles ([`Maps::inward`]), which are tiles `first` and on of the layout.
///
/// # Safety
/// The layout's place of these tiles must be valid for writes, and be no other task's.
pub(super) unsafe fn spread<T: Element, const N: usize>(
    grid: &Grid,
    planes: &Planes<'_, T>,
    tiles: Range<usize>,
    (to, layout, mut first): (*mut T, Layout, usize),
) {
    let channels = planes.channels.next_multiple_of(lanes::<T>());
    for strip in grid.strips(tiles, channels) {
        let window = grid.reads(&strip);
        let positions = window.positions();
        T::scratch((positions + 1) * channels, |copy| {
            copy[positions * channels..].fill(T::ZERO);
            let image = planes.of(strip.image, grid.source.0 * grid.source.1);
            lay(&window, (image, grid.source), planes.channels, (copy, channels));
            Arch::new().dispatch(Inward::<T, N> {
                grid,
                strip: &strip,
                window: &window,
                copy,
                channels,
                to,
                layout,
                first,
            });
        });
        first += strip.len();
    }
}

/// The transform of the tiles of a strip.
struct Inward<'a, T, const N: usize> {
    grid: &'a Grid,
    strip: &'a Strip,
    window: &'a Window,
    copy: &'a [T],
    channels: usize,
    to: *mut T,
    layout: Layout,
    first: usize,
}

impl<T: Element, const N: usize> WithSimd for Inward<'_, T, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { grid, strip, window, copy, channels, to, layout, first } = self;
        let (lanes, maps, zero) = (T::lanes::<S>(), Maps::new::<S, T>(s), T::splat(s, T::ZERO));
        let positions = window.positions();
        assert!(copy.len() >= (positions + 1) * channels && channels.is_multiple_of(lanes));
        let mut tile = first;
        for y in strip.rows.clone() {
            for x in strip.columns.clone() {
                let inputs = grid.inputs(window, (y, x), positions);
                for c in (0..channels).step_by(lanes) {
                    let at = layout.at(tile, c / lanes);
                    let mut d = [[zero; N]; N];
                    for i in 0..N {
                        for j in 0..N {
                            // SAFETY: a position of the copy, or the line of zeros after them, and a whole vector of channels.
                            d[i][j] = unsafe { load::<S, T>(copy.as_ptr().add(inputs[i][j] * channels + c)) };
                        }
                    }
                    let v = both(
                        &d,
                        zero,
                        #[inline(always)]
                        |d| maps.inward::<S, T, N>(s, d),
                    );
                    for e in 0..POINTS {
                        // SAFETY: the caller vouches for the tiles' rows.
                        unsafe {
                            let to = to.add(e * layout.step + at);
                            to.cast::<T::V<S>>().write_unaligned(v[e / TILE][e % TILE]);
                        }
                    }
                }
                tile += 1;
            }
        }
    }
}

/// At each point the product of the tiles (count, inputs) with the kernels (inputs, outputs).
struct Products<'a, T> {
    kernels: &'a Kernels<T>,
    data: (&'a [T], Layout),
    /// `[point][tile][output]`, and the distance of rows.
    sums: (&'a mut [T], usize),
    count: usize,
}

impl<T: Element> WithSimd for Products<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { kernels, data: (data, layout), sums: (sums, row), count } = self;
        let (lanes, depth) = (T::lanes::<S>(), kernels.inputs);
        let wide = VECTORS * lanes;
        let steps: Vec<usize> = (0..depth).map(|c| layout.at(0, c / lanes) + c % lanes).collect();
        let offsets: Vec<usize> = (0..depth).map(|c| c * wide).collect();
        assert!(data.len() >= POINTS * layout.step && layout.step >= count.div_ceil(layout.panel) * layout.panel_step);
        assert!(sums.len() >= POINTS * count * row && row >= kernels.outputs.next_multiple_of(lanes));
        for e in 0..POINTS {
            for first in (0..kernels.outputs).step_by(wide) {
                let b = &kernels.data[e * kernels.step + first * depth..][..depth * wide];
                let vectors = (kernels.outputs - first).div_ceil(lanes).min(VECTORS);
                for top in (0..count).step_by(layout.panel) {
                    let height = layout.panel.min(count - top);
                    let c = (e * count + top) * row + first;
                    // SAFETY: the assertions above bound the rows of both, and the slice the kernels.
                    unsafe {
                        let tile = Tile {
                            a: data.as_ptr().add(e * layout.step + layout.at(top, 0)),
                            left: Left::Blocks(&steps),
                            b: b.as_ptr(),
                            offsets: &offsets,
                            b_vector: lanes,
                            c: sums.as_mut_ptr().add(c),
                            c_row: row,
                            c_vector: lanes,
                            valid: [lanes; VECTORS],
                            start: Start::Zero,
                            next: sums.as_ptr().wrapping_add(c + height * row),
                        };
                        tile::run(s, height, vectors, tile);
                    }
                }
            }
        }
    }
}

impl<T: Element> Task<'_, T> {
    /// Transforms the sums back and writes the results to their places.
    fn gather<const M: usize>(&self, sums: &[T], row: usize) {
        let (grid, outputs) = (&self.of.grid, self.of.groups[self.group].outputs);
        let wide = outputs.next_multiple_of(lanes::<T>());
        let mut at = 0;
        T::scratch(wide, |bias| {
            bias.fill(T::ZERO);
            if let Some(b) = self.bias {
                bias[..b.len()].copy_from_slice(b);
            }
            for strip in grid.strips(self.tiles.clone(), wide) {
                let window = grid.writes(&strip);
                T::scratch(window.positions() * wide, |copy| {
                    let (sums, slope) = ((&sums[at * row..], self.tiles.len() * row, row), self.of.slope);
                    let (strip, window) = (&strip, &window);
                    Arch::new().dispatch(Outward::<T, M> { strip, window, sums, bias, slope, copy: &mut *copy });
                    self.write(strip, window, copy, wide);
                });
                at += strip.len();
            }
        });
    }

    /// From channels innermost to the result.
    fn write(&self, strip: &Strip, window: &Window, copy: &[T], step: usize) {
        let (outputs, (h, w)) = (self.of.groups[self.group].outputs, self.of.grid.out);
        let image = (strip.image * self.of.groups.len() + self.group) * outputs * h * w;
        let wide = window.columns.len();
        let part = |from: usize, at: usize, n: usize| {
            // SAFETY: positions of this task's tiles in the maps of one image, which no other task writes.
            unsafe { transpose_to((n, outputs), &copy[from * step..], step, self.to.at(image + at), h * w) }
        };
        if wide == w {
            part(0, window.rows.start * w, window.positions());
        } else {
            for (i, y) in window.rows.clone().enumerate() {
                part(i * wide, y * w + window.columns.start, wide);
            }
        }
    }
}

/// The results of the tiles of a strip, channels innermost.
struct Outward<'a, T, const M: usize> {
    strip: &'a Strip,
    window: &'a Window,
    /// From the strip's first tile on; the distances of points and of tiles.
    sums: (&'a [T], usize, usize),
    /// Of whole vectors.
    bias: &'a [T],
    slope: Option<T>,
    copy: &'a mut [T],
}

impl<T: Element, const M: usize> WithSimd for Outward<'_, T, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { strip, window, sums: (sums, step, row), bias, slope, copy } = self;
        let (lanes, maps, zero) = (T::lanes::<S>(), Maps::new::<S, T>(s), T::splat(s, T::ZERO));
        let (outputs, one, across) = (bias.len(), T::splat(s, T::ONE), window.columns.len());
        assert!(sums.len() >= (POINTS - 1) * step + strip.len() * row && outputs <= row);
        assert!(outputs.is_multiple_of(lanes) && copy.len() >= window.positions() * outputs);
        let mut at = 0;
        for y in strip.rows.clone() {
            for x in strip.columns.clone() {
                let (y, x) = (y * M - window.rows.start, x * M - window.columns.start);
                let (high, wide) = ((window.rows.len() - y).min(M), (across - x).min(M));
                for c in (0..outputs).step_by(lanes) {
                    let mut u = [[zero; TILE]; TILE];
                    for e in 0..POINTS {
                        // SAFETY: the assertions above bound these.
                        u[e / TILE][e % TILE] = unsafe { load::<S, T>(sums.as_ptr().add(e * step + at * row + c)) };
                    }
                    let r = both(
                        &u,
                        zero,
                        #[inline(always)]
                        |u| maps.result::<S, T, M>(s, u),
                    );
                    // SAFETY: whole vectors of the bias.
                    let b = unsafe { load::<S, T>(bias.as_ptr().add(c)) };
                    for i in 0..high {
                        for j in 0..wide {
                            // SAFETY: a position inside the window, and a whole vector of its channels.
                            unsafe {
                                let to = copy.as_mut_ptr().add(((y + i) * across + x + j) * outputs + c);
                                to.cast::<T::V<S>>().write_unaligned(T::fma(s, one, r[i][j], b));
                            }
                        }
                    }
                }
                at += 1;
            }
        }
        if let Some(slope) = slope {
            for y in copy.iter_mut() {
                *y = rectified(*y, slope);
            }
        }
    }
}

//! The map to the result: transform the source's tiles, multiply with the kernels at each point, transform back.
#![allow(unsafe_code)]

use super::input::{GroupMaps, Layout, transform_tiles};
use super::kernels::{TransformedKernels, padded};
use super::output::OutputTransform;
use super::strips::{Strip, TileGrid, Window};
use super::{Plan, sizes};
use crate::ops::cpu::element::Element;
use crate::ops::cpu::elementwise::Rectify;
use crate::ops::cpu::math::vectorized;
use crate::ops::cpu::threads::{self, Shared};
use crate::ops::cpu::tile::{self, Left, Start, Tile, VECTORS, lanes};
use crate::ops::cpu::transpose::transpose_to;
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;

/// Elements of the transformed tiles of a task that should stay in the second-level cache.
const BLOCK: usize = 160 << 10;
/// Tiles of a task: for few, the kernels are read too often.
const FEWEST: usize = 24;
const MOST: usize = 96;

/// The results of one phase of the step.
pub(super) struct Phase<T: Element> {
    /// The position of the source under the first input of the first tile.
    pub(super) origin: (isize, isize),
    /// The first result.
    pub(super) first: (usize, usize),
    pub(super) kernels: TransformedKernels<T>,
}

/// A correlation over a batch; for each group all phases.
pub(super) struct TiledCorrelation<T: Element> {
    pub(super) plan: Plan,
    pub(super) grid: TileGrid,
    pub(super) batch: usize,
    /// Of a group of the source.
    pub(super) channels: usize,
    pub(super) groups: Vec<Vec<Phase<T>>>,
    /// Of a rectifier of the result.
    pub(super) rectify: Option<Rectify<T>>,
}

impl<T: Element> TiledCorrelation<T> {
    /// Of a group.
    fn outputs(&self) -> usize {
        self.groups[0][0].kernels.outputs
    }

    /// The result for `x`, plus a bias for each output channel of all groups.
    pub(super) fn run(&self, x: &[T], bias: Option<&[T]>) -> Vec<T> {
        let (outputs, positions) = (self.outputs(), self.grid.out.0 * self.grid.out.1);
        let total = self.batch * self.groups.len() * outputs * positions;
        let complete = |phases: &Vec<Phase<T>>| phases.len() == self.grid.step * self.grid.step;
        assert!(self.groups.iter().all(complete), "a phase of the result is missing");
        let mut y: Vec<T> = Vec::with_capacity(total);
        let to = Shared(y.as_mut_ptr());
        let (tiles, threads) = (self.batch * self.grid.per_image(), rayon::current_num_threads());
        // Whole images or rows of tiles where they fit, so that few inputs are read twice. The cut does not change the result.
        let elements = self.grid.stride.pow(2) * self.channels + self.groups[0].len() * outputs;
        let each = (BLOCK / self.plan.points() / elements).clamp(FEWEST, MOST);
        let unit =
            [self.grid.per_image(), self.grid.tiles().1].into_iter().find(|u| *u <= each).unwrap_or(tile::rows());
        let units = tiles.div_ceil(unit);
        let tasks = units.div_ceil(each / unit).next_multiple_of(threads).min(units);
        let each = units.div_ceil(tasks) * unit;
        threads::each(self.groups.len() * tasks, &|i| {
            let (group, first) = (i / tasks, i % tasks * each);
            let tiles = first.min(tiles)..(first + each).min(tiles);
            if !tiles.is_empty() {
                let bias = bias.map(|b| &b[group * outputs..][..outputs]);
                let task = Task { of: self, group, x, bias, tiles, to };
                sizes!(self.plan, |N, R, M| task.run::<N, M>());
            }
        });
        // SAFETY: the tiles cover the results of all images and groups, the phases, which are all there, all positions of a tile;
        // every task writes its tiles' results.
        unsafe { y.set_len(total) };
        y
    }
}

/// Some tiles of one group.
struct Task<'a, T: Element> {
    of: &'a TiledCorrelation<T>,
    group: usize,
    x: &'a [T],
    bias: Option<&'a [T]>,
    tiles: Range<usize>,
    to: Shared<T>,
}

impl<T: Element> Task<'_, T> {
    fn run<const N: usize, const M: usize>(&self) {
        let (grid, phases, lanes) = (&self.of.grid, &self.of.groups[self.group], lanes::<T>());
        let (count, channels) = (self.tiles.len(), self.of.channels);
        let vectors = grid.stride * grid.stride * channels.div_ceil(lanes);
        let (layout, row) = (Layout::panels::<T>(count, vectors), padded::<T>(self.of.outputs().div_ceil(lanes)));
        let planes = GroupMaps { image: self.x, groups: self.of.groups.len(), group: self.group, channels };
        let each = N * N * count * row;
        T::scratch(N * N * layout.step + phases.len() * each, |scratch| {
            let (data, sums) = scratch.split_at_mut(N * N * layout.step);
            for (phase, sums) in phases.iter().zip(sums.chunks_exact_mut(each)) {
                let to = (data.as_mut_ptr(), layout, 0);
                // SAFETY: `data` is this task's own, and long enough.
                unsafe { transform_tiles::<T, N, N>(grid, phase.origin, &planes, self.tiles.clone(), to) };
                let (kernels, data) = (&phase.kernels, (&*data, layout));
                Arch::new().dispatch(Products { kernels, data, sums: (sums, row), points: N * N, count });
            }
            self.gather::<N, M>(sums, (each, row));
        });
    }

    /// Transforms the sums back and writes the results to their places.
    fn gather<const N: usize, const M: usize>(&self, sums: &[T], (each, row): (usize, usize)) {
        let (grid, phases) = (&self.of.grid, &self.of.groups[self.group]);
        let wide = self.of.outputs().next_multiple_of(lanes::<T>());
        let mut at = 0;
        T::scratch(wide, |bias| {
            bias.fill(T::ZERO);
            if let Some(b) = self.bias {
                bias[..b.len()].copy_from_slice(b);
            }
            for strip in grid.strips(self.tiles.clone(), wide) {
                let window = grid.writes(&strip);
                T::scratch(window.positions() * wide, |copy| {
                    for (phase, sums) in phases.iter().zip(sums.chunks_exact(each)) {
                        Arch::new().dispatch(OutputTransform::<T, N, M> {
                            strip: &strip,
                            window: &window,
                            step: grid.step,
                            first: phase.first,
                            sums: (&sums[at * row..], self.tiles.len() * row, row),
                            bias,
                            copy: &mut *copy,
                        });
                    }
                    if let Some(rectify) = self.of.rectify {
                        vectorized(
                            #[inline(always)]
                            || {
                                for y in copy.iter_mut() {
                                    *y = rectify.at(*y);
                                }
                            },
                        );
                    }
                    self.write(&strip, &window, copy, wide);
                });
                at += strip.len();
            }
        });
    }

    /// From channels innermost to the result.
    fn write(&self, strip: &Strip, window: &Window, copy: &[T], step: usize) {
        let (outputs, (h, w)) = (self.of.outputs(), self.of.grid.out);
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

/// At each point the product of the tiles (count, inputs) with the kernels (inputs, outputs).
struct Products<'a, T: Element> {
    kernels: &'a TransformedKernels<T>,
    data: (&'a [T], Layout),
    /// `[point][tile][output]`, and the distance of rows.
    sums: (&'a mut [T], usize),
    points: usize,
    count: usize,
}

impl<T: Element> WithSimd for Products<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { kernels, data: (data, layout), sums: (sums, row), points, count } = self;
        let (lanes, depth) = (T::lanes::<S>(), kernels.inputs);
        let wide = VECTORS * lanes;
        // The terms of the sum: the channels of phase after phase, each phase in whole vectors.
        let vectors = kernels.channels.div_ceil(lanes);
        let term =
            |k: usize| (k / kernels.channels * vectors + k % kernels.channels / lanes, k % kernels.channels % lanes);
        let steps: Vec<usize> = (0..depth).map(|k| layout.at(0, term(k).0) + term(k).1).collect();
        let offsets: Vec<usize> = (0..depth).map(|c| c * wide).collect();
        assert!(data.len() >= points * layout.step && layout.step >= count.div_ceil(layout.panel) * layout.panel_step);
        assert!(steps.iter().all(|step| *step < layout.panel_step));
        assert!(sums.len() >= points * count * row && row >= kernels.outputs.next_multiple_of(lanes));
        for e in 0..points {
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

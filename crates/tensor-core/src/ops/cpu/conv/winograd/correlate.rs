//! The map to the result: transform the source's tiles, multiply with the kernels at each point, transform back.
#![allow(unsafe_code)]

use super::input::{GroupMaps, Layout};
use super::kernels::Kernels;
use super::output::OutputTransform;
use super::strips::{Strip, TileGrid, Window};
use super::{Plan, sizes};
use crate::ops::cpu::element::Element;
use crate::ops::cpu::elementwise::Rectify;
use crate::ops::cpu::math::vectorized;
use crate::ops::cpu::threads::{Shared, each};
use crate::ops::cpu::tile::{self, Left, Start, Tile, VECTORS, lanes, line};
use crate::ops::cpu::transpose::transpose_to;
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;

/// The results of one phase of the step.
pub(super) struct Phase {
    /// The position of the source under the first input of the first tile.
    pub(super) origin: (isize, isize),
    /// The first result.
    pub(super) first: (usize, usize),
    /// For each phase of the source the numbers of its taps in a kernel.
    pub(super) taps: Vec<Vec<usize>>,
}

/// A correlation over a batch; for each group all phases.
pub(super) struct TiledCorrelation<T: Element> {
    pub(super) plan: Plan,
    pub(super) grid: TileGrid,
    pub(super) batch: usize,
    pub(super) groups: usize,
    /// Of a group of the source, and of the result.
    pub(super) channels: usize,
    pub(super) outputs: usize,
    pub(super) phases: Vec<Phase>,
    /// Where the taps of output o and channel c begin: at `o steps.0 + c steps.1` in a group's kernels.
    pub(super) steps: (usize, usize),
    /// Of a rectifier of the result.
    pub(super) rectify: Option<Rectify<T>>,
}

impl<T: Element> TiledCorrelation<T> {
    /// Tiles of a batch.
    pub(super) fn tiles(&self) -> usize {
        self.batch * self.grid.per_image()
    }

    /// Vectors of the channels of all phases of the source.
    pub(super) fn vectors(&self) -> usize {
        self.grid.stride * self.grid.stride * self.channels.div_ceil(lanes::<T>())
    }

    /// The kernels of a group.
    pub(super) fn kernels<'a>(&self, phase: &'a Phase, w: &'a [T]) -> Kernels<'a, T> {
        let Self { plan, outputs, channels, steps, .. } = *self;
        Kernels { plan, outputs, channels, taps: &phase.taps, w, steps }
    }

    /// Where the terms of the products lie: the channels of phase after phase, each phase in whole vectors.
    pub(super) fn terms(&self, layout: &Layout) -> Vec<usize> {
        let (lanes, channels) = (lanes::<T>(), self.channels);
        let vectors = channels.div_ceil(lanes);
        let term = |k: usize| (k / channels * vectors + k % channels / lanes, k % channels % lanes);
        let depth = self.grid.stride * self.grid.stride * channels;
        (0..depth).map(|k| layout.at(0, term(k).0) + term(k).1).collect()
    }

    /// The result for `x`, plus a bias for each output channel of all groups.
    pub(super) fn run(&self, x: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
        let (outputs, positions) = (self.outputs, self.grid.out.0 * self.grid.out.1);
        let total = self.batch * self.groups * outputs * positions;
        assert!(self.phases.len() == self.grid.step * self.grid.step, "a phase of the result is missing");
        let mut y: Vec<T> = Vec::with_capacity(total);
        let to = Shared(y.as_mut_ptr());
        let size = w.len() / self.groups;
        let one = |group: usize| {
            let source = GroupMaps { image: x, groups: self.groups, group, channels: self.channels };
            let bias = bias.map(|b| &b[group * outputs..][..outputs]);
            let group = Group { of: self, source, w: &w[group * size..][..size], bias, to };
            // Either way all tiles of all outputs are computed, by the same sums.
            if self.few_tiles() {
                sizes!(self.plan, |N, R, M| group.by_outputs::<N, M>());
            } else {
                sizes!(self.plan, |N, R, M| group.by_tiles::<N, M>());
            }
        };
        // Groups side by side, for one of them may have few tasks.
        each(self.groups, &one);
        // SAFETY: the tiles cover the results of all images and groups, the phases, which are all there, all positions of a tile;
        // each group's tiles were written.
        unsafe { y.set_len(total) };
        y
    }
}

/// One group of a call.
pub(super) struct Group<'a, T: Element> {
    pub(super) of: &'a TiledCorrelation<T>,
    pub(super) source: GroupMaps<'a, T>,
    pub(super) w: &'a [T],
    pub(super) bias: Option<&'a [T]>,
    to: Shared<T>,
}

/// The sums of some tiles: `[phase][point][tile][output]`, and the distances of phases, of points and of tiles.
pub(super) struct Sums<'a, T> {
    pub(super) data: &'a [T],
    pub(super) phase: usize,
    pub(super) point: usize,
    pub(super) tile: usize,
}

impl<T: Element> Group<'_, T> {
    /// Transforms the sums of some tiles and outputs back, and writes the results to their places.
    pub(super) fn finish<const N: usize, const M: usize>(
        &self,
        tiles: Range<usize>,
        outputs: Range<usize>,
        sums: Sums<'_, T>,
    ) {
        let (grid, phases) = (&self.of.grid, &self.of.phases);
        let wide = outputs.len().next_multiple_of(lanes::<T>());
        let mut at = 0;
        T::scratch(wide, |bias| {
            bias.fill(T::ZERO);
            if let Some(b) = self.bias {
                bias[..outputs.len()].copy_from_slice(&b[outputs.clone()]);
            }
            for strip in grid.strips(tiles, wide) {
                let window = grid.writes(&strip);
                T::scratch(window.positions() * wide, |copy| {
                    for (i, phase) in phases.iter().enumerate() {
                        Arch::new().dispatch(OutputTransform::<T, N, M> {
                            strip: &strip,
                            window: &window,
                            step: grid.step,
                            first: phase.first,
                            sums: (&sums.data[i * sums.phase + at * sums.tile..], sums.point, sums.tile),
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
                    self.write(&strip, &window, outputs.clone(), copy, wide);
                });
                at += strip.len();
            }
        });
    }

    /// From channels innermost to the result.
    fn write(&self, strip: &Strip, window: &Window, outputs: Range<usize>, copy: &[T], step: usize) {
        let (h, w) = self.of.grid.out;
        let first = (strip.image * self.of.groups + self.source.group) * self.of.outputs + outputs.start;
        let (place, wide) = (first * h * w, window.columns.len());
        let part = |from: usize, at: usize, n: usize| {
            let from = &copy[from * step..];
            // SAFETY: positions of the caller's tiles in the maps of one image, which no other task writes.
            unsafe { transpose_to((n, outputs.len()), from, step, self.to.at(place + at), h * w) }
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

/// At each point the product of the tiles (count, inputs) with some panels of kernels (inputs, outputs).
pub(super) struct Products<'a, T> {
    /// `[point][panel of outputs][input][output]`, and the distance of points.
    pub(super) kernels: (&'a [T], usize),
    /// The tiles, and where the terms of the products lie in them.
    pub(super) data: (&'a [T], Layout),
    pub(super) terms: &'a [usize],
    /// `[point][tile][output]`, and the distances of points and of tiles.
    pub(super) sums: (&'a mut [T], usize, usize),
    /// Whether the sums go on, rather than begin at zero.
    pub(super) more: bool,
    pub(super) points: usize,
    pub(super) count: usize,
    pub(super) outputs: usize,
}

impl<T: Element> WithSimd for Products<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { kernels: (kernels, kernels_step), terms, more, points, count, outputs, .. } = self;
        let ((data, layout), (sums, point, row)) = (self.data, self.sums);
        let (lanes, depth) = (T::lanes::<S>(), terms.len());
        let wide = VECTORS * lanes;
        let offsets: Vec<usize> = (0..depth).map(|c| c * wide).collect();
        assert!(data.len() >= points * layout.step && layout.step >= count.div_ceil(layout.panel) * layout.panel_step);
        assert!(terms.iter().all(|term| *term < layout.panel_step));
        assert!(sums.len() >= points * point && point >= count * row && row >= outputs.next_multiple_of(lanes));
        for e in 0..points {
            for first in (0..outputs).step_by(wide) {
                let b = &kernels[e * kernels_step + first * depth..][..depth * wide];
                let vectors = (outputs - first).div_ceil(lanes).min(VECTORS);
                // The kernels of the next panel, or of the next point.
                let after = if first + wide < outputs {
                    b.as_ptr_range().end
                } else {
                    kernels.as_ptr().wrapping_add((e + 1) * kernels_step)
                };
                for top in (0..count).step_by(layout.panel) {
                    let height = layout.panel.min(count - top);
                    let c = e * point + top * row + first;
                    // SAFETY: the assertions above bound the rows of both, and the slice the kernels.
                    unsafe {
                        let tile = Tile {
                            a: data.as_ptr().add(e * layout.step + layout.at(top, 0)),
                            left: Left::Blocks(terms),
                            b: b.as_ptr(),
                            offsets: &offsets,
                            b_vector: lanes,
                            c: sums.as_mut_ptr().add(c),
                            c_row: row,
                            c_vector: lanes,
                            valid: [lanes; VECTORS],
                            start: if more { Start::Result } else { Start::Zero },
                            next: sums.as_ptr().wrapping_add(c + height * row),
                            ahead: after.wrapping_add(top / layout.panel * depth * line::<T>()),
                        };
                        tile::run(s, height, vectors, tile);
                    }
                }
            }
        }
    }
}

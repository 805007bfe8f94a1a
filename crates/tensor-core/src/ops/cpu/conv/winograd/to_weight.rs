//! The map to the weight: the adjoint of the products in the kernels, so products over all tiles at each point.
#![allow(unsafe_code)]

use super::input::{GroupMaps, Layout, transform_tiles};
use super::strips::TileGrid;
use super::transform::{Maps, both};
use super::{Plan, sizes};
use crate::ops::cpu::conv::Geometry;
use crate::ops::cpu::element::Element;
use crate::ops::cpu::threads::{Shared, each, each_run};
use crate::ops::cpu::tile::{self, Left, Panels, Start, Tile, VECTORS, lanes, line, load};
use crate::ops::cpu::transpose::transpose;
use pulp::{Arch, Simd, WithSimd};

/// Elements of transformed tiles that are made before they are multiplied.
const BLOCK: usize = 1 << 20;
/// Tiles that are made at once: the sums are read and written once for each block, and a long chain loses digits.
const FEWEST: usize = 128;
const MOST: usize = 256;
/// Tiles that one task transforms.
const RUN: usize = 16;

impl Geometry {
    /// [`Geometry::weight_grad`], where the method pays.
    pub(in super::super) fn winograd_weight_grad<T: Element>(&self, x: &[T], gy: &[T]) -> Option<Vec<T>> {
        if const { size_of::<T>() != 4 } {
            return None;
        }
        let plan = self.plan()?;
        let mut gw = Vec::with_capacity(self.groups * self.out_channels * self.channels * self.taps());
        for group in 0..self.groups {
            T::scratch(plan.points() * self.out_channels * self.width::<T>(plan), |sums| {
                sizes!(plan, |N, R, M| {
                    self.point_sums::<T, N, M>(plan, group, (x, gy), sums);
                    gw.extend(self.taps_of::<T, N, R>(plan, sums));
                });
            });
        }
        Some(gw)
    }

    /// Vectors of all phases' channels.
    fn vectors<T: Element>(&self, plan: Plan) -> usize {
        plan.stride * plan.stride * self.channels.div_ceil(lanes::<T>())
    }

    /// Elements of a row of sums: whole pairs of vectors.
    fn width<T: Element>(&self, plan: Plan) -> usize {
        self.vectors::<T>(plan).next_multiple_of(VECTORS) * lanes::<T>()
    }

    /// `sum_tiles (A gy At)[o] (Bt x B)[c]` at each point: `[point][o][phase, c]`.
    fn point_sums<T: Element, const N: usize, const M: usize>(
        &self,
        plan: Plan,
        group: usize,
        (x, gy): (&[T], &[T]),
        sums: &mut [T],
    ) {
        let (c, o) = (self.channels, self.out_channels);
        let inputs = self.source_grid(plan);
        let origin = (-(self.padding.0 as isize), -(self.padding.1 as isize));
        // The tiles of the gradient are those of the result: no padding, no overlap.
        let outputs = TileGrid { source: self.out, inputs: M, stride: 1, ..inputs };
        let width = self.width::<T>(plan);
        let all = self.batch * inputs.per_image();
        let block = (BLOCK / plan.points() / (plan.stride * plan.stride * c + o)).clamp(FEWEST, MOST).min(all);
        let planes = |image, channels| GroupMaps { image, groups: self.groups, group, channels };
        let (x, gy) = (planes(x, c), planes(gy, o));
        let vectors = (self.vectors::<T>(plan), o.div_ceil(lanes::<T>()));
        let layouts = |count| (Layout::pairs::<T>(count, vectors.0), Layout::rows::<T>(count, vectors.1));
        let (room, room_g) = layouts(block);
        T::scratch(plan.points() * (room.step + room_g.step), |scratch| {
            let (data, grads) = scratch.split_at_mut(plan.points() * room.step);
            for first in (0..all).step_by(block) {
                let count = block.min(all - first);
                let (layout, layout_g) = layouts(count);
                let (to_data, to_grads) = (Shared(data.as_mut_ptr()), Shared(grads.as_mut_ptr()));
                each(2 * count.div_ceil(RUN), &|i| {
                    let (run, of_data) = (i / 2 * RUN, i % 2 == 0);
                    let tiles = first + run..first + (run + RUN).min(count);
                    // SAFETY: the block has room for all of its tiles, and each is one task's.
                    unsafe {
                        if of_data {
                            transform_tiles::<T, N, N>(&inputs, origin, &x, tiles, (to_data.at(0), layout, run));
                        } else {
                            transform_tiles::<T, M, N>(&outputs, (0, 0), &gy, tiles, (to_grads.at(0), layout_g, run));
                        }
                    }
                });
                each_run(sums, o * width, &|e, sums| {
                    let data = (&data[e * layout.step..][..layout.step], layout);
                    let grads = (&grads[e * layout_g.step..][..layout_g.step], layout_g);
                    let size = (o, vectors.0, count);
                    Arch::new().dispatch(Product { data, grads, sums, size, starts: first == 0 });
                });
            }
        });
    }

    /// `Gt s G` of all sums: (o, c, k, k).
    fn taps_of<T: Element, const N: usize, const R: usize>(&self, plan: Plan, sums: &[T]) -> Vec<T> {
        let (c, o, k, lanes) = (self.channels, self.out_channels, self.taps(), lanes::<T>());
        let width = self.width::<T>(plan);
        let phases = self.phase_taps(plan);
        let one = |i: usize, to: &mut [T]| {
            T::scratch(k * lanes, |taps| {
                for first in (0..c).step_by(lanes) {
                    for (phase, order) in phases.iter().enumerate() {
                        let at = (i, phase * c.next_multiple_of(lanes) + first);
                        let taps = &mut *taps;
                        Arch::new().dispatch(Taps::<T, N, R> { sums, size: (o, width), at, order, taps });
                    }
                    transpose((k, lanes.min(c - first)), taps, lanes, &mut to[first * k..], k);
                }
            });
        };
        // SAFETY: each output channel's kernels are written whole.
        unsafe { crate::ops::cpu::build::fill(o * c * k, 0, c * k, one) }
    }
}

/// Adds one point's products of a block of tiles.
struct Product<'a, T> {
    data: (&'a [T], Layout),
    grads: (&'a [T], Layout),
    /// (o, c), rows of whole pairs of vectors.
    sums: &'a mut [T],
    /// o, vectors of c, tiles.
    size: (usize, usize, usize),
    /// Whether the sums start with this block.
    starts: bool,
}

impl<T: Element> WithSimd for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { data: (data, layout), grads: (grads, layout_g), sums, size: (o, vectors, count), starts } = self;
        let lanes = T::lanes::<S>();
        let wide = VECTORS * lanes;
        let row = vectors.next_multiple_of(VECTORS) * lanes;
        let offsets: Vec<usize> = (0..count).map(|t| t * layout.row).collect();
        let steps: Vec<usize> = (0..count).map(|t| t * layout_g.row).collect();
        let panels = Panels::new(o, tile::max_rows::<S>());
        assert!(data.len() >= row / wide * layout.pair && layout.pair >= count * wide && layout.row == wide);
        assert!(grads.len() >= count * layout_g.row && o <= layout_g.row && sums.len() >= o * row);
        // One chain over the block, then added to what stands: a chain over all tiles would lose digits.
        let mut out = [T::ZERO; tile::MOST];
        for j in (0..vectors * lanes).step_by(wide) {
            for p in 0..panels.count {
                let (first, height) = (panels.first(p), panels.height(p));
                let vectors = (vectors - j / lanes).min(VECTORS);
                // SAFETY: the assertions above bound the rows of both; `out` has room for the largest tile.
                unsafe {
                    let tile = Tile {
                        a: grads.as_ptr().add(first),
                        left: Left::Columns(&steps),
                        b: data.as_ptr().add(j / wide * layout.pair),
                        offsets: &offsets,
                        b_vector: lanes,
                        c: out.as_mut_ptr(),
                        c_row: vectors * lanes,
                        c_vector: lanes,
                        valid: [lanes; VECTORS],
                        start: Start::Zero,
                        next: out.as_ptr(),
                        // What the first tile after these panels reads.
                        ahead: data.as_ptr().wrapping_add((j / wide + 1) * layout.pair + p * count * line::<T>()),
                    };
                    tile::run(s, height, vectors, tile);
                }
                for i in 0..height {
                    let to = &mut sums[(first + i) * row + j..][..vectors * lanes];
                    let from = &out[i * vectors * lanes..][..vectors * lanes];
                    if starts {
                        to.copy_from_slice(from);
                        continue;
                    }
                    for (to, from) in to.iter_mut().zip(from) {
                        *to += *from;
                    }
                }
            }
        }
    }
}

/// The kernels of one output channel and a vector of one phase's inputs: `[tap][input]`.
struct Taps<'a, T, const N: usize, const R: usize> {
    sums: &'a [T],
    /// o, elements of a row.
    size: (usize, usize),
    at: (usize, usize),
    /// The taps' numbers.
    order: &'a [usize],
    taps: &'a mut [T],
}

impl<T: Element, const N: usize, const R: usize> WithSimd for Taps<'_, T, N, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { sums, size: (o, row), at: (i, first), order, taps } = self;
        let (lanes, maps, zero) = (T::lanes::<S>(), Maps::new::<S, T>(s), T::splat(s, T::ZERO));
        assert!(sums.len() >= N * N * o * row && first + lanes <= row && order.len() == R * R);
        assert!(order.iter().all(|t| (t + 1) * lanes <= taps.len()));
        let mut u = [[zero; N]; N];
        for e in 0..N * N {
            // SAFETY: the assertion above bounds these.
            u[e / N][e % N] = unsafe { load::<S, T>(sums.as_ptr().add((e * o + i) * row + first)) };
        }
        let g = both(
            &u,
            zero,
            #[inline(always)]
            |u| maps.gather::<S, T, N, R>(s, u),
        );
        for t in 0..R * R {
            // SAFETY: as above.
            unsafe { taps.as_mut_ptr().add(order[t] * lanes).cast::<T::V<S>>().write_unaligned(g[t / R][t % R]) }
        }
    }
}

//! A correlation of few tiles, cut by outputs: the tiles are transformed once, and each task computes a panel of outputs of all tiles.
//! It transforms its kernels itself, some channels at a time, right before they are used: transformed they are many times as large as
//! before, and few tiles do not pay for writing and reading them.
#![allow(unsafe_code)]

use super::correlate::{Group, Products, Sums, TiledCorrelation};
use super::input::{Layout, transform_tiles};
use crate::ops::cpu::element::Element;
use crate::ops::cpu::threads::{Shared, each};
use crate::ops::cpu::tile::{VECTORS, lanes};
use pulp::Arch;

/// Tiles whose sums of one panel stay in a second-level cache.
const MOST: usize = 128;
/// Channels whose kernels are transformed at once.
const CHANNELS: usize = 64;
/// Tiles that a task transforms, about.
const RUN: usize = 8;

impl<T: Element> TiledCorrelation<T> {
    /// Whether this way is the faster one; the bytes are the same.
    pub(super) fn few_tiles(&self) -> bool {
        let one = self.grid.stride == 1 && self.grid.step == 1;
        let panels = self.outputs.div_ceil(VECTORS * lanes::<T>());
        one && self.tiles() <= MOST && panels >= rayon::current_num_threads()
    }
}

impl<T: Element> Group<'_, T> {
    pub(super) fn by_outputs<const N: usize, const M: usize>(&self) {
        let (of, phase) = (self.of, &self.of.phases[0]);
        let (tiles, lanes) = (of.tiles(), lanes::<T>());
        let panel = VECTORS * lanes;
        let layout = Layout::panels::<T>(tiles, of.vectors());
        let (terms, kernels) = (of.terms(&layout), of.kernels(phase, self.w));
        T::scratch(N * N * layout.step, |data| {
            let to = Shared(data.as_mut_ptr());
            let run = RUN.next_multiple_of(of.grid.tiles().1);
            each(tiles.div_ceil(run), &|i| {
                let (some, to) = (i * run..((i + 1) * run).min(tiles), (to.at(0), layout, i * run));
                // SAFETY: `data` has room for all tiles, and these are this task's.
                unsafe { transform_tiles::<T, N, N>(&of.grid, phase.origin, &self.source, some, to) }
            });
            let data = &*data;
            // One more line, so that the points of one element do not share a set of the cache.
            let (step, point) = (CHANNELS * panel + lanes, tiles * panel + lanes);
            each(of.outputs.div_ceil(panel), &|i| {
                let outputs = i * panel..((i + 1) * panel).min(of.outputs);
                T::scratch(N * N * (step + point), |scratch| {
                    let (transformed, sums) = scratch.split_at_mut(N * N * step);
                    for c0 in (0..of.channels).step_by(CHANNELS) {
                        let channels = c0..(c0 + CHANNELS).min(of.channels);
                        let to = (transformed.as_mut_ptr(), step, CHANNELS);
                        // SAFETY: `transformed` has room for these channels at all points, and is this task's own.
                        unsafe { kernels.transform(outputs.start, channels.clone(), to) };
                        Arch::new().dispatch(Products {
                            kernels: (transformed, step),
                            data: (data, layout),
                            terms: &terms[channels],
                            sums: (sums, point, panel),
                            more: c0 > 0,
                            points: N * N,
                            count: tiles,
                            outputs: outputs.len(),
                        });
                    }
                    let sums = Sums { data: sums, phase: N * N * point, point, tile: panel };
                    self.finish::<N, M>(0..tiles, outputs, sums);
                });
            });
        });
    }
}

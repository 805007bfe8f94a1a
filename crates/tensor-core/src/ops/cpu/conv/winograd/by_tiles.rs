//! A correlation cut by tiles: the kernels are transformed once, and each task computes all outputs of some tiles.
#![allow(unsafe_code)]

use super::correlate::{Group, Products, Sums};
use super::input::{Layout, transform_tiles};
use super::kernels::{TransformedKernels, padded};
use crate::ops::cpu::element::Element;
use crate::ops::cpu::threads::each;
use crate::ops::cpu::tile::{self, lanes};
use pulp::Arch;
use std::ops::Range;

/// Elements of the transformed tiles of a task that should stay in the second-level cache.
const BLOCK: usize = 160 << 10;
/// Tiles of a task: for few, the kernels are read too often.
const FEWEST: usize = 24;
const MOST: usize = 96;

impl<T: Element> Group<'_, T> {
    pub(super) fn by_tiles<const N: usize, const M: usize>(&self) {
        let of = self.of;
        let kernels: Vec<_> = of.phases.iter().map(|p| of.kernels(p, self.w).transformed()).collect();
        let (tiles, threads) = (of.tiles(), rayon::current_num_threads());
        // Whole images or rows of tiles where they fit, so that few inputs are read twice. The cut does not change the result.
        let elements = of.grid.stride.pow(2) * of.channels + of.phases.len() * of.outputs;
        let most = (BLOCK / (N * N) / elements).clamp(FEWEST, MOST);
        let unit = [of.grid.per_image(), of.grid.tiles().1].into_iter().find(|u| *u <= most).unwrap_or(tile::rows());
        let units = tiles.div_ceil(unit);
        let tasks = units.div_ceil(most / unit).next_multiple_of(threads).min(units);
        let run = units.div_ceil(tasks) * unit;
        each(tiles.div_ceil(run), &|i| self.some_tiles::<N, M>(&kernels, i * run..((i + 1) * run).min(tiles)));
    }

    fn some_tiles<const N: usize, const M: usize>(&self, kernels: &[TransformedKernels<T>], tiles: Range<usize>) {
        let (of, count) = (self.of, tiles.len());
        let layout = Layout::panels::<T>(count, of.vectors());
        let (terms, row) = (of.terms(&layout), padded::<T>(of.outputs.div_ceil(lanes::<T>())));
        let (point, phase) = (count * row, N * N * count * row);
        T::scratch(N * N * layout.step + kernels.len() * phase, |scratch| {
            let (data, sums) = scratch.split_at_mut(N * N * layout.step);
            for ((phase, kernels), sums) in of.phases.iter().zip(kernels).zip(sums.chunks_exact_mut(phase)) {
                let to = (data.as_mut_ptr(), layout, 0);
                // SAFETY: `data` is this task's own, and long enough.
                unsafe { transform_tiles::<T, N, N>(&of.grid, phase.origin, &self.source, tiles.clone(), to) };
                assert!(kernels.inputs == terms.len(), "kernels of other channels");
                Arch::new().dispatch(Products {
                    kernels: (&kernels.data, kernels.step),
                    data: (data, layout),
                    terms: &terms,
                    sums: (sums, point, row),
                    more: false,
                    points: N * N,
                    count,
                    outputs: of.outputs,
                });
            }
            self.finish::<N, M>(tiles, 0..of.outputs, Sums { data: sums, phase, point, tile: row });
        });
    }
}

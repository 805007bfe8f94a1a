//! One task of a product: some panels of rows by some panels of columns, over one cut of a block of the sum.
#![allow(unsafe_code)]

use super::{Begin, Rectify};
use crate::ops::cpu::element::Element;
use crate::ops::cpu::threads::Shared;
use crate::ops::cpu::tile::{self, Left, Panels, Start, Tile, VECTORS};
use pulp::{Simd, WithSimd};

/// Panels of columns that stay in a second-level cache while a task's panels of rows pass, with the next ones, which are fetched meanwhile.
const NEAR: usize = 4;

/// Panels of a factor: the terms of each lie side by side, `[panel][term][row or column]`.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a, T> {
    pub(super) data: &'a [T],
    /// The row or column where the first panel begins.
    pub(super) first: usize,
    /// Terms that each panel holds.
    pub(super) depth: usize,
    /// The first of them that is used.
    pub(super) from: usize,
}

impl<'a, T> Packed<'a, T> {
    /// `deep` terms of the panel that begins at row or column `at` and has `wide` of them.
    #[inline(always)]
    fn panel(&self, at: usize, wide: usize, deep: usize) -> &'a [T] {
        &self.data[(at - self.first) * self.depth + self.from * wide..][..deep * wide]
    }
}

/// The packed factors of a task, and where its part of the result lies.
pub(super) struct Block<'a, T> {
    pub(super) n: usize,
    pub(super) left: Packed<'a, T>,
    pub(super) right: Packed<'a, T>,
    /// Of the terms in a panel of columns.
    pub(super) offsets: &'a [usize],
    pub(super) c: &'a Shared<T>,
    /// The distance of rows, and the places of the task's columns, if they are not those of a matrix.
    pub(super) row: usize,
    pub(super) columns: Option<&'a [usize]>,
    /// Where the sum begins, or goes on.
    pub(super) begin: Begin<'a, T>,
    /// Applied to the sum where it ends.
    pub(super) rectify: Option<Rectify<T>>,
    pub(super) panels: Panels,
    pub(super) down: std::ops::Range<usize>,
    pub(super) across: std::ops::Range<usize>,
}

impl<T: Element> WithSimd for Block<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { n, left, right, offsets, c, row: c_row, columns, begin, rectify, panels, down, across } = self;
        let lanes = T::lanes::<S>();
        let (panel, deep) = (VECTORS * lanes, offsets.len());
        let start = across.start * panel;
        // A tile whose columns do not lie side by side is computed here.
        let mut beside = [T::ZERO; tile::MOST];
        for (near, p) in across.clone().step_by(NEAR).flat_map(|c| down.clone().map(move |p| (c, p))) {
            let (first, height) = (panels.first(p), panels.height(p));
            let a = left.panel(first, height, deep);
            for column in near..across.end.min(near + NEAR) {
                let j = column * panel;
                let cols = panel.min(n - j);
                let b = right.panel(j, panel, deep);
                // The factor that all tasks read comes from far, and a line with each step of a tile is slow enough.
                let ahead = match p - down.start {
                    row @ (0 | 1) if column + NEAR < across.end => {
                        right.panel((column + NEAR) * panel, panel, deep)[row * deep * panel / VECTORS..].as_ptr()
                    }
                    _ if column == near && p + 1 < down.end => {
                        left.panel(panels.first(p + 1), panels.height(p + 1), deep).as_ptr()
                    }
                    _ => b.as_ptr(),
                };
                let columns = columns.map_or(&[][..], |c| &c[j - start..][..cols]);
                let apart = cols > 1 && columns.last().is_some_and(|last| last - columns[0] >= cols);
                let to = c.at(first * c_row + columns.first().copied().unwrap_or(j));
                if apart && matches!(begin, Begin::Result) {
                    for (i, line) in beside.chunks_exact_mut(panel).take(height).enumerate() {
                        for (to, at) in line.iter_mut().zip(columns) {
                            // SAFETY: an element of the result, which is valid for reads, as `multiply`'s caller vouches.
                            *to = unsafe { c.at((first + i) * c_row + at).read() };
                        }
                    }
                }
                let (to, row) = if apart { (beside.as_mut_ptr(), panel) } else { (to, c_row) };
                let tile = Tile {
                    a: a.as_ptr(),
                    left: Left::Packed,
                    b: b.as_ptr(),
                    offsets,
                    b_vector: lanes,
                    c: to,
                    c_row: row,
                    c_vector: lanes,
                    valid: [cols.min(lanes), cols.saturating_sub(lanes)],
                    start: match begin {
                        Begin::Columns(bias) => Start::Columns(bias[j..j + cols].as_ptr()),
                        Begin::Rows(bias) => Start::Bias(bias[first..first + height].as_ptr()),
                        Begin::Zero => Start::Zero,
                        Begin::Result => Start::Result,
                    },
                    next: to.wrapping_add(panel),
                    ahead,
                };
                // SAFETY: the slices above bound the reads; tasks write disjoint parts of `c`, which holds the result,
                // as `multiply`'s caller vouches.
                unsafe { tile::run(s, height, cols.div_ceil(lanes), tile) }
                if let Some(rectify) = rectify {
                    for i in 0..height {
                        // SAFETY: the row of the tile that was just written.
                        let line = unsafe { std::slice::from_raw_parts_mut(to.add(i * row), cols) };
                        for y in line {
                            *y = rectify.at(*y);
                        }
                    }
                }
                if apart {
                    for (i, line) in beside.chunks_exact(panel).take(height).enumerate() {
                        for (at, y) in columns.iter().zip(line) {
                            // SAFETY: an element of the result that no other task writes.
                            unsafe { c.at((first + i) * c_row + at).write(*y) };
                        }
                    }
                }
            }
        }
    }
}

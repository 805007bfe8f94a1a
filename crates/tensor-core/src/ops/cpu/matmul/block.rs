//! One task of a product: some panels of rows by some panels of columns, over one cut of a block of the sum.
#![allow(unsafe_code)]

use crate::ops::cpu::element::Element;
use crate::ops::cpu::threads::Shared;
use crate::ops::cpu::tile::{self, Left, Panels, Start, Tile, VECTORS};
use pulp::{Simd, WithSimd};

/// Panels of columns that stay in a second-level cache while a task's panels of rows pass.
const NEAR: usize = 8;

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
    /// The bias, if any, where the sum begins; `None` where it goes on.
    pub(super) start: Option<Option<&'a [T]>>,
    pub(super) panels: Panels,
    pub(super) down: std::ops::Range<usize>,
    pub(super) across: std::ops::Range<usize>,
}

impl<T: Element> WithSimd for Block<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { n, left, right, offsets, c, start, panels, down, across } = self;
        let lanes = T::lanes::<S>();
        let (panel, deep) = (VECTORS * lanes, offsets.len());
        for (near, p) in across.clone().step_by(NEAR).flat_map(|c| down.clone().map(move |p| (c, p))) {
            let (first, height) = (panels.first(p), panels.height(p));
            let a = left.panel(first, height, deep);
            for j in (near..across.end.min(near + NEAR)).map(|c| c * panel) {
                let cols = panel.min(n - j);
                let b = right.panel(j, panel, deep);
                let tile = Tile {
                    a: a.as_ptr(),
                    left: Left::Packed,
                    b: b.as_ptr(),
                    offsets,
                    b_vector: lanes,
                    // SAFETY: row `first` and column j lie inside `c`.
                    c: unsafe { c.0.add(first * n + j) },
                    c_row: n,
                    c_vector: lanes,
                    valid: [cols.min(lanes), cols.saturating_sub(lanes)],
                    start: match start {
                        Some(Some(bias)) => Start::Columns(bias[j..j + cols].as_ptr()),
                        Some(None) => Start::Zero,
                        None => Start::Result,
                    },
                    next: c.0.wrapping_add(first * n + j + panel),
                };
                // SAFETY: the slices above bound the reads; tasks write disjoint parts of `c`, which holds (m, n), as
                // `multiply` checked.
                unsafe { tile::run(s, height, cols.div_ceil(lanes), tile) }
            }
        }
    }
}

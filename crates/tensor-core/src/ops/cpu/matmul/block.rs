//! One task of a product: some panels of rows by some panels of columns, over one block of the sum.
#![allow(unsafe_code)]

use super::{Shared, WIDTH, depth_of};
use crate::ops::cpu::element::Element;
use crate::ops::cpu::tile::{self, Left, Panels, Start, Tile, VECTORS};
use pulp::{Simd, WithSimd};

/// The packed factors of a task, and where its part of the result lies.
pub(super) struct Block<'a, T> {
    pub(super) n: usize,
    pub(super) left: &'a [T],
    pub(super) right: &'a [T],
    /// Elements between the packed panels of the right factor.
    pub(super) step: usize,
    pub(super) depth: usize,
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
        let Self { n, left, right, step, depth, offsets, c, start, panels, down, across } = self;
        let lanes = T::lanes::<S>();
        let panel = VECTORS * lanes;
        // Blocks of about one depth. A panel of rows stays in the first-level cache while some panels of columns pass, which
        // stay in the second-level cache while the panels of rows pass.
        let cut = depth.div_ceil(depth.div_ceil(depth_of::<T>()));
        for k0 in (0..depth).step_by(cut) {
            let deep = cut.min(depth - k0);
            for (column, p) in across.clone().step_by(WIDTH).flat_map(|c| down.clone().map(move |p| (c, p))) {
                let (first, height) = (panels.first(p), panels.height(p));
                let left = &left[first * depth + k0 * height..][..height * deep];
                for column in column..across.end.min(column + WIDTH) {
                    let j = column * panel;
                    let cols = panel.min(n - j);
                    let right = &right[column * step + k0 * panel..][..deep * panel];
                    let start = match start {
                        Some(Some(bias)) if k0 == 0 => Start::Columns(bias[j..j + cols].as_ptr()),
                        Some(None) if k0 == 0 => Start::Zero,
                        _ => Start::Result,
                    };
                    let tile = Tile {
                        a: left.as_ptr(),
                        left: Left::Packed,
                        b: right.as_ptr(),
                        offsets: &offsets[..deep],
                        b_vector: lanes,
                        // SAFETY: row `first` and column j lie inside `c`.
                        c: unsafe { c.0.add(first * n + j) },
                        c_row: n,
                        c_vector: lanes,
                        valid: [cols.min(lanes), cols.saturating_sub(lanes)],
                        start,
                        next: c.0.wrapping_add(first * n + j + panel),
                    };
                    // SAFETY: the slices above bound the reads; tasks write disjoint parts of `c`, which holds (m, n),
                    // as `multiply` checked.
                    unsafe { tile::run(s, height, cols.div_ceil(lanes), tile) }
                }
            }
        }
    }
}

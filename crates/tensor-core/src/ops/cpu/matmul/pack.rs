//! Packing of a product's factors: panels that the innermost kernel reads from the first element to the last.

use super::Mat;
use crate::ops::cpu::element::Element;
use crate::ops::cpu::tile::{FIRST, Panels, line, prefetch};
use crate::ops::cpu::transpose::transpose;
use std::ops::Range;

/// A left factor.
pub(crate) trait PackRows<T>: Sync {
    /// Packs some panels of rows: `[panel][term][row]`, of `terms.1` terms from `terms.0` on; writes all of `to`.
    fn pack_rows(&self, panels: &Panels, group: Range<usize>, terms: (usize, usize), to: &mut [T]);
}

/// A right factor.
pub(crate) trait PackColumns<T>: Sync {
    /// Packs `columns.1` columns from `columns.0` on: `[term][column]`, padded with zeros to `panel` columns; writes all of `to`.
    fn pack_columns(&self, columns: (usize, usize), terms: (usize, usize), to: &mut [T], panel: usize);
}

impl<T: Element> PackRows<T> for Mat<'_, T> {
    fn pack_rows(&self, panels: &Panels, group: Range<usize>, terms: (usize, usize), to: &mut [T]) {
        pack_left(*self, panels, group, terms, to);
    }
}

impl<T: Element> PackColumns<T> for Mat<'_, T> {
    fn pack_columns(&self, columns: (usize, usize), terms: (usize, usize), to: &mut [T], panel: usize) {
        pack_right(*self, columns, terms, to, panel);
    }
}

/// Rows ahead that are fetched early: they are short pieces of many pages, which the machine does not foresee.
const AHEAD: usize = 8;

/// Asks for the cache lines of `len` elements from an address.
#[inline(always)]
fn fetch<T>(at: *const T, len: usize) {
    for i in (0..len).step_by(line::<T>()) {
        prefetch::<_, { FIRST }>(at.wrapping_add(i));
    }
}

/// Packs some panels of rows at depths `k0..k0 + depth`: `[panel][k][row]`.
fn pack_left<T: Element>(
    a: Mat<'_, T>,
    panels: &Panels,
    group: Range<usize>,
    (k0, depth): (usize, usize),
    to: &mut [T],
) {
    let top = panels.first(group.start);
    if a.rs == 1 {
        // Row after row of `a`, so that each page is visited once.
        let wide = panels.first(group.end) - top;
        for p in 0..depth {
            fetch(a.data.as_ptr().wrapping_add(top + (k0 + p + AHEAD) * a.cs), wide);
            for panel in group.clone() {
                let (first, height) = (panels.first(panel), panels.height(panel));
                let from = &a.data[first + (k0 + p) * a.cs..];
                let to = &mut to[(first - top) * depth + p * height..][..(depth - p) * height];
                // A whole vector is one move; what it writes too much is the next row's, written after it.
                match (to.first_chunk_mut::<16>(), from.first_chunk::<16>()) {
                    (Some(to), Some(from)) if height <= 16 => *to = *from,
                    _ => to[..height].copy_from_slice(&from[..height]),
                }
            }
        }
        return;
    }
    for panel in group {
        let (first, height) = (panels.first(panel), panels.height(panel));
        let to = &mut to[(first - top) * depth..][..height * depth];
        let from = &a.data[first * a.rs + k0 * a.cs..];
        if a.cs == 1 {
            transpose((height, depth), from, a.rs, to, height);
        } else {
            for (p, to) in to.chunks_exact_mut(height).enumerate() {
                (0..height).for_each(|i| to[i] = from[i * a.rs + p * a.cs]);
            }
        }
    }
}

/// Packs columns `j..j + cols` at depths `k0..k0 + depth`: `[k][column]`, padded with zeros to `panel` columns.
pub(super) fn pack_right<T: Element>(
    b: Mat<'_, T>,
    (j, cols): (usize, usize),
    (k0, depth): (usize, usize),
    to: &mut [T],
    panel: usize,
) {
    let to = &mut to[..depth * panel];
    if cols < panel {
        to.fill(T::ZERO);
    }
    let from = &b.data[k0 * b.rs + j * b.cs..];
    if b.rs == 1 {
        return transpose((cols, depth), from, b.cs, to, panel);
    }
    for (p, to) in to.chunks_exact_mut(panel).enumerate() {
        let from = &from[p * b.rs..];
        fetch(from.as_ptr().wrapping_add(AHEAD * b.rs), if b.cs == 1 { cols } else { 0 });
        if b.cs != 1 {
            (0..cols).for_each(|j| to[j] = from[j * b.cs]);
        } else if cols == panel && panel.is_multiple_of(8) {
            // Short and of one length: not worth a call to copy memory.
            for (to, from) in to.as_chunks_mut::<8>().0.iter_mut().zip(from[..panel].as_chunks::<8>().0) {
                *to = *from;
            }
        } else {
            to[..cols].copy_from_slice(&from[..cols]);
        }
    }
}

//! Matrix products on slices.
#![allow(unsafe_code)]

use super::build::{build, split};
use super::element::Element;
use super::tile::{self, Panels, Start, Tile, VECTORS, lanes};
use super::transpose::transpose;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// A matrix inside a slice: element (i, j) is at `i * rs + j * cs`.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) rs: usize,
    pub(crate) cs: usize,
}

impl<'a, T> Mat<'a, T> {
    pub(crate) fn rows(data: &'a [T], width: usize) -> Self {
        Self { data, rs: width, cs: 1 }
    }

    /// The transposed view.
    pub(crate) fn t(self) -> Self {
        Self { data: self.data, rs: self.cs, cs: self.rs }
    }

    fn holds(&self, m: usize, n: usize) -> bool {
        m == 0 || n == 0 || (m - 1) * self.rs + (n - 1) * self.cs < self.data.len()
    }
}

/// Depth of one block of the sum, whose panel of the right factor fits the first-level cache.
const DEPTH: usize = 256;
/// Panels of columns, and of rows, that one task takes at most: with [`DEPTH`], what fits the second-level cache.
const WIDTH: usize = 8;
const HEIGHT: usize = 28;
/// Elements that are packed at once, about.
const PACKED: usize = 1 << 22;
/// Tasks that a product is cut into, where it is large enough.
const TASKS: usize = 24;
/// Panels of rows that are packed together.
const GROUP: usize = 8;
/// Products with fewer multiplications run on one thread.
const SMALL: usize = 1 << 17;

struct Shared<T>(*mut T);
// SAFETY: tasks write disjoint tiles through it.
unsafe impl<T: Send> Sync for Shared<T> {}

/// Packs some panels of rows at depths `k0..k0 + depth`: `[panel][k][row]`.
fn pack_left<T: Element>(
    a: Mat<'_, T>,
    panels: &Panels,
    group: std::ops::Range<usize>,
    (k0, depth): (usize, usize),
    to: &mut [T],
) {
    let top = panels.first(group.start);
    if a.rs == 1 {
        // Row after row of `a`, so that each page is visited once.
        for p in 0..depth {
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
fn pack_right<T: Element>(
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

/// A right factor packed for many products: `[panel][k][column]`.
pub(crate) struct Right<T> {
    k: usize,
    n: usize,
    data: Vec<T>,
}

impl<T: Element> Right<T> {
    pub(crate) fn new(k: usize, n: usize, b: Mat<'_, T>) -> Self {
        assert!(b.holds(k, n), "right factor out of bounds");
        let panel = VECTORS * lanes::<T>();
        let data = build(n.div_ceil(panel) * k * panel, k * panel, |i, to| {
            pack_right(b, (i * panel, panel.min(n - i * panel)), (0, k), to, panel);
        });
        Self { k, n, data }
    }
}

/// The right factor of a product, as it comes or packed before.
#[derive(Clone, Copy)]
enum Factor<'a, T> {
    Plain(Mat<'a, T>),
    Packed(&'a Right<T>),
}

/// `a (m, k) b (k, n)`, plus `bias` (n,) on each row, row-major; on all threads.
pub(crate) fn parallel_product<T: Element>(
    (m, n, k): (usize, usize, usize),
    a: Mat<'_, T>,
    b: Mat<'_, T>,
    bias: Option<&[T]>,
) -> Vec<T> {
    assert!(b.holds(k, n), "matrix product out of bounds");
    if k == 0 {
        return (0..m).flat_map(|_| (0..n).map(|j| bias.map_or(T::ZERO, |b| b[j]))).collect();
    }
    let mut c: Vec<T> = Vec::with_capacity(m * n);
    // SAFETY: the product starts every element of its first block from zero or the bias, and reads what it has
    // written only; the elements are plain numbers.
    unsafe {
        multiply((m, n, k), c.as_mut_ptr(), a, Factor::Plain(b), bias, false);
        c.set_len(m * n);
    }
    c
}

/// `c (m, n) += a (m, k) b`.
pub(crate) fn add_product<T: Element>(m: usize, c: &mut [T], a: Mat<'_, T>, b: &Right<T>) {
    assert!(c.len() == m * b.n && b.k > 0, "matrix product out of bounds");
    // SAFETY: `c` holds (m, n).
    unsafe { multiply((m, b.n, b.k), c.as_mut_ptr(), a, Factor::Packed(b), None, true) }
}

/// # Safety
/// `c` must be valid for writes of m n elements, and with `accumulate` for reads; a plain `b` must hold (k, n).
unsafe fn multiply<T: Element>(
    (m, n, k): (usize, usize, usize),
    c: *mut T,
    a: Mat<'_, T>,
    b: Factor<'_, T>,
    bias: Option<&[T]>,
    accumulate: bool,
) {
    assert!(a.holds(m, k) && bias.is_none_or(|b| b.len() == n), "matrix product out of bounds");
    if m * n == 0 {
        return;
    }
    let (panels, panel) = (Panels::new(m, tile::rows()), VECTORS * lanes::<T>());
    let across = n.div_ceil(panel);
    let (columns, rows) = match b {
        // One run of columns for each thread: a packed factor is used again and again, and each thread then finds its
        // part in its own cache. (How a product is cut does not show in its bytes.)
        Factor::Packed(_) => (rayon::current_num_threads().clamp(1, across), panels.count.div_ceil(HEIGHT)),
        Factor::Plain(_) => {
            let columns = across.div_ceil(WIDTH).max(TASKS.min(across));
            (columns, panels.count.div_ceil(HEIGHT).max(TASKS.div_ceil(columns).min(panels.count)))
        }
    };
    let (width, height) = (across.div_ceil(columns), panels.count.div_ceil(rows));
    let c = Shared(c);
    let block = (PACKED / (m + n) / DEPTH).max(1) * DEPTH;
    let depth = block.min(k);
    let packed_right = if matches!(b, Factor::Plain(_)) { across * panel * depth } else { 0 };
    let offsets: Vec<usize> = (0..DEPTH.min(k)).map(|p| p * panel).collect();
    let left_size = (m * depth).next_multiple_of(panel);
    T::scratch(left_size + packed_right, |scratch| {
        let (left, right) = scratch.split_at_mut(left_size);
        for k0 in (0..k).step_by(block) {
            let depth = block.min(k - k0);
            let groups = panels.count.div_ceil(GROUP);
            let group = |i: usize| i * GROUP..((i + 1) * GROUP).min(panels.count);
            let sizes = (0..groups).map(group).map(|g| (panels.first(g.end) - panels.first(g.start)) * depth);
            let mut parts = split(&mut left[..m * depth], sizes);
            if let Factor::Plain(_) = b {
                parts.extend(right[..across * panel * depth].chunks_exact_mut(panel * depth));
            }
            let pack = |(i, to): (usize, &mut [T])| match b {
                Factor::Plain(b) if i >= groups => {
                    let j = (i - groups) * panel;
                    pack_right(b, (j, panel.min(n - j)), (k0, depth), to, panel);
                }
                _ => pack_left(a, &panels, group(i), (k0, depth), to),
            };
            let spread = m * n * depth >= SMALL;
            let size: usize = parts.iter().map(|p| p.len()).sum();
            if spread && parts.len() > 1 && size >= SMALL / 4 {
                parts.into_par_iter().enumerate().for_each(pack);
            } else {
                parts.into_iter().enumerate().for_each(pack);
            }
            let (right, step) = match b {
                Factor::Plain(_) => (&right[..], panel * depth),
                Factor::Packed(b) => (&b.data[k0 * panel..], panel * b.k),
            };
            let (left, offsets, c) = (&left[..], &offsets[..], &c);
            let one = |i: usize| {
                let (row, column) = (i / columns, i % columns);
                Arch::new().dispatch(Block {
                    n,
                    left,
                    right,
                    step,
                    depth,
                    offsets,
                    c,
                    start: if k0 > 0 || accumulate { None } else { Some(bias) },
                    panels,
                    down: row * height..((row + 1) * height).min(panels.count),
                    across: column * width..((column + 1) * width).min(across),
                });
            };
            if spread {
                (0..rows * columns).into_par_iter().for_each(one);
            } else {
                (0..rows * columns).for_each(one);
            }
        }
    });
}

/// Some panels of rows by some panels of columns, one block of the sum deep: one task.
struct Block<'a, T> {
    n: usize,
    left: &'a [T],
    right: &'a [T],
    /// Elements between the packed panels of the right factor.
    step: usize,
    depth: usize,
    offsets: &'a [usize],
    c: &'a Shared<T>,
    /// The bias, if any, where the sum begins; `None` where it goes on.
    start: Option<Option<&'a [T]>>,
    panels: Panels,
    down: std::ops::Range<usize>,
    across: std::ops::Range<usize>,
}

impl<T: Element> WithSimd for Block<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { n, left, right, step, depth, offsets, c, start, panels, down, across } = self;
        let lanes = T::lanes::<S>();
        let panel = VECTORS * lanes;
        for k0 in (0..depth).step_by(DEPTH) {
            let deep = DEPTH.min(depth - k0);
            for column in across.clone() {
                let j = column * panel;
                let cols = panel.min(n - j);
                let right = &right[column * step + k0 * panel..][..deep * panel];
                for p in down.clone() {
                    let (first, height) = (panels.first(p), panels.height(p));
                    let left = &left[first * depth + k0 * height..][..height * deep];
                    let start = match start {
                        Some(Some(bias)) if k0 == 0 => Start::Columns(bias[j..j + cols].as_ptr()),
                        Some(None) if k0 == 0 => Start::Zero,
                        _ => Start::Result,
                    };
                    let tile = Tile {
                        a: left.as_ptr(),
                        scattered: None,
                        b: right.as_ptr(),
                        offsets: &offsets[..deep],
                        b_vector: lanes,
                        // SAFETY: row `first` and column j lie inside `c`.
                        c: unsafe { c.0.add(first * n + j) },
                        c_row: n,
                        c_vector: lanes,
                        valid: [cols.min(lanes), cols.saturating_sub(lanes)],
                        start,
                        next: c.0.wrapping_add((first + height) * n + j),
                    };
                    // SAFETY: the slices above bound the reads; tasks write disjoint parts of `c`, which holds (m, n),
                    // as `multiply` checked.
                    unsafe { tile::run(s, height, cols.div_ceil(lanes), tile) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: u64) -> Vec<f32> {
        crate::Rng::new(seed).normals(n).into_iter().map(|z| z as f32).collect()
    }

    #[test]
    fn agrees_with_the_definition_in_all_orientations() {
        for (m, n, k) in [(1, 1, 1), (3, 300, 5), (65, 10, 700), (128, 257, 3), (64, 2, 1030)] {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
                let ma = if ta { Mat::rows(&a, m).t() } else { Mat::rows(&a, k) };
                let mb = if tb { Mat::rows(&b, k).t() } else { Mat::rows(&b, n) };
                let c = parallel_product((m, n, k), ma, mb, None);
                for i in 0..m {
                    for j in 0..n {
                        let want: f64 = (0..k)
                            .map(|p| f64::from(a[i * ma.rs + p * ma.cs]) * f64::from(b[p * mb.rs + j * mb.cs]))
                            .sum();
                        // Error of an f32 sum of k products of unit normals: about 6e-8 sqrt(k) |terms|.
                        let tol = 1e-6 * (k as f64).sqrt() * 4.0;
                        assert!((f64::from(c[i * n + j]) - want).abs() < tol, "{m} {n} {k} {ta} {tb}: {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bytes_in_every_batch() {
        for (n, k) in [(10, 1568), (2, 7), (300, 513), (1, 64)] {
            let (a, w) = (numbers(130 * k, 3), numbers(k * n, 4));
            let run = |from: usize, to: usize| {
                let rows = Mat::rows(&a[from * k..to * k], k);
                parallel_product((to - from, n, k), rows, Mat::rows(&w, k).t(), None)
            };
            let all = run(0, 130);
            for (from, to) in [(0, 1), (5, 12), (63, 65), (129, 130), (10, 74), (2, 130)] {
                assert_eq!(run(from, to), all[from * n..to * n], "{n} {k} {from}..{to}");
            }
        }
    }
}

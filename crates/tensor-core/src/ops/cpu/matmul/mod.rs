//! Matrix products on slices.
//!
//! A product is computed block after block of the sum. For each block both factors are packed into panels (`pack`), the
//! result is cut into tasks ([`Tasks`]), and each task adds the block's terms to its part of the result (`block`).
#![allow(unsafe_code)]

mod block;
mod pack;

use super::build::{build, fill, split};
use super::element::Element;
use super::tile::{self, Panels, VECTORS, lanes};
use block::Block;
use pack::{pack_left, pack_right};
use pulp::Arch;
use rayon::prelude::*;
use std::ops::Range;

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

/// The most depth of one block of the sum: a panel of the left factor then fits the first-level cache.
const fn depth_of<T>() -> usize {
    2048 / size_of::<T>()
}
/// Panels of columns that one task takes at most: with [`depth_of`], half of a second-level cache of 1 MiB.
const WIDTH: usize = 8;
/// Panels of rows that one task takes at most.
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
        multiply((m, n, k), c.as_mut_ptr(), a, Factor::Plain(b), Some(bias), Threads::All);
        c.set_len(m * n);
    }
    c
}

/// `count` products `a (m, k) b (k, n)`, one after the other, with the factors that `f` gives; on all threads.
pub(crate) fn batch_product<'a, T: Element>(
    (m, n, k): (usize, usize, usize),
    count: usize,
    f: impl Fn(usize) -> (Mat<'a, T>, Mat<'a, T>) + Sync,
) -> Vec<T> {
    // Small products are done several to a task, large ones are cut into tasks themselves.
    let run = (SMALL / (m * n * k).max(1)).max(1);
    let one = |i: usize, c: &mut [T]| {
        for (j, c) in c.chunks_exact_mut(m * n).enumerate() {
            let (a, b) = f(i * run + j);
            assert!(k > 0 && b.holds(k, n), "matrix product out of bounds");
            // SAFETY: `c` holds (m, n), and its elements are started before they are read; `b` was checked above.
            unsafe { multiply((m, n, k), c.as_mut_ptr(), a, Factor::Plain(b), Some(None), Threads::All) }
        }
    };
    // SAFETY: a product with k > 0 writes every element of its result.
    unsafe { fill(count * m * n, 0, run * m * n, one) }
}

/// Who computes a product.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread alone.
    This,
    /// All threads, where the product is large enough.
    All,
}

/// `c (m, n) += a (m, k) b`.
pub(crate) fn add_product<T: Element>(m: usize, c: &mut [T], a: Mat<'_, T>, b: &Right<T>, threads: Threads) {
    assert!(c.len() == m * b.n && b.k > 0, "matrix product out of bounds");
    // SAFETY: `c` holds (m, n).
    unsafe { multiply((m, b.n, b.k), c.as_mut_ptr(), a, Factor::Packed(b), None, threads) }
}

/// How the result is cut into tasks: `rows` by `columns` of them, each of `height` by `width` panels at most. The cut
/// does not change the bytes of the result.
#[derive(Clone, Copy)]
struct Tasks {
    rows: usize,
    columns: usize,
    height: usize,
    width: usize,
}

impl Tasks {
    /// The cut of a result of `down` by `across` panels.
    fn new(down: usize, across: usize, packed: bool) -> Self {
        let (columns, rows) = if packed {
            // One run of columns for each thread: a packed factor is used for many products, and each thread then finds
            // its part in its own cache.
            (rayon::current_num_threads().clamp(1, across), down.div_ceil(HEIGHT))
        } else {
            let columns = across.div_ceil(WIDTH).max(TASKS.min(across));
            (columns, down.div_ceil(HEIGHT).max(TASKS.div_ceil(columns).min(down)))
        };
        Self { rows, columns, height: down.div_ceil(rows), width: across.div_ceil(columns) }
    }

    fn count(&self) -> usize {
        self.rows * self.columns
    }

    /// The panels of rows and of columns that a task computes.
    fn panels(&self, task: usize, down: usize, across: usize) -> (Range<usize>, Range<usize>) {
        let (row, column) = (task / self.columns, task % self.columns);
        (
            row * self.height..((row + 1) * self.height).min(down),
            column * self.width..((column + 1) * self.width).min(across),
        )
    }
}

/// A product's sizes, its factors, and the panels that these are packed into.
struct Product<'a, T> {
    m: usize,
    n: usize,
    a: Mat<'a, T>,
    b: Factor<'a, T>,
    threads: Threads,
    /// Panels of rows.
    panels: Panels,
    /// Columns of a panel of columns.
    panel: usize,
    /// Panels of columns.
    across: usize,
}

impl<'a, T: Element> Product<'a, T> {
    fn new((m, n): (usize, usize), a: Mat<'a, T>, b: Factor<'a, T>, threads: Threads) -> Self {
        let panel = VECTORS * lanes::<T>();
        Self { m, n, a, b, threads, panels: Panels::new(m, tile::rows()), panel, across: n.div_ceil(panel) }
    }

    /// Elements of the packed right factor for `depth` terms of the sum; 0 where it comes packed.
    fn right_size(&self, depth: usize) -> usize {
        match self.b {
            Factor::Plain(_) => self.across * self.panel * depth,
            Factor::Packed(_) => 0,
        }
    }

    /// Whether a block of the sum is large enough for all threads.
    fn spreads(&self, depth: usize) -> bool {
        self.threads == Threads::All && self.m * self.n * depth >= SMALL
    }

    /// Packs the terms `k0..k0 + depth` of both factors.
    fn pack(&self, (k0, depth): (usize, usize), left: &mut [T], right: &mut [T]) {
        let groups = self.panels.count.div_ceil(GROUP);
        let group = |i: usize| i * GROUP..((i + 1) * GROUP).min(self.panels.count);
        let rows = |g: Range<usize>| self.panels.first(g.end) - self.panels.first(g.start);
        let mut parts = split(&mut left[..self.m * depth], (0..groups).map(|i| rows(group(i)) * depth));
        if let Factor::Plain(_) = self.b {
            parts.extend(right[..self.right_size(depth)].chunks_exact_mut(self.panel * depth));
        }
        let pack = |(i, to): (usize, &mut [T])| match self.b {
            Factor::Plain(b) if i >= groups => {
                let j = (i - groups) * self.panel;
                pack_right(b, (j, self.panel.min(self.n - j)), (k0, depth), to, self.panel);
            }
            _ => pack_left(self.a, &self.panels, group(i), (k0, depth), to),
        };
        let size: usize = parts.iter().map(|p| p.len()).sum();
        if self.spreads(depth) && parts.len() > 1 && size >= SMALL / 4 {
            parts.into_par_iter().enumerate().for_each(pack);
        } else {
            parts.into_iter().enumerate().for_each(pack);
        }
    }

    /// Adds the terms `k0..k0 + depth` to `c`; with a `start`, `c` begins at zero or at the bias.
    ///
    /// # Safety
    /// `c` must be valid for writes of m n elements, and without a `start` for reads; `left` and `right` must hold what
    /// [`Product::pack`] packed for these terms.
    unsafe fn add(
        &self,
        (k0, depth): (usize, usize),
        (left, right): (&[T], &[T]),
        (tasks, offsets): (Tasks, &[usize]),
        c: &Shared<T>,
        start: Option<Option<&[T]>>,
    ) {
        let (n, panels) = (self.n, self.panels);
        let (right, step) = match self.b {
            Factor::Plain(_) => (right, self.panel * depth),
            Factor::Packed(b) => (&b.data[k0 * self.panel..], self.panel * b.k),
        };
        let one = |i: usize| {
            let (down, across) = tasks.panels(i, panels.count, self.across);
            Arch::new().dispatch(Block { n, left, right, step, depth, offsets, c, start, panels, down, across });
        };
        if self.spreads(depth) {
            (0..tasks.count()).into_par_iter().for_each(one);
        } else {
            (0..tasks.count()).for_each(one);
        }
    }
}

/// With a `start`, `c = a b` plus the bias, if any, on each row; without one `c += a b`.
///
/// # Safety
/// `c` must be valid for writes of m n elements, and without a `start` for reads; a plain `b` must hold (k, n).
unsafe fn multiply<T: Element>(
    (m, n, k): (usize, usize, usize),
    c: *mut T,
    a: Mat<'_, T>,
    b: Factor<'_, T>,
    start: Option<Option<&[T]>>,
    threads: Threads,
) {
    assert!(a.holds(m, k) && start.flatten().is_none_or(|b| b.len() == n), "matrix product out of bounds");
    if m * n == 0 {
        return;
    }
    let product = Product::new((m, n), a, b, threads);
    let tasks = Tasks::new(product.panels.count, product.across, matches!(b, Factor::Packed(_)));
    let c = Shared(c);
    let most = depth_of::<T>();
    let block = (PACKED / (m + n) / most).max(1) * most;
    let depth = block.min(k);
    let offsets: Vec<usize> = (0..most.min(k)).map(|p| p * product.panel).collect();
    let left_size = (m * depth).next_multiple_of(product.panel);
    T::scratch(left_size + product.right_size(depth), |scratch| {
        let (left, right) = scratch.split_at_mut(left_size);
        for k0 in (0..k).step_by(block) {
            let terms = (k0, block.min(k - k0));
            product.pack(terms, left, right);
            let start = start.filter(|_| k0 == 0);
            // SAFETY: the caller vouches for `c`, whose elements the first block starts; the factors were just packed.
            unsafe { product.add(terms, (left, right), (tasks, &offsets), &c, start) }
        }
    });
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

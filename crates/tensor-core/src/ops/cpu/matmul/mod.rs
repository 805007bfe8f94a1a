//! Matrix products on slices.
//!
//! A product is computed block after block of the sum. The result is cut along its longer side into tasks ([`Tasks`]). For each
//! block the factor that all tasks read is packed into panels (`pack`) by all threads; then each task packs its part of the
//! other factor, which stays in its thread's cache, and adds the block's terms to its part of the result (`block`).
#![allow(unsafe_code)]

mod block;
mod pack;

use super::build::{build, fill, split};
use super::element::Element;
use super::threads::{Shared, each, each_of};
use super::tile::{self, Panels, VECTORS, lanes};
use block::{Block, Packed};
use pack::{pack_left, pack_right};
use pulp::Arch;
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

/// The most terms that a task takes at once.
const fn depth_of<T>() -> usize {
    3072 / size_of::<T>()
}
/// Panels of columns that a task takes at most where it packs them: with [`depth_of`], 3/8 of a second-level cache of 1 MiB.
const WIDTH: usize = 4;
/// Panels of columns that stay in a second-level cache while a task's panels of rows pass.
const NEAR: usize = 8;
/// Panels of rows that a task takes at most where it packs them.
const HEIGHT: usize = 5;
/// Elements that are packed for all tasks at once, about; few in tests, whose products so have several blocks.
const PACKED: usize = if cfg!(test) { 1 << 14 } else { 1 << 20 };
/// Tasks that a product is cut into, where it is large enough.
const TASKS: usize = 24;
/// Panels of rows that are packed together.
const GROUP: usize = 8;
/// Products with fewer multiplications run on one thread.
const SMALL: usize = 1 << 17;

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

/// A factor that each task packs for itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    Left,
    Right,
    /// None: the right factor came packed.
    Neither,
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
    /// The cut of a result of `down` by `across` panels, for all threads or for one.
    fn new(down: usize, across: usize, own: Own, spread: bool) -> Self {
        let least = if spread { TASKS } else { 1 };
        let (rows, columns) = match own {
            Own::Left => (down.div_ceil(HEIGHT).max(least.min(down)), 1),
            Own::Right => (1, across.div_ceil(WIDTH).max(least.min(across))),
            // One run of columns for each thread: a packed factor is used for many products, and each thread then finds
            // its part in its own cache.
            Own::Neither if spread => (1, rayon::current_num_threads().clamp(1, across)),
            Own::Neither => (1, 1),
        };
        let (height, width) = (down.div_ceil(rows), across.div_ceil(columns));
        // None of them empty.
        Self { rows: down.div_ceil(height), columns: across.div_ceil(width), height, width }
    }

    fn count(&self) -> usize {
        self.rows * self.columns
    }

    /// The panels of rows and of columns that a task computes.
    fn panels(&self, task: usize, down: usize, across: usize) -> (Range<usize>, Range<usize>) {
        let (row, column) = (task / self.columns, task % self.columns);
        let part = |i: usize, size: usize, all: usize| i * size..((i + 1) * size).min(all);
        (part(row, self.height, down), part(column, self.width, across))
    }
}

/// A product's sizes, its factors, and the panels that these are packed into.
struct Product<'a, T> {
    m: usize,
    n: usize,
    a: Mat<'a, T>,
    b: Factor<'a, T>,
    /// What the tasks pack.
    own: Own,
    /// Panels of rows.
    panels: Panels,
    /// Columns of a panel of columns.
    panel: usize,
    /// Panels of columns.
    across: usize,
    /// Terms that a task takes at once.
    cut: usize,
    /// Terms for which the other factor is packed at once.
    block: usize,
    /// Whether all threads take part.
    spread: bool,
    tasks: Tasks,
}

impl<'a, T: Element> Product<'a, T> {
    fn new((m, n, k): (usize, usize, usize), a: Mat<'a, T>, b: Factor<'a, T>, threads: Threads) -> Self {
        let own = match b {
            Factor::Packed(_) => Own::Neither,
            Factor::Plain(_) if m >= n => Own::Left,
            Factor::Plain(_) => Own::Right,
        };
        let panel = VECTORS * lanes::<T>();
        let (panels, across) = (Panels::new(m, tile::rows()), n.div_ceil(panel));
        // Cuts of about one depth, and blocks of whole cuts.
        let cut = k.div_ceil(k.div_ceil(depth_of::<T>()));
        let wide = if own == Own::Left { across * panel } else { m };
        let block = ((PACKED / wide / cut).max(1) * cut).min(k);
        let spread = threads == Threads::All && m * n * block >= SMALL;
        let tasks = Tasks::new(panels.count, across, own, spread);
        Self { m, n, a, b, own, panels, panel, across, cut, block, spread, tasks }
    }

    /// Elements of the factor that all tasks read, for `depth` terms.
    fn shared_size(&self, depth: usize) -> usize {
        depth * if self.own == Own::Left { self.across * self.panel } else { self.m }
    }

    /// Packs `depth` terms from `k0` of some panels of columns.
    fn pack_columns(&self, b: Mat<'_, T>, across: Range<usize>, (k0, depth): (usize, usize), to: &mut [T]) {
        for (column, to) in across.zip(to.chunks_exact_mut(self.panel * depth)) {
            let j = column * self.panel;
            pack_right(b, (j, self.panel.min(self.n - j)), (k0, depth), to, self.panel);
        }
    }

    /// Packs `depth` terms from `k0` of the factor that all tasks read.
    fn pack(&self, (k0, depth): (usize, usize), to: &mut [T]) {
        let (count, group) = if self.own == Own::Left { (self.across, 1) } else { (self.panels.count, GROUP) };
        let groups = (0..count.div_ceil(group)).map(|i| i * group..((i + 1) * group).min(count));
        let rows = |g: &Range<usize>| self.panels.first(g.end) - self.panels.first(g.start);
        let wide = |g: &Range<usize>| if self.own == Own::Left { g.len() * self.panel } else { rows(g) };
        let parts = split(to, groups.clone().map(|g| wide(&g) * depth));
        let pack = |(g, to): (Range<usize>, &mut [T])| match (self.own, self.b) {
            (Own::Left, Factor::Plain(b)) => self.pack_columns(b, g, (k0, depth), to),
            _ => pack_left(self.a, &self.panels, g, (k0, depth), to),
        };
        let parts: Vec<_> = groups.zip(parts).collect();
        if self.spread && parts.len() > 1 && self.shared_size(depth) >= SMALL / 4 {
            each_of(parts, &|_, part| pack(part));
        } else {
            parts.into_iter().for_each(pack);
        }
    }

    /// A task adds `depth` terms from `k0` to its part of `c`, which with a `start` begins at zero or at the bias.
    ///
    /// # Safety
    /// `c` must be valid for writes of m n elements, and without a `start` for reads; no other task of this number may run.
    unsafe fn task(
        &self,
        task: usize,
        ((k0, depth), shared): ((usize, usize), &[T]),
        offsets: &[usize],
        c: &Shared<T>,
        start: Option<Option<&[T]>>,
    ) {
        let (down, across) = self.tasks.panels(task, self.panels.count, self.across);
        let (top, left_end) = (self.panels.first(down.start), self.panels.first(down.end));
        let size = match self.own {
            Own::Left => left_end - top,
            Own::Right => across.len() * self.panel,
            Own::Neither => 0,
        };
        T::scratch(size * self.cut.min(depth), |room| {
            for from in (0..depth).step_by(self.cut) {
                let deep = self.cut.min(depth - from);
                let own = &mut room[..size * deep];
                let terms = (k0 + from, deep);
                match (self.own, self.b) {
                    (Own::Left, _) => pack_left(self.a, &self.panels, down.clone(), terms, own),
                    (Own::Right, Factor::Plain(b)) => self.pack_columns(b, across.clone(), terms, own),
                    _ => {}
                }
                let shared = Packed { data: shared, first: 0, depth, from };
                let own = |first| Packed { data: own, first, depth: deep, from: 0 };
                let (left, right) = match (self.own, self.b) {
                    (_, Factor::Packed(b)) => (shared, Packed { data: &b.data, first: 0, depth: b.k, from: k0 + from }),
                    (Own::Left, _) => (own(top), shared),
                    _ => (shared, own(across.start * self.panel)),
                };
                Arch::new().dispatch(Block {
                    n: self.n,
                    left,
                    right,
                    offsets: &offsets[..deep],
                    c,
                    start: start.filter(|_| from == 0),
                    panels: self.panels,
                    down: down.clone(),
                    across: across.clone(),
                });
            }
        });
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
    let product = Product::new((m, n, k), a, b, threads);
    let offsets: Vec<usize> = (0..product.cut).map(|p| p * product.panel).collect();
    let c = Shared(c);
    T::scratch(product.shared_size(product.block), |shared| {
        for k0 in (0..k).step_by(product.block) {
            let depth = product.block.min(k - k0);
            let shared = &mut shared[..product.shared_size(depth)];
            product.pack((k0, depth), shared);
            let (shared, start) = (&*shared, start.filter(|_| k0 == 0));
            // SAFETY: the caller vouches for `c`, whose elements the first block starts; each task runs once.
            let one = |i| unsafe { product.task(i, ((k0, depth), shared), &offsets, &c, start) };
            if product.spread {
                each(product.tasks.count(), &one);
            } else {
                (0..product.tasks.count()).for_each(one);
            }
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

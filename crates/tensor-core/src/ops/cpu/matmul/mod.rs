//! Matrix products on slices.
//!
//! A product is computed block after block of the sum. The result is cut along the side with more panels into tasks (`product`). For
//! each block the factor that all tasks read is packed into panels (`pack`) by all threads; then each task packs its part of the
//! other factor, which stays in its thread's cache, and adds the block's terms to its part of the result (`block`). A right
//! factor that comes packed is read by tasks along the columns.
#![allow(unsafe_code)]

mod block;
mod pack;
mod place;
mod product;

pub(crate) use pack::{PackColumns, PackRows};
pub(crate) use place::{Maps, Place};

use super::build::{build, fill};
use super::element::Element;
use super::elementwise::Rectify;
use super::threads::{Shared, each};
use super::tile::{VECTORS, lanes};
use pack::pack_right;
use product::Product;

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

/// The right factor of a product, as something that can be packed, or packed before.
#[derive(Clone, Copy)]
pub(crate) enum Factor<'a, T> {
    Plain(&'a dyn PackColumns<T>),
    Packed(&'a Right<T>),
}

/// Where the sums of a product begin.
#[derive(Clone, Copy)]
pub(crate) enum Begin<'a, T> {
    Zero,
    /// At `bias[j]` for all elements of column j.
    Columns(&'a [T]),
    /// At `bias[i]` for all elements of row i.
    Rows(&'a [T]),
    /// At the present value of the result.
    Result,
}

impl<'a, T> Begin<'a, T> {
    fn columns(bias: Option<&'a [T]>) -> Self {
        bias.map_or(Self::Zero, Self::Columns)
    }

    /// The same for a bias of rows.
    pub(crate) fn rows(bias: Option<&'a [T]>) -> Self {
        bias.map_or(Self::Zero, Self::Rows)
    }
}

/// A product `c (m, n) = a (m, k) b (k, n)`, from somewhere on and rectified at the end.
pub(crate) struct Job<'a, T> {
    pub(crate) size: (usize, usize, usize),
    pub(crate) a: &'a dyn PackRows<T>,
    pub(crate) b: Factor<'a, T>,
    pub(crate) place: Place,
    pub(crate) begin: Begin<'a, T>,
    pub(crate) rectify: Option<Rectify<T>>,
    pub(crate) threads: Threads,
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
        matrix((m, n, k), a, Factor::Plain(&b), Begin::columns(bias), Threads::All, c.as_mut_ptr());
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
            unsafe { matrix((m, n, k), a, Factor::Plain(&b), Begin::Zero, Threads::All, c.as_mut_ptr()) }
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
    unsafe { matrix((m, b.n, b.k), a, Factor::Packed(b), Begin::Result, threads, c.as_mut_ptr()) }
}

/// [`multiply`] for matrices.
///
/// # Safety
/// As there, where `c` holds m n elements; a plain `b` must hold (k, n).
unsafe fn matrix<T: Element>(
    size: (usize, usize, usize),
    a: Mat<'_, T>,
    b: Factor<'_, T>,
    begin: Begin<'_, T>,
    threads: Threads,
    c: *mut T,
) {
    assert!(a.holds(size.0, size.2), "matrix product out of bounds");
    let job = Job { size, a: &a, b, place: Place::matrix(size.1), begin, rectify: None, threads };
    // SAFETY: the caller vouches for it.
    unsafe { multiply(&job, c) }
}

/// Computes a product. Each element is one chain of multiply-adds in the order of the sum, whatever the factors are and wherever the
/// result lies.
///
/// # Safety
/// `c` must be valid for writes of the elements where the result lies, and for reads if the sums begin there; the factors must give
/// what their traits say.
pub(crate) unsafe fn multiply<T: Element>(job: &Job<'_, T>, c: *mut T) {
    let (m, n, k) = job.size;
    assert!(k > 0, "a sum of no terms");
    match job.begin {
        Begin::Columns(bias) => assert!(bias.len() == n, "a bias of another size"),
        Begin::Rows(bias) => assert!(bias.len() == m, "a bias of another size"),
        Begin::Zero | Begin::Result => {}
    }
    if m * n == 0 {
        return;
    }
    let product = Product::new(job);
    let offsets: Vec<usize> = (0..product.cut).map(|p| p * product.panel).collect();
    let c = Shared(c);
    T::scratch(product.shared_size(product.block), |shared| {
        for k0 in (0..k).step_by(product.block) {
            let depth = product.block.min(k - k0);
            let shared = &mut shared[..product.shared_size(depth)];
            product.pack((k0, depth), shared);
            let shared = &*shared;
            // SAFETY: the caller vouches for `c`, whose elements the first block starts; each task runs once.
            let one = |i| unsafe { product.task(i, ((k0, depth), shared), &offsets, &c) };
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

    /// Products of all orientations with a bias, and sums that go on with a packed factor, against f64.
    fn agrees<T: Element>(sizes: &[(usize, usize, usize)], eps: f64) {
        let of = |n, seed| crate::Rng::new(seed).normals(n).into_iter().map(T::of_f64).collect::<Vec<T>>();
        for &(m, n, k) in sizes {
            let (a, b, bias) = (of(m * k, 1), of(k * n, 2), of(n, 3));
            for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
                let ma = if ta { Mat::rows(&a, m).t() } else { Mat::rows(&a, k) };
                let mb = if tb { Mat::rows(&b, k).t() } else { Mat::rows(&b, n) };
                let c = parallel_product((m, n, k), ma, mb, Some(&bias));
                let mut sums = bias.repeat(m);
                add_product(m, &mut sums, ma, &Right::new(k, n, mb), Threads::All);
                let mut on_one = bias.repeat(m);
                add_product(m, &mut on_one, ma, &Right::new(k, n, mb), Threads::This);
                assert!(c == sums && c == on_one, "{m} {n} {k} {ta} {tb}");
                for i in 0..m {
                    for j in 0..n {
                        let term = |p: usize| a[i * ma.rs + p * ma.cs].as_f64() * b[p * mb.rs + j * mb.cs].as_f64();
                        let want = (0..k).map(term).sum::<f64>() + bias[j].as_f64();
                        // After p terms of about 1 the sum is about sqrt(p), and each addition rounds it by half an epsilon at most, and
                        // by 0.29 in the mean of squares: together 0.2 k epsilons.
                        let tol = eps * (2 * k + 16) as f64;
                        assert!((c[i * n + j].as_f64() - want).abs() < tol, "{m} {n} {k} {ta} {tb}: {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn agrees_with_the_definition_in_all_orientations() {
        let sizes =
            [(1, 1, 1), (3, 300, 5), (65, 10, 700), (128, 257, 3), (64, 2, 1030), (2, 70, 2500), (61, 130, 1600)];
        agrees::<f32>(&sizes, f64::from(f32::EPSILON));
        agrees::<f64>(&sizes, f64::EPSILON);
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

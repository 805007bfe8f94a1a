//! Matrix products on slices.
#![allow(unsafe_code)]

use super::element::Element;
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

/// `c (m, n) = a (m, k) b (k, n)`, or `c += a b`, on this thread; `c` is row-major and dense.
pub(crate) fn product<T: Element>(
    (m, n, k): (usize, usize, usize),
    c: &mut [T],
    accumulate: bool,
    a: Mat<'_, T>,
    b: Mat<'_, T>,
) {
    assert!(c.len() >= m * n && a.holds(m, k) && b.holds(k, n), "matrix product out of bounds");
    // SAFETY: the assertion bounds every element that the product touches.
    unsafe { raw(m, n, k, c.as_mut_ptr(), n, accumulate, a, b) }
}

/// # Safety
/// `c` must be valid for writes at `i * c_rs + j` for all i < m, j < n; `a` and `b` must hold (m, k) and (k, n).
unsafe fn raw<T: Element>(
    m: usize,
    n: usize,
    k: usize,
    c: *mut T,
    c_rs: usize,
    accumulate: bool,
    a: Mat<'_, T>,
    b: Mat<'_, T>,
) {
    // SAFETY: forwarded from the caller; strides are those of slices, so they fit isize.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c,
            1,
            c_rs as isize,
            accumulate,
            a.data.as_ptr(),
            a.cs as isize,
            a.rs as isize,
            b.data.as_ptr(),
            b.cs as isize,
            b.rs as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Rows of the result that one task makes. A shorter last tile is padded to this height, so that the
/// same kernel runs, and a row's bytes do not depend on how many rows there are.
const ROWS: usize = 64;
/// Columns of the result that one task makes.
const COLS: usize = 256;
/// Depth of one block of the sum: up to here the library sums in one pass for every size of tile.
const DEPTH: usize = 512;

struct Shared<T>(*mut T);
// SAFETY: tasks write disjoint tiles through it.
unsafe impl<T: Send> Sync for Shared<T> {}

/// `c (m, n) = a (m, k) b (k, n)` on all threads; `c` is row-major and dense.
pub(crate) fn parallel_product<T: Element>(
    (m, n, k): (usize, usize, usize),
    c: &mut [T],
    a: Mat<'_, T>,
    b: Mat<'_, T>,
) {
    assert!(c.len() == m * n && a.holds(m, k) && b.holds(k, n), "matrix product out of bounds");
    if k == 0 {
        return c.fill(T::ZERO);
    }
    let out = Shared(c.as_mut_ptr());
    let (row_tiles, col_tiles) = (m.div_ceil(ROWS), n.div_ceil(COLS));
    (0..row_tiles * col_tiles).into_par_iter().for_each(|tile| {
        let out = &out;
        let (i0, j0) = (tile / col_tiles * ROWS, tile % col_tiles * COLS);
        let (rows, cols) = (ROWS.min(m - i0), COLS.min(n - j0));
        let depths = || (0..k).step_by(DEPTH).map(|p| (p, DEPTH.min(k - p)));
        let b_at = |p: usize| Mat { data: &b.data[p * b.rs + j0 * b.cs..], ..b };
        if rows == ROWS {
            for (p, depth) in depths() {
                let a_at = Mat { data: &a.data[i0 * a.rs + p * a.cs..], ..a };
                // SAFETY: the tile (i0.., j0..) lies inside `c` and no other task writes it; the
                // sub-slices start inside matrices that were checked to hold (m, k) and (k, n).
                unsafe { raw(rows, cols, depth, out.0.add(i0 * n + j0), n, p > 0, a_at, b_at(p)) }
            }
        } else {
            T::scratch(ROWS * k + ROWS * cols, |scratch| {
                let (pa, pc) = scratch.split_at_mut(ROWS * k);
                // Padded in the layout of `a`, so that the same packing code runs.
                let padded = if a.cs <= a.rs { (k, 1) } else { (1, ROWS) };
                pa.fill(T::ZERO);
                for i in 0..rows {
                    for p in 0..k {
                        pa[i * padded.0 + p * padded.1] = a.data[(i0 + i) * a.rs + p * a.cs];
                    }
                }
                for (p, depth) in depths() {
                    let a_at = Mat { data: &pa[p * padded.1..], rs: padded.0, cs: padded.1 };
                    product((ROWS, cols, depth), pc, p > 0, a_at, b_at(p));
                }
                for i in 0..rows {
                    // SAFETY: row i of this task's own tile, inside `c`.
                    let to = unsafe { std::slice::from_raw_parts_mut(out.0.add((i0 + i) * n + j0), cols) };
                    to.copy_from_slice(&pc[i * cols..][..cols]);
                }
            });
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
                let mut c = vec![f32::NAN; m * n];
                parallel_product((m, n, k), &mut c, ma, mb);
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
                let mut c = vec![0f32; (to - from) * n];
                parallel_product((to - from, n, k), &mut c, Mat::rows(&a[from * k..to * k], k), Mat::rows(&w, k).t());
                c
            };
            let all = run(0, 130);
            for (from, to) in [(0, 1), (5, 12), (63, 65), (129, 130), (10, 74), (2, 130)] {
                assert_eq!(run(from, to), all[from * n..to * n], "{n} {k} {from}..{to}");
            }
        }
    }
}

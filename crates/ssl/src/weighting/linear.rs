//! Small dense systems.

use crate::{Error, Result};

/// A pivot below this, in a matrix whose entries are at most about 1, counts as 0.
const SINGULAR: f64 = 1e-12;

/// Solves `A X = B` by elimination with partial pivoting, for A (n x n, row-major) and K right-hand sides. `None` for a matrix
/// that is singular to working precision.
pub(super) fn solve<const K: usize>(mut a: Vec<f64>, mut b: Vec<[f64; K]>) -> Option<Vec<[f64; K]>> {
    let n = b.len();
    for k in 0..n {
        let p = (k..n).max_by(|i, j| a[i * n + k].abs().total_cmp(&a[j * n + k].abs()))?;
        if a[p * n + k].abs() <= SINGULAR {
            return None;
        }
        b.swap(k, p);
        for j in k..n {
            a.swap(k * n + j, p * n + j);
        }
        for i in k + 1..n {
            let f = a[i * n + k] / a[k * n + k];
            for j in k..n {
                a[i * n + j] -= f * a[k * n + j];
            }
            let pivot = b[k];
            b[i].iter_mut().zip(pivot).for_each(|(b, p)| *b -= f * p);
        }
    }
    for k in (0..n).rev() {
        let (upper, known) = b.split_at_mut(k + 1);
        for (c, x) in upper[k].iter_mut().enumerate() {
            let rest: f64 = known.iter().zip(&a[k * n + k + 1..]).map(|(b, a)| a * b[c]).sum();
            *x = (*x - rest) / a[k * n + k];
        }
    }
    Some(b)
}

/// The eigenvalues of a symmetric matrix in ascending order, and the eigenvectors one after the other.
pub(super) fn eigen(n: usize, at: impl Fn(usize, usize) -> f64) -> Result<(Vec<f64>, Vec<Vec<f64>>)> {
    let found = faer::Mat::from_fn(n, n, at).self_adjoint_eigen(faer::Side::Lower);
    let found = found.map_err(|e| Error::value("eigenvalues of the Gram matrix", format!("were not found: {e:?}")))?;
    let (s, u) = (found.S(), found.U());
    Ok(((0..n).map(|i| s[i]).collect(), (0..n).map(|i| (0..n).map(|j| u[(j, i)]).collect()).collect()))
}

/// All subsets of `0..n` (n at most 8), the small ones first.
pub(super) fn subsets(n: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..=n as u32).flat_map(move |size| {
        (0..1u32 << n)
            .filter(move |m| m.count_ones() == size)
            .map(move |m| (0..n).filter(|i| m >> i & 1 == 1).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_with_pivoting_and_finds_singular() {
        // The first pivot is 0.
        let x = solve(vec![0.0, 2.0, 1.0, 1.0], vec![[4.0, 2.0], [3.0, 0.0]]).unwrap();
        assert_eq!(x, [[1.0, -1.0], [2.0, 1.0]]);
        assert!(solve(vec![1.0, 2.0, 2.0, 4.0], vec![[1.0], [2.0]]).is_none());
        let all: Vec<Vec<usize>> = subsets(3).collect();
        assert_eq!((all.len(), &all[0], &all[1], &all[7]), (8, &vec![], &vec![0], &vec![0, 1, 2]));
    }
}

//! Small symmetric matrices on the host, in row-major order.

use crate::eigen::symmetric;
use crate::{Error, Result};

/// The scalar product, summed in lanes: one chain of additions would be as slow as their delay.
pub(crate) fn dot<T: Copy + Into<f64>>(a: &[T], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 16];
    let (a_whole, a_rest) = a.as_chunks::<16>();
    let (b_whole, b_rest) = b.as_chunks::<16>();
    for (a, b) in a_whole.iter().zip(b_whole) {
        for i in 0..16 {
            lanes[i] += a[i].into() * b[i];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| (*a).into() * b).sum();
    lanes.iter().sum::<f64>() + rest
}

pub(crate) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// Refuses what is no finite matrix of D x D.
fn check(h: &[f64], d: usize) -> Result<()> {
    match d > 0 && h.len() == d * d && h.iter().all(|v| v.is_finite()) {
        true => Ok(()),
        false => Err(Error::value("matrix", format!("{} values, not {d} x {d} finite ones", h.len()))),
    }
}

/// The eigenvalues of a symmetric matrix (D x D, in row-major order), in ascending order. Only the lower triangle is read.
///
/// # Errors
/// [`Error::Value`] for a wrong number of values, or a value that is not finite.
pub fn eigenvalues(h: &[f64], d: usize) -> Result<Vec<f64>> {
    check(h, d)?;
    Ok(symmetric(h, d, false)?.0)
}

/// Eigenvalues as in [`eigenvalues`], and the eigenvectors, one after the other.
pub(crate) fn eigen(h: &[f64], d: usize) -> Result<(Vec<f64>, Vec<Vec<f64>>)> {
    check(h, d)?;
    let (values, vectors) = symmetric(h, d, true)?;
    Ok((values, vectors.chunks_exact(d).map(<[f64]>::to_vec).collect()))
}

/// The eigenvectors of the largest eigenvalues of a symmetric matrix, the largest first, one after the other: the principal
/// components of a covariance. The entry of largest magnitude of each is positive.
///
/// # Errors
/// As [`eigenvalues`]; more components than dimensions.
pub fn principal(h: &[f64], d: usize, components: usize) -> Result<Vec<f64>> {
    if components == 0 || components > d {
        return Err(Error::config("components", format!("must be 1 to {d}, got {components}")));
    }
    let (_, vectors) = eigen(h, d)?;
    let oriented = |v: Vec<f64>| {
        let largest = v.iter().copied().fold(0.0, |a: f64, v| if v.abs() > a.abs() { v } else { a });
        v.into_iter().map(move |v| v * largest.signum()).collect::<Vec<f64>>()
    };
    Ok(vectors.into_iter().rev().take(components).flat_map(oriented).collect())
}

/// `h^-1 v` for a symmetric positive definite h.
pub(crate) fn solve(h: &[f64], v: &[f64]) -> Result<Vec<f64>> {
    check(h, v.len())?;
    crate::eigen::solve(h, v).ok_or_else(|| Error::value("Hessian", "is not positive definite"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_by_two() {
        let h = [2.0, 1.0, 1.0, 2.0];
        let (values, vectors) = eigen(&h, 2).unwrap();
        assert!((values[0] - 1.0).abs() < 1e-14 && (values[1] - 3.0).abs() < 1e-14);
        assert_eq!(eigenvalues(&h, 2).unwrap().len(), 2);
        assert!((vectors[1][0] - vectors[1][1]).abs() < 1e-14);
        let p = principal(&h, 2, 1).unwrap();
        assert!(p.iter().all(|v| (v - 0.5f64.sqrt()).abs() < 1e-14) && principal(&h, 2, 3).is_err());
        let x = solve(&h, &[3.0, 3.0]).unwrap();
        assert!((x[0] - 1.0).abs() < 1e-14 && (x[1] - 1.0).abs() < 1e-14);
        assert!(solve(&[1.0, 2.0, 2.0, 1.0], &[1.0, 1.0]).is_err() && eigenvalues(&[f64::NAN], 1).is_err());
    }
}

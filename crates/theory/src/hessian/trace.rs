//! Stochastic estimates of the trace of a symmetric operator.

use super::basis::Basis;
use super::operator::Operator;
use crate::Result;
use crate::dense::{dot, norm};
use sconce_tensor_core::Rng;
use sconce_tensor_core::error::require;
use sconce_tensor_core::stats::{Interval, t975};

/// An estimate of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceEstimate {
    /// The estimated trace.
    pub value: f64,
    /// The standard error over the probes.
    pub standard_error: f64,
    /// The 95 % t-interval over the probes.
    pub ci95: Interval,
    /// Number of products used.
    pub products: usize,
}

/// A Rademacher vector: entries -1 and 1.
fn signs(dim: usize, rng: &Rng) -> Vec<f64> {
    rng.bits(dim).into_iter().map(|b| if b >> 63 == 0 { 1.0 } else { -1.0 }).collect()
}

fn summary(values: &[f64], shift: f64, products: usize) -> TraceEstimate {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let (value, standard_error) = (shift + mean, (variance / n).sqrt());
    let half = t975(values.len() - 1) * standard_error;
    TraceEstimate { value, standard_error, ci95: Interval { lo: value - half, hi: value + half }, products }
}

/// Hutchinson's estimator: the mean of `z.H z` over Rademacher probes z. It is unbiased, with variance
/// `2 (norm_F(H)^2 - sum H_ii^2)` for each probe.
///
/// Source: Hutchinson (1990).
///
/// # Errors
/// Fewer than 2 probes; those of the operator.
pub fn hutchinson(op: &dyn Operator, probes: usize, rng: &Rng) -> Result<TraceEstimate> {
    require("probes", probes >= 2, "at least 2", probes)?;
    let one = |i: usize| {
        let z = signs(op.dim(), &rng.stream("hutchinson").at(i as u64));
        Ok(dot(&z, &op.apply(&z)?))
    };
    Ok(summary(&(0..probes).map(one).collect::<Result<Vec<f64>>>()?, 0.0, probes))
}

/// Hutch++: the exact trace on a subspace found with a third of the products, and Hutchinson's estimate on its complement. For
/// operators whose eigenvalues have one sign or decay, the error is `O(1 / products)` instead of `O(1 / sqrt(products))`.
///
/// Source: Meyer, Musco, Musco, Woodruff (arXiv 2010.09649), algorithm 1.
///
/// # Errors
/// Fewer than 6 products; those of the operator.
pub fn hutch_plus_plus(op: &dyn Operator, products: usize, rng: &Rng) -> Result<TraceEstimate> {
    require("products", products >= 6, "at least 6", products)?;
    let third = products / 3;
    let rng = rng.stream("hutch++");
    let mut basis = Basis::of(op);
    for i in 0..third {
        if basis.len() == op.dim() {
            break;
        }
        let mut v = op.apply(&signs(op.dim(), &rng.stream("space").at(i as u64)))?;
        let before = norm(&v);
        basis.remove_from(&mut v);
        let length = norm(&v);
        // The remainder of a vector inside the subspace is rounding error.
        if length > (1e-10f64).max(4.0 * op.precision()) * before {
            v.iter_mut().for_each(|x| *x /= length);
            basis.push(&v);
        }
    }
    let mut exact = 0.0;
    for b in basis.vectors() {
        exact += dot(&b, &op.apply(&b)?);
    }
    let left = (products - third - basis.len()).max(2);
    let rest = |i: usize| {
        let mut z = signs(op.dim(), &rng.stream("rest").at(i as u64));
        basis.remove_from(&mut z);
        Ok(dot(&z, &op.apply(&z)?))
    };
    let values = (0..left).map(rest).collect::<Result<Vec<f64>>>()?;
    Ok(summary(&values, exact, third + basis.len() + left))
}

#[cfg(test)]
mod tests {
    use super::super::Matrix;
    use super::*;

    #[test]
    fn both_find_the_trace_and_one_of_them_sooner() {
        // A decaying spectrum in a basis rotated by reflections: 100 dimensions, trace 18.9.
        let d = 100;
        let v = Rng::new(0).normals(d);
        let n = dot(&v, &v);
        let values: Vec<f64> = (0..d).map(|i| 10.0 * 0.5f64.powi(i as i32) - 0.01).collect();
        let trace: f64 = values.iter().sum();
        let q = |i: usize, j: usize| f64::from(u8::from(i == j)) - 2.0 * v[i] * v[j] / n;
        let entry = |e: usize| (0..d).map(|k| q(e / d, k) * values[k] * q(k, e % d)).sum::<f64>();
        let h = Matrix::new((0..d * d).map(entry).collect(), d).unwrap();
        let off = |f: &dyn Fn(u64) -> TraceEstimate| {
            let (mut square, mut z): (f64, f64) = (0.0, 0.0);
            for seed in 0..40 {
                let t = f(seed);
                square += (t.value - trace).powi(2) / 40.0;
                z = z.max((t.value - trace).abs() / t.standard_error.max(1e-12));
            }
            (square.sqrt(), z)
        };
        let (plain, z) = off(&|s| hutchinson(&h, 30, &Rng::new(s)).unwrap());
        assert!(plain < 3.0 && z < 5.0, "{plain} {z}");
        let (better, _) = off(&|s| hutch_plus_plus(&h, 30, &Rng::new(s)).unwrap());
        assert!(better < 0.1 * plain, "{better} {plain}");
        assert!(hutchinson(&h, 1, &Rng::new(0)).is_err() && hutch_plus_plus(&h, 5, &Rng::new(0)).is_err());
        // All of a small space: exact.
        let two = Matrix::new(vec![1.0, 0.5, 0.5, 3.0], 2).unwrap();
        assert!((hutch_plus_plus(&two, 30, &Rng::new(1)).unwrap().value - 4.0).abs() < 1e-12);
    }
}

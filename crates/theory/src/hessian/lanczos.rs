//! The largest eigenvalues of a symmetric operator, by the Lanczos algorithm.

use super::basis::Basis;
use super::operator::Operator;
use crate::dense::{dot, eigen, norm};
use crate::{Error, Result};
use sconce_tensor_core::Rng;
use sconce_tensor_core::error::require;

/// Configuration of [`top_eigenpairs`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `count` | 5 | number of eigenpairs | >= 1 |
/// | `tolerance` | 1e-3 | largest residual `norm(H v - l v)`, relative to the largest eigenvalue | > 0 |
/// | `max_products` | 100 | maximum number of products | >= `count` |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LanczosConfig {
    /// Number of eigenpairs.
    pub count: usize,
    /// Largest relative residual.
    pub tolerance: f64,
    /// Maximum number of products.
    pub max_products: usize,
}

impl Default for LanczosConfig {
    fn default() -> Self {
        Self { count: 5, tolerance: 1e-3, max_products: 100 }
    }
}

/// An eigenvalue with its eigenvector.
#[derive(Clone, Debug, PartialEq)]
pub struct EigenPair {
    /// The eigenvalue.
    pub value: f64,
    /// The eigenvector, of norm 1.
    pub vector: Vec<f64>,
    /// `norm(H v - value v)` from the recurrence: there is an eigenvalue within this distance of `value`.
    pub residual: f64,
}

/// The Krylov space after some steps: the tridiagonal matrix and the basis.
pub(super) struct Krylov {
    pub(super) diagonal: Vec<f64>,
    /// The off-diagonal entries; the last one belongs to the residual.
    pub(super) off_diagonal: Vec<f64>,
    basis: Basis,
    next: Option<Vec<f64>>,
}

impl Krylov {
    /// Starts from a nonzero vector.
    pub(super) fn new(op: &dyn Operator, start: Vec<f64>) -> Result<Self> {
        let length = norm(&start);
        if !(length.is_finite() && length > 0.0) {
            return Err(Error::value("start", format!("must be a vector with finite norm > 0, its norm is {length}")));
        }
        let next = Some(start.into_iter().map(|v| v / length).collect());
        Ok(Self { diagonal: Vec::new(), off_diagonal: Vec::new(), basis: Basis::of(op), next })
    }

    /// One step with full reorthogonalisation; false if the space is exhausted.
    pub(super) fn step(&mut self, op: &dyn Operator) -> Result<bool> {
        let Some(v) = self.next.take() else { return Ok(false) };
        let mut w = op.apply(&v)?;
        if let Some(i) = w.iter().position(|x| !x.is_finite()) {
            return Err(Error::value("product", format!("{} at {i}", w[i])));
        }
        self.diagonal.push(dot(&v, &w));
        self.basis.push(&v);
        self.basis.remove_from(&mut w);
        let length = norm(&w);
        self.off_diagonal.push(length);
        let scale = self.diagonal.iter().chain(&self.off_diagonal).fold(0.0, |a: f64, v| a.max(v.abs()));
        // What is left of a vector inside the space is rounding error.
        if length > (1e-12f64).max(4.0 * op.precision()) * scale && self.basis.len() < op.dim() {
            w.iter_mut().for_each(|v| *v /= length);
            self.next = Some(w);
        }
        Ok(true)
    }

    /// Eigenvalues and eigenvectors of the tridiagonal matrix, in ascending order.
    pub(super) fn ritz(&self) -> Result<(Vec<f64>, Vec<Vec<f64>>)> {
        let m = self.diagonal.len();
        let mut t = vec![0.0; m * m];
        for i in 0..m {
            t[i * m + i] = self.diagonal[i];
            if i + 1 < m {
                t[i * m + i + 1] = self.off_diagonal[i];
                t[(i + 1) * m + i] = self.off_diagonal[i];
            }
        }
        eigen(&t, m)
    }

    fn steps(&self) -> usize {
        self.diagonal.len()
    }
}

/// The largest eigenvalues in descending order, by the Lanczos recurrence with full reorthogonalisation from a random start.
/// Each product keeps one vector in memory, in 32 bits where the products have no more ([`Operator::precision`]). If the operator has fewer than `count` dimensions, fewer pairs are returned.
///
/// ```
/// use sconce_tensor_core::Rng;
/// use sconce_theory::hessian::{LanczosConfig, Matrix, top_eigenpairs};
/// let h = Matrix::new(vec![2.0, 1.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, -5.0], 3)?;
/// let pairs = top_eigenpairs(&h, &LanczosConfig { count: 1, ..Default::default() }, &Rng::new(0))?;
/// assert!((pairs[0].value - 3.0).abs() < 1e-9);
/// # Ok::<(), sconce_theory::Error>(())
/// ```
///
/// # Errors
/// A configuration out of range; those of the operator; [`Error::Value`] with the residuals if `max_products` were not enough.
pub fn top_eigenpairs(op: &dyn Operator, cfg: &LanczosConfig, rng: &Rng) -> Result<Vec<EigenPair>> {
    require("LanczosConfig.count", cfg.count >= 1, "at least 1", cfg.count)?;
    require("LanczosConfig.tolerance", cfg.tolerance > 0.0, "> 0", cfg.tolerance)?;
    require("LanczosConfig.max_products", cfg.max_products >= cfg.count, "at least `count`", cfg.max_products)?;
    let mut k = Krylov::new(op, rng.stream("lanczos").normals(op.dim()))?;
    loop {
        let more = k.steps() < cfg.max_products && k.step(op)?;
        let (values, vectors) = k.ritz()?;
        let m = k.steps();
        // If the space is exhausted, the pairs are exact.
        let last = if k.next.is_none() { 0.0 } else { k.off_diagonal[m - 1] };
        let count = cfg.count.min(m);
        let residuals: Vec<f64> = (0..count).map(|i| last * vectors[m - 1 - i][m - 1].abs()).collect();
        let scale = values.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
        let enough = residuals.iter().all(|r| *r <= cfg.tolerance * scale) && (count == cfg.count || k.next.is_none());
        if enough {
            let pair = |i: usize| {
                let vector = k.basis.combination(&vectors[m - 1 - i], op.dim());
                EigenPair { value: values[m - 1 - i], vector, residual: residuals[i] }
            };
            return Ok((0..count).map(pair).collect());
        }
        if !more {
            let reason = format!(
                "{m} products were not enough: the residuals are {residuals:?}, the largest eigenvalue {scale:e}"
            );
            return Err(Error::value("eigenvalues", reason));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Matrix;
    use super::*;

    /// A random symmetric matrix with known eigenvalues: Q diag Q^T with Q a product of reflections.
    pub(crate) fn with_spectrum(values: &[f64], seed: u64) -> Matrix {
        let d = values.len();
        let mut h: Vec<f64> = (0..d * d).map(|e| if e / d == e % d { values[e / d] } else { 0.0 }).collect();
        for r in 0..4 {
            let v = Rng::new(seed).at(r).normals(d);
            let n = dot(&v, &v);
            // (I - 2 v v^T / n) h (I - 2 v v^T / n)
            for _ in 0..2 {
                let hv: Vec<f64> = (0..d).map(|i| (0..d).map(|j| v[j] * h[j * d + i]).sum::<f64>()).collect();
                let mut t = vec![0.0; d * d];
                (0..d * d).for_each(|e| t[(e % d) * d + e / d] = h[e] - 2.0 * v[e / d] * hv[e % d] / n);
                h = t;
            }
        }
        Matrix::new(h, d).unwrap()
    }

    #[test]
    fn pairs_are_pairs() {
        let values: Vec<f64> =
            (0..60).map(|i| if i < 3 { 10.0 - f64::from(i) } else { (f64::from(i) / 60.0) - 0.8 }).collect();
        let h = with_spectrum(&values, 1);
        let cfg = LanczosConfig { count: 4, tolerance: 1e-10, ..Default::default() };
        let pairs = top_eigenpairs(&h, &cfg, &Rng::new(2)).unwrap();
        for (p, want) in pairs.iter().zip([10.0, 9.0, 8.0, 59.0 / 60.0 - 0.8]) {
            assert!((p.value - want).abs() < 1e-8, "{} {want}", p.value);
            let hv = h.apply(&p.vector).unwrap();
            let off = norm(&hv.iter().zip(&p.vector).map(|(a, v)| a - p.value * v).collect::<Vec<_>>());
            assert!(off < 1e-8 && (norm(&p.vector) - 1.0).abs() < 1e-10);
        }
        // Fewer dimensions than requested pairs.
        let two = Matrix::new(vec![1.0, 0.0, 0.0, 3.0], 2).unwrap();
        let pairs = top_eigenpairs(&two, &LanczosConfig::default(), &Rng::new(0)).unwrap();
        assert_eq!(pairs.len(), 2);
        assert!((pairs[0].value - 3.0).abs() < 1e-12 && (pairs[1].value - 1.0).abs() < 1e-12);
        let few = LanczosConfig { count: 4, tolerance: 1e-12, max_products: 5 };
        assert!(top_eigenpairs(&h, &few, &Rng::new(0)).unwrap_err().to_string().contains("5 products were not enough"));
        assert!(top_eigenpairs(&h, &LanczosConfig { count: 0, ..cfg }, &Rng::new(0)).is_err());
    }

    #[test]
    fn a_product_that_is_no_number_is_named() {
        struct Broken;
        impl Operator for Broken {
            fn dim(&self) -> usize {
                3
            }
            fn apply(&self, _: &[f64]) -> Result<Vec<f64>> {
                Ok(vec![0.0, f64::NAN, 0.0])
            }
        }
        assert!(
            top_eigenpairs(&Broken, &LanczosConfig::default(), &Rng::new(0))
                .unwrap_err()
                .to_string()
                .contains("NaN at 1")
        );
    }
}

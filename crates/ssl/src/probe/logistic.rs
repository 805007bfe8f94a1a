//! Multinomial logistic regression with an L2 penalty, and the products of features that linear probes share.

use super::lbfgs::{self, Minimum, Objective, Stop};
use faer::linalg::solvers::{Llt, Solve};
use sconce_tensor_core::candle_core::{Device, Tensor};
use sconce_tensor_core::{Error, Result, ops};

/// Standardised features (N, D) with their classes, and `X' X / N`.
pub(super) struct Design {
    pub(super) x: Tensor,
    pub(super) y: Vec<u32>,
    pub(super) classes: usize,
    gram: Vec<f64>,
}

/// Weights (K, D), then biases (K,), in one vector.
pub(super) type Flat = Vec<f64>;

impl Design {
    pub(super) fn new(x: Tensor, y: Vec<u32>, classes: usize) -> Result<Self> {
        let gram = ops::matmul(&x.t()?.contiguous()?, &x)?.flatten_all()?.to_vec1::<f64>()?;
        let n = y.len() as f64;
        Ok(Self { x, y, classes, gram: gram.into_iter().map(|v| v / n).collect() })
    }

    /// How many examples and features.
    pub(super) fn dims(&self) -> Result<(usize, usize)> {
        Ok(self.x.dims2()?)
    }

    /// The Cholesky factor of `factor X' X / N + ridge I`.
    pub(super) fn factor(&self, factor: f64, ridge: f64) -> Result<Llt<f64>> {
        let d = self.dims()?.1;
        let entry = |i: usize, j: usize| factor * self.gram[i * d + j] + if i == j { ridge } else { 0.0 };
        let factor = faer::Mat::from_fn(d, d, entry).llt(faer::Side::Lower);
        factor.map_err(|e| {
            Error::value("linear probe", format!("covariance of the features: {e:?}; use a larger strength"))
        })
    }

    /// `R' X` for `R'` (K, N), as one vector.
    pub(super) fn transposed_product(&self, r: Vec<f64>) -> Result<Vec<f64>> {
        let r = Tensor::from_vec(r, (self.classes, self.y.len()), &Device::Cpu)?;
        Ok(ops::matmul(&r, &self.x)?.flatten_all()?.to_vec1()?)
    }
}

/// Solves for each class: the inverse of a factored matrix (D, D) times the rows of `v` (K, D).
pub(super) fn solve(factor: &Llt<f64>, v: &[f64], d: usize) -> Vec<f64> {
    // The rows of a matrix, one after the other, are the columns of its transpose.
    let solved = factor.solve(faer::MatRef::from_column_major_slice(v, d, v.len() / d));
    (0..v.len()).map(|i| solved[(i % d, i / d)]).collect()
}

/// `mean_i -log softmax(W x_i + b)[y_i] + strength / 2 |W|^2`.
struct Logistic<'a> {
    design: &'a Design,
    strength: f64,
    factor: Llt<f64>,
}

impl Objective for Logistic<'_> {
    fn at(&self, at: &[f64]) -> Result<(f64, Vec<f64>)> {
        let (design, k) = (self.design, self.design.classes);
        let (n, d) = design.dims()?;
        let (weight, bias) = at.split_at(k * d);
        let place = |v: &[f64], shape: &[usize]| Tensor::from_slice(v, shape, &Device::Cpu);
        let logits = ops::linear(&design.x, &place(weight, &[k, d])?, Some(&place(bias, &[k])?))?;
        let logits = logits.flatten_all()?.to_vec1::<f64>()?;
        let (mut loss, mut residual) = (0.0, vec![0.0; k * n]);
        for (i, (z, y)) in logits.chunks_exact(k).zip(&design.y).enumerate() {
            let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = z.iter().map(|z| (z - largest).exp()).sum();
            loss += sum.ln() + largest - z[*y as usize];
            for (c, z) in z.iter().enumerate() {
                let hit = f64::from(u8::from(c == *y as usize));
                residual[c * n + i] = ((z - largest).exp() / sum - hit) / n as f64;
            }
        }
        let biases: Vec<f64> = residual.chunks_exact(n).map(|r| r.iter().sum()).collect();
        let mut gradient = design.transposed_product(residual)?;
        gradient.iter_mut().zip(weight).for_each(|(g, w)| *g += self.strength * w);
        gradient.extend(biases);
        let penalty = 0.5 * self.strength * weight.iter().map(|w| w * w).sum::<f64>();
        Ok((loss / n as f64 + penalty, gradient))
    }

    /// The inverse Hessian at `W = 0`, on vectors whose classes sum to 0, as gradients do: `(X' X / (N K) + strength)^-1` for the
    /// weights of a class and K for its bias.
    fn precondition(&self, v: &[f64]) -> Result<Vec<f64>> {
        let (k, d) = (self.design.classes, self.design.dims()?.1);
        let mut out = solve(&self.factor, &v[..k * d], d);
        out.extend(v[k * d..].iter().map(|b| b * k as f64));
        Ok(out)
    }
}

/// The minimiser, from `start` on. It is unique up to a constant on all biases, which stays as it is in `start`.
pub(super) fn minimise(design: &Design, strength: f64, start: Flat, stop: Stop) -> Result<Minimum> {
    let factor = design.factor(1.0 / design.classes as f64, strength)?;
    lbfgs::minimise(&Logistic { design, strength, factor }, start, stop)
}

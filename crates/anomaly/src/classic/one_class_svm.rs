//! The one-class support vector machine.

use super::{column, matrix, score_rows};
use crate::rows::Rows;
use crate::{Detector, Error, Loaded, Method, Result, State, TrainingRows};
use candle_core::Tensor;
use rayon::prelude::*;
use sconce_tensor_core::{Rng, error::require};
use serde::{Deserialize, Serialize};

/// Configuration of [`OneClassSvm`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `nu` | 0.5 | upper bound on the share of training examples outside the boundary, lower bound on the share of support vectors | (0, 1] |
/// | `gamma` | none | width of the kernel `exp(-gamma norm(a - b)^2)`; by default 1 / (number of features * variance of all values) | > 0 |
/// | `tolerance` | 1e-6 | largest violation of the optimality conditions | > 0 |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneClassSvmConfig {
    /// Share of training examples outside the boundary.
    pub nu: f64,
    /// Width of the kernel.
    pub gamma: Option<f64>,
    /// Largest violation of the optimality conditions.
    pub tolerance: f64,
}

impl Default for OneClassSvmConfig {
    fn default() -> Self {
        Self { nu: 0.5, gamma: None, tolerance: 1e-6 }
    }
}

/// A boundary around a share `1 - nu` of the training examples in the feature space of a Gaussian kernel. Sequential minimal
/// optimisation minimises `a^T K a / 2` subject to `0 <= a_i <= 1`, `sum a = nu n`. The score is `rho - sum a_i k(x_i, x)`,
/// which is positive outside the boundary.
///
/// The kernel matrix is held in memory: `8 n^2` bytes, which is 800 MB for 10,000 training examples, the maximum number.
///
/// Source: Schoelkopf, Platt, Shawe-Taylor, Smola, Williamson (2001), Neural Computation 13; Fan, Chen, Lin (2005), JMLR 6, for
/// the selection of pairs.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneClassSvm {
    cfg: OneClassSvmConfig,
}

/// The maximum number of training examples.
const MOST: usize = 10_000;

impl OneClassSvm {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: OneClassSvmConfig) -> Result<Self> {
        let OneClassSvmConfig { nu, gamma, tolerance } = cfg;
        require("OneClassSvmConfig.nu", nu > 0.0 && nu <= 1.0, "in (0, 1]", nu)?;
        let g = gamma.unwrap_or(1.0);
        require("OneClassSvmConfig.gamma", g.is_finite() && g > 0.0, "finite and > 0", g)?;
        let good = tolerance.is_finite() && tolerance > 0.0;
        require("OneClassSvmConfig.tolerance", good, "finite and > 0", tolerance)?;
        Ok(Self { cfg })
    }
}

#[derive(Debug)]
struct Fitted {
    values: Values,
    /// The support vectors.
    support: Rows,
    weights: Vec<f64>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Values {
    cfg: OneClassSvmConfig,
    gamma: f64,
    rho: f64,
    width: usize,
}

fn kernel(gamma: f64, a: &[f64], b: &[f64]) -> f64 {
    (-gamma * a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>()).exp()
}

/// The weights and rho.
fn solve(k: &[f64], n: usize, cfg: &OneClassSvmConfig) -> Result<(Vec<f64>, f64)> {
    // The starting point of libsvm: the first nu n weights are at their upper bound.
    let total = cfg.nu * n as f64;
    let mut a: Vec<f64> = (0..n).map(|i| (total - i as f64).clamp(0.0, 1.0)).collect();
    let mut g: Vec<f64> =
        (0..n).into_par_iter().map(|i| k[i * n..][..n].iter().zip(&a).map(|(k, a)| k * a).sum()).collect();
    let most = 100 * n.max(1_000);
    for _ in 0..most {
        // The weight with the steepest ascent, and among those that can decrease the one with the largest gain from the pair.
        let Some(i) = (0..n).filter(|i| a[*i] < 1.0).min_by(|i, j| g[*i].total_cmp(&g[*j])) else { break };
        let row = &k[i * n..][..n];
        let gain = |j: usize| (g[j] - g[i]).powi(2) / (row[i] + k[j * n + j] - 2.0 * row[j]).max(1e-12);
        let falling = (0..n).filter(|j| a[*j] > 0.0 && g[*j] > g[i]);
        let worst = falling.clone().map(|j| g[j] - g[i]).fold(0.0, f64::max);
        if worst < cfg.tolerance {
            let rho = rho_of(&a, &g);
            return Ok((a, rho));
        }
        let Some(j) = falling.max_by(|p, q| gain(*p).total_cmp(&gain(*q))) else { break };
        let curve = (row[i] + k[j * n + j] - 2.0 * row[j]).max(1e-12);
        let step = ((g[j] - g[i]) / curve).min(1.0 - a[i]).min(a[j]);
        // Set exactly to the bound where it is reached, so that it is reached once.
        a[i] = if step == 1.0 - a[i] { 1.0 } else { a[i] + step };
        a[j] = if step == a[j] { 0.0 } else { a[j] - step };
        let other = &k[j * n..][..n];
        g.iter_mut().zip(row.iter().zip(other)).for_each(|(g, (p, q))| *g += step * (p - q));
    }
    if a.iter().all(|a| *a >= 1.0) {
        return Ok((a.clone(), rho_of(&a, &g)));
    }
    Err(Error::value("one-class SVM", format!("no convergence in {most} steps: set a larger tolerance")))
}

/// The mean gradient over the weights strictly between their bounds; without any such weight, the midpoint of the feasible
/// range.
fn rho_of(a: &[f64], g: &[f64]) -> f64 {
    let free: Vec<f64> = a.iter().zip(g).filter(|(a, _)| **a > 0.0 && **a < 1.0).map(|(_, g)| *g).collect();
    if !free.is_empty() {
        return free.iter().sum::<f64>() / free.len() as f64;
    }
    let at = |bound: f64| a.iter().zip(g).filter(move |(a, _)| **a == bound).map(|(_, g)| *g);
    let (lo, hi) = (at(1.0).fold(f64::NEG_INFINITY, f64::max), at(0.0).fold(f64::INFINITY, f64::min));
    if hi.is_finite() { 0.5 * (lo + hi) } else { lo }
}

impl Method for OneClassSvm {
    fn fit(&self, train: &TrainingRows<'_>, _: &Rng) -> Result<Box<dyn Detector>> {
        let rows = Rows::of(&train.normals()?)?;
        let (n, width) = (rows.len(), rows.width());
        require("one-class SVM training examples", n <= MOST, &format!("at most {MOST}"), n)?;
        let gamma = self.cfg.gamma.unwrap_or_else(|| {
            let all = rows.values();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let variance = all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / all.len() as f64;
            // The default of scikit-learn if all values are the same.
            if variance > 0.0 { 1.0 / (width as f64 * variance) } else { 1.0 }
        });
        let k: Vec<f64> = (0..n * n).into_par_iter().map(|i| kernel(gamma, rows.row(i / n), rows.row(i % n))).collect();
        let (a, rho) = solve(&k, n, &self.cfg)?;
        let of: Vec<usize> = (0..n).filter(|i| a[*i] > 0.0).collect();
        let support = Rows::new(of.iter().flat_map(|i| rows.row(*i).to_vec()).collect(), width)?;
        let weights = of.iter().map(|i| a[*i]).collect();
        Ok(Box::new(Fitted { values: Values { cfg: self.cfg, gamma, rho, width }, support, weights }))
    }
}

pub(crate) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    let values: Values = from.values()?;
    let support = Rows::new(from.numbers("support")?, values.width)?;
    let weights = from.numbers("weights")?;
    if weights.len() != support.len() {
        return Err(Error::value("detector", "the numbers of support vectors and weights do not match"));
    }
    Ok(Box::new(Fitted { values, support, weights }))
}

impl Detector for Fitted {
    fn name(&self) -> &'static str {
        "one-class-svm"
    }

    fn features(&self) -> usize {
        self.values.width
    }

    fn score(&self, x: &Tensor) -> Result<Tensor> {
        let Values { gamma, rho, width, .. } = self.values;
        score_rows(x, width, |row| {
            let near: f64 = self.support.iter().zip(&self.weights).map(|(s, a)| a * kernel(gamma, s, row)).sum();
            rho - near
        })
    }

    fn state(&self) -> Result<State> {
        let support = matrix(self.support.values(), self.values.width)?;
        State::new(&self.values, vec![("support", support), ("weights", column(self.weights.clone())?)])
    }
}

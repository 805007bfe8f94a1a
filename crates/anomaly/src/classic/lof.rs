//! LOF: local outlier factors.

use super::nearest::{nearest, require_neighbours};
use super::{column, matrix, score_rows};
use crate::rows::Rows;
use crate::{Detector, Error, Loaded, Method, Result, State, TrainingRows};
use candle_core::Tensor;
use rayon::prelude::*;
use sconce_tensor_core::{Rng, error::require};
use serde::{Deserialize, Serialize};

/// Configuration of [`Lof`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `neighbours` | 20 | k, the number of neighbours | >= 1, below the number of training examples |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LofConfig {
    /// k, the number of neighbours.
    pub neighbours: usize,
}

impl Default for LofConfig {
    fn default() -> Self {
        Self { neighbours: 20 }
    }
}

/// The local outlier factor compares the density around an example with the density around its neighbours: the score is the
/// mean of `lrd(o) / lrd(x)` over the k nearest training examples o, where `1 / lrd(x)` is the mean of
/// `max(d(x, o), k-distance(o))`. It is about 1 inside a cluster.
///
/// A training example is scored like a new one, so that it is one of its own neighbours.
///
/// Source: Breunig, Kriegel, Ng, Sander (2000), SIGMOD.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lof {
    cfg: LofConfig,
}

impl Lof {
    /// Validates the configuration.
    ///
    /// # Errors
    /// No neighbours.
    pub fn new(cfg: LofConfig) -> Result<Self> {
        require("LofConfig.neighbours", cfg.neighbours >= 1, "at least 1", cfg.neighbours)?;
        Ok(Self { cfg })
    }
}

#[derive(Debug)]
struct Fitted {
    cfg: LofConfig,
    rows: Rows,
    /// The distance of each training example to its k-th neighbour.
    reach: Vec<f64>,
    /// The local reachability density of each training example.
    density: Vec<f64>,
}

/// `1 / mean max(d, reach)`, kept finite among duplicates as scikit-learn does.
fn density(found: &[(f64, usize)], reach: &[f64]) -> f64 {
    let mean = found.iter().map(|(d, i)| d.sqrt().max(reach[*i])).sum::<f64>() / found.len() as f64;
    1.0 / (mean + 1e-10)
}

impl Method for Lof {
    fn fit(&self, train: &TrainingRows<'_>, _: &Rng) -> Result<Box<dyn Detector>> {
        let rows = Rows::of(&train.normals()?)?;
        let k = self.cfg.neighbours;
        require_neighbours("LofConfig.neighbours", k, &rows)?;
        let all: Vec<Vec<(f64, usize)>> =
            (0..rows.len()).into_par_iter().map(|i| nearest(&rows, rows.row(i), k, Some(i))).collect();
        let reach: Vec<f64> = all.iter().map(|f| f[k - 1].0.sqrt()).collect();
        let density = all.iter().map(|f| density(f, &reach)).collect();
        Ok(Box::new(Fitted { cfg: self.cfg, rows, reach, density }))
    }
}

pub(crate) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    let (cfg, width): (LofConfig, usize) = from.values()?;
    let Lof { cfg } = Lof::new(cfg)?;
    let rows = Rows::new(from.numbers("rows")?, width)?;
    require_neighbours("LofConfig.neighbours", cfg.neighbours, &rows)?;
    let (reach, density) = (from.numbers("reach")?, from.numbers("density")?);
    if reach.len() != rows.len() || density.len() != rows.len() {
        return Err(Error::value("detector", "the sizes of `rows`, `reach` and `density` do not match"));
    }
    Ok(Box::new(Fitted { cfg, rows, reach, density }))
}

impl Detector for Fitted {
    fn name(&self) -> &'static str {
        "lof"
    }

    fn features(&self) -> usize {
        self.rows.width()
    }

    fn score(&self, x: &Tensor) -> Result<Tensor> {
        score_rows(x, self.rows.width(), |row| {
            let found = nearest(&self.rows, row, self.cfg.neighbours, None);
            let around = found.iter().map(|(_, i)| self.density[*i]).sum::<f64>() / found.len() as f64;
            around / density(&found, &self.reach)
        })
    }

    fn state(&self) -> Result<State> {
        let tensors = vec![
            ("rows", matrix(self.rows.values(), self.rows.width())?),
            ("reach", column(self.reach.clone())?),
            ("density", column(self.density.clone())?),
        ];
        State::new(&(self.cfg, self.rows.width()), tensors)
    }
}

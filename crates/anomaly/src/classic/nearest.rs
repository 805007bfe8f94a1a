//! k nearest neighbours: distances to training examples.

use super::{matrix, score_rows};
use crate::rows::Rows;
use crate::{Detector, Loaded, Method, Result, State, TrainingRows};
use candle_core::Tensor;
use sconce_tensor_core::{Rng, error::require};
use serde::{Deserialize, Serialize};

/// How the k distances give the score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KnnScore {
    /// The largest distance, that to the k-th neighbour.
    #[default]
    Largest,
    /// The mean distance.
    Mean,
    /// The median distance.
    Median,
}

/// Configuration of [`Knn`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `neighbours` | 5 | k, the number of neighbours | >= 1, below the number of training examples |
/// | `score` | largest | how the k Euclidean distances give the score | |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnnConfig {
    /// k, the number of neighbours.
    pub neighbours: usize,
    /// How the distances give the score.
    pub score: KnnScore,
}

impl Default for KnnConfig {
    fn default() -> Self {
        Self { neighbours: 5, score: KnnScore::Largest }
    }
}

/// The score is the distance to the k-th nearest training example. A training example counts as its own neighbour at distance
/// 0.
///
/// Every distance is computed (brute force): `8 N M D` bytes are read, and nothing of that size is stored.
///
/// Source: Ramaswamy, Rastogi, Shim (2000), SIGMOD, for the largest; Angiulli and Pizzuti (2002) for the mean.
#[derive(Clone, Copy, Debug, Default)]
pub struct Knn {
    cfg: KnnConfig,
}

impl Knn {
    /// Validates the configuration.
    ///
    /// # Errors
    /// No neighbours.
    pub fn new(cfg: KnnConfig) -> Result<Self> {
        require("KnnConfig.neighbours", cfg.neighbours >= 1, "at least 1", cfg.neighbours)?;
        Ok(Self { cfg })
    }
}

/// (squared distance, index) of the `k` nearest of `rows` to a point, the nearest first; ties are ordered by index. `without`
/// excludes one row.
pub(super) fn nearest(rows: &Rows, point: &[f64], k: usize, without: Option<usize>) -> Vec<(f64, usize)> {
    let mut found: Vec<(f64, usize)> = Vec::with_capacity(k + 1);
    for (i, row) in rows.iter().enumerate() {
        if without == Some(i) {
            continue;
        }
        let d: f64 = row.iter().zip(point).map(|(a, b)| (a - b) * (a - b)).sum();
        if found.len() < k || found.last().is_some_and(|l| d < l.0) {
            let at = found.partition_point(|f| f.0 <= d);
            found.insert(at, (d, i));
            found.truncate(k);
        }
    }
    found
}

/// Checks that there are enough training examples.
pub(super) fn require_neighbours(field: &'static str, k: usize, rows: &Rows) -> Result<()> {
    require(field, k < rows.len(), &format!("below the {} training examples", rows.len()), k)
}

#[derive(Debug)]
struct Fitted {
    cfg: KnnConfig,
    rows: Rows,
}

impl Method for Knn {
    fn fit(&self, train: &TrainingRows<'_>, _: &Rng) -> Result<Box<dyn Detector>> {
        let rows = Rows::of(&train.normals()?)?;
        require_neighbours("KnnConfig.neighbours", self.cfg.neighbours, &rows)?;
        Ok(Box::new(Fitted { cfg: self.cfg, rows }))
    }
}

pub(crate) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    let (cfg, width): (KnnConfig, usize) = from.values()?;
    let Knn { cfg } = Knn::new(cfg)?;
    let rows = Rows::new(from.numbers("rows")?, width)?;
    require_neighbours("KnnConfig.neighbours", cfg.neighbours, &rows)?;
    Ok(Box::new(Fitted { cfg, rows }))
}

impl Detector for Fitted {
    fn name(&self) -> &'static str {
        "knn"
    }

    fn features(&self) -> usize {
        self.rows.width()
    }

    fn score(&self, x: &Tensor) -> Result<Tensor> {
        let KnnConfig { neighbours: k, score } = self.cfg;
        score_rows(x, self.rows.width(), |row| {
            let d: Vec<f64> = nearest(&self.rows, row, k, None).into_iter().map(|d| d.0.sqrt()).collect();
            match score {
                KnnScore::Largest => d[k - 1],
                KnnScore::Mean => d.iter().sum::<f64>() / k as f64,
                KnnScore::Median => 0.5 * (d[(k - 1) / 2] + d[k / 2]),
            }
        })
    }

    fn state(&self) -> Result<State> {
        let rows = matrix(self.rows.values(), self.rows.width())?;
        State::new(&(self.cfg, self.rows.width()), vec![("rows", rows)])
    }
}

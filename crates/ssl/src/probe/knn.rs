//! The weighted nearest-neighbour probe.

use super::head::{Standardizer, agreement, largest, rows};
use rayon::prelude::*;
use sconce_tensor_core::candle_core::{Device, Tensor};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::error::require;
use sconce_tensor_core::stats::Proportion;
use sconce_tensor_core::{Error, Result, ops};

/// Configuration of [`Knn`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `k` | 20 | number of neighbours | >= 1 |
/// | `temperature` | 0.1 | t in the weight `exp(cos / t)` of a neighbour | > 0 |
/// | `standardize` | true | subtract the training mean of each feature and divide by its standard deviation | |
///
/// Numbers with other values of these are not comparable; the defaults of libraries differ and have changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnnConfig {
    /// Number of neighbours.
    pub k: usize,
    /// Temperature of the weights.
    pub temperature: f64,
    /// Whether features are standardised first.
    pub standardize: bool,
}

impl Default for KnnConfig {
    fn default() -> Self {
        Self { k: 20, temperature: 0.1, standardize: true }
    }
}

/// Classification by the k training examples of largest cosine similarity. The vote of a class is the sum of `exp(cos / t)` over those
/// of the k that have its label. The larger index counts as farther at equal similarity, and the smaller class wins at equal votes. A
/// feature vector of zeros has similarity 0 to all.
///
/// Source: Wu, Xiong, Yu, Lin, "Unsupervised feature learning via non-parametric instance discrimination" (CVPR 2018), section 3.4.
#[derive(Clone, Copy, Debug)]
pub struct Knn(KnnConfig);

/// The accuracy of a [`Knn`] with the settings that it holds for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnnResult {
    /// Examples classified as labelled.
    pub accuracy: Proportion,
    /// The settings.
    pub config: KnnConfig,
}

/// Query rows whose similarities are held at a time.
const BLOCK: usize = 256;

impl Knn {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: KnnConfig) -> Result<Self> {
        require("KnnConfig.k", cfg.k >= 1, "at least 1", cfg.k)?;
        let t = cfg.temperature;
        require("KnnConfig.temperature", t > 0.0 && t.is_finite(), "finite and > 0", t)?;
        Ok(Self(cfg))
    }

    /// The share of the votes that each class gets, in f64 on the host.
    ///
    /// # Shapes
    /// Features (B, ...) of `train` and (N, ...) of `queries`, equally many each -> (N, K).
    ///
    /// # Errors
    /// More neighbours than training examples; another number of features.
    pub fn votes(&self, train: &Labelled, queries: &Tensor) -> Result<Tensor> {
        let KnnConfig { k, temperature, standardize } = self.0;
        require("KnnConfig.k", k <= train.len(), &format!("at most the {} training examples", train.len()), k)?;
        let (mut bank, mut queries) = (rows(train.x())?, rows(queries)?);
        let (d, got) = (bank.dim(1)?, queries.dims().to_vec());
        if got[1] != d {
            return Err(Error::shape("queries", format!("(N, {d}), as the training features"), &got));
        }
        if standardize {
            let by = Standardizer::fit(&bank)?;
            (bank, queries) = (by.apply(&bank)?, by.apply(&queries)?);
        }
        let (bank, queries) = (unit(&bank)?, unit(&queries)?);
        let (labels, classes) = (train.labels()?, train.classes());
        let mut votes = Vec::with_capacity(got[0] * classes);
        for at in (0..got[0]).step_by(BLOCK) {
            let part = queries.narrow(0, at, BLOCK.min(got[0] - at))?;
            let cosines = ops::linear(&part, &bank, None)?.to_vec2::<f64>()?;
            let of_row = |row: &Vec<f64>| shares(row, &labels, classes, k, temperature);
            votes.extend(cosines.par_iter().map(of_row).collect::<Vec<_>>().concat());
        }
        Ok(Tensor::from_vec(votes, (got[0], classes), &Device::Cpu)?)
    }

    /// The class of the most votes for each query.
    ///
    /// # Errors
    /// As [`Knn::votes`].
    pub fn predict(&self, train: &Labelled, queries: &Tensor) -> Result<Vec<u32>> {
        Ok(self.votes(train, queries)?.to_vec2::<f64>()?.iter().map(|row| largest(row)).collect())
    }

    /// How many test examples are classified as labelled.
    ///
    /// # Errors
    /// As [`Knn::votes`].
    pub fn evaluate(&self, train: &Labelled, test: &Labelled) -> Result<KnnResult> {
        Ok(KnnResult { accuracy: agreement(&self.predict(train, test.x())?, test)?, config: self.0 })
    }
}

/// Rows divided by their Euclidean norms; rows of zeros stay.
fn unit(rows: &Tensor) -> Result<Tensor> {
    let norms = rows.sqr()?.sum_keepdim(1)?.sqrt()?;
    let inverse: Vec<f64> = norms.flatten_all()?.to_vec1::<f64>()?;
    let inverse = inverse.into_iter().map(|n| if n > 0.0 { 1.0 / n } else { 0.0 });
    Ok(rows.broadcast_mul(&Tensor::from_iter(inverse, &Device::Cpu)?.unsqueeze(1)?)?)
}

/// The shares of the classes for one query.
fn shares(cosines: &[f64], labels: &[u32], classes: usize, k: usize, temperature: f64) -> Vec<f64> {
    let nearer = |a: &usize, b: &usize| cosines[*b].total_cmp(&cosines[*a]).then(a.cmp(b));
    let mut order: Vec<usize> = (0..cosines.len()).collect();
    if k < order.len() {
        order.select_nth_unstable_by(k, nearer);
        order.truncate(k);
    }
    order.sort_unstable_by(nearer);
    // Relative to the nearest, so that no weight overflows.
    let nearest = cosines[order[0]];
    let mut votes = vec![0.0; classes];
    order.iter().for_each(|i| votes[labels[*i] as usize] += ((cosines[*i] - nearest) / temperature).exp());
    let all: f64 = votes.iter().sum();
    votes.into_iter().map(|v| v / all).collect()
}

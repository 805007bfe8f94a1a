//! The inception score of logits.

use super::blocks::elements;
use super::features::Features;
use super::provenance::{Context, Generated, Score};
use crate::Result;
use sconce_tensor_core::Rng;
use sconce_tensor_core::error::require;
use serde::{Deserialize, Serialize};

/// Configuration of [`inception_score`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `splits` | 10 | parts of which the score is computed | 1 to the number of images |
/// | `shuffle` | true | permute the images first: images that are in the order of their classes would lower the score | |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InceptionScoreConfig {
    /// Parts of which the score is computed.
    pub splits: usize,
    /// Permute the images first.
    pub shuffle: bool,
}

impl Default for InceptionScoreConfig {
    fn default() -> Self {
        Self { splits: 10, shuffle: true }
    }
}

/// An inception score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InceptionScore {
    /// The mean over the splits, from 1 to the number of classes.
    pub mean: f64,
    /// The standard deviation over the splits, with the divisor of the number of splits as in other libraries. It is not a
    /// standard error.
    pub std: f64,
    /// The score of each split.
    pub splits: Vec<f64>,
}

/// `exp(mean_x KL(p(y|x) || mean_x p(y|x)))` of each split, where p is the softmax of the logits of generated images.
///
/// It is biased by the number of images in a split: a split of one image scores 1. It compares with no real images. `rng` draws
/// the order if `config.shuffle`.
///
/// Source: Salimans et al. (2016), arXiv:1606.03498, section 4.
///
/// # Errors
/// No splits, or more splits than images.
pub fn inception_score(
    Generated(logits): Generated<&Features>,
    config: &InceptionScoreConfig,
    rng: &Rng,
) -> Result<Score<InceptionScore>> {
    let (n, classes, splits) = (logits.len(), logits.width(), config.splits);
    require("InceptionScoreConfig.splits", (1..=n).contains(&splits), &format!("1 to the {n} images"), splits)?;
    let order = if config.shuffle { rng.stream("inception score").permutation(n) } else { (0..n).collect() };
    let scores = elements(&logits.block(0, n)?, |rows| {
        let part = |s: usize| {
            let part = order[s * n / splits..(s + 1) * n / splits].iter();
            score(part.map(|i| &rows[i * classes..(i + 1) * classes]), classes)
        };
        (0..splits).map(part).collect::<Vec<f64>>()
    })?;
    let mean = scores.iter().sum::<f64>() / splits as f64;
    let variance = scores.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / splits as f64;
    let source = logits.source();
    let context = Context {
        extractor: source.extractor.clone(),
        resize: source.resize.clone(),
        real: None,
        generated: Some(logits.side().sample()),
    };
    Ok(Score { value: InceptionScore { mean, std: variance.sqrt(), splits: scores }, context })
}

/// The score of some rows of logits: `exp(H(mean p) - mean H(p))`.
fn score<'a>(rows: impl Iterator<Item = &'a [f64]>, classes: usize) -> f64 {
    let (mut mean, mut negative_entropy, mut n) = (vec![0f64; classes], 0.0, 0.0);
    for row in rows {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = row.iter().map(|z| (z - largest).exp()).sum::<f64>().ln() + largest;
        for (mean, z) in mean.iter_mut().zip(row) {
            let log_p = z - log_sum;
            *mean += log_p.exp();
            negative_entropy += log_p.exp() * log_p;
        }
        n += 1.0;
    }
    let entropy: f64 = mean.iter().map(|p| p / n).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum();
    (entropy + negative_entropy / n).exp()
}

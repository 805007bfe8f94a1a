//! HBOS: histograms.

use super::{matrix, part_rows, score_rows};
use crate::rows::Rows;
use crate::{Detector, Error, Loaded, Method, Result, State, TrainingRows};
use candle_core::Tensor;
use sconce_tensor_core::{Rng, error::require};
use serde::{Deserialize, Serialize};

/// Configuration of [`Hbos`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `bins` | 10 | number of bins of equal width, for each feature | >= 1 |
/// | `alpha` | 0.1 | added to each density | > 0 |
/// | `tolerance` | 0.5 | a value outside the bins by at most this share of a bin width counts as inside | in [0, 1] |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HbosConfig {
    /// Bins per feature.
    pub bins: usize,
    /// Added to each density.
    pub alpha: f64,
    /// How far outside a value still counts as inside, in bin widths.
    pub tolerance: f64,
}

impl Default for HbosConfig {
    fn default() -> Self {
        Self { bins: 10, alpha: 0.1, tolerance: 0.5 }
    }
}

/// The score is the sum over features of `-log2(density + alpha)`, with densities from histograms. A value outside the bins
/// gets the score of the least likely bin. As in PyOD, a value on the edge of two bins is counted in the upper bin and scored
/// by the lower bin.
///
/// Source: Goldstein and Dengel (2012), KI poster and demo track, pp. 59-63; in PyOD's form.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hbos {
    cfg: HbosConfig,
}

impl Hbos {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: HbosConfig) -> Result<Self> {
        require("HbosConfig.bins", cfg.bins >= 1, "at least 1", cfg.bins)?;
        require("HbosConfig.alpha", cfg.alpha.is_finite() && cfg.alpha > 0.0, "finite and > 0", cfg.alpha)?;
        require("HbosConfig.tolerance", (0.0..=1.0).contains(&cfg.tolerance), "in [0, 1]", cfg.tolerance)?;
        Ok(Self { cfg })
    }
}

/// The histogram of one feature: its range, and the score of each bin.
#[derive(Debug)]
struct Histogram {
    lo: f64,
    hi: f64,
    scores: Vec<f64>,
}

#[derive(Debug)]
struct Fitted {
    cfg: HbosConfig,
    features: Vec<Histogram>,
}

impl Histogram {
    fn of(values: &[f64], cfg: &HbosConfig) -> Self {
        let (mut lo, mut hi) =
            values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
        if lo == hi {
            // The range that numpy uses for a constant.
            (lo, hi) = (lo - 0.5, hi + 0.5);
        }
        let width = (hi - lo) / cfg.bins as f64;
        let mut counts = vec![0usize; cfg.bins];
        for v in values {
            counts[bin(*v, lo, width, cfg.bins)] += 1;
        }
        let density = |c: usize| c as f64 / (values.len() as f64 * width);
        Self { lo, hi, scores: counts.into_iter().map(|c| -(density(c) + cfg.alpha).log2()).collect() }
    }

    fn score(&self, v: f64, cfg: &HbosConfig) -> f64 {
        let width = (self.hi - self.lo) / self.scores.len() as f64;
        let near = cfg.tolerance * width;
        let least_likely = || self.scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let last = self.scores.len() - 1;
        match v {
            v if v < self.lo && self.lo - v <= near => self.scores[0],
            v if v > self.hi && v - self.hi <= near => self.scores[last],
            v if v < self.lo || v > self.hi => least_likely(),
            v => {
                let i = bin(v, self.lo, width, self.scores.len());
                let on_edge = i > 0 && v == self.lo + width * i as f64;
                self.scores[if on_edge { i - 1 } else { i }]
            }
        }
    }
}

/// The bin of a value inside the range. Bins are closed below; the last bin is closed above too.
fn bin(v: f64, lo: f64, width: f64, bins: usize) -> usize {
    let mut i = (((v - lo) / width) as usize).min(bins - 1);
    // Where the division rounds, comparisons with the edges decide.
    while i > 0 && v < lo + width * i as f64 {
        i -= 1;
    }
    while i + 1 < bins && v >= lo + width * (i + 1) as f64 {
        i += 1;
    }
    i
}

impl Method for Hbos {
    fn fit(&self, train: &TrainingRows<'_>, _: &Rng) -> Result<Box<dyn Detector>> {
        let features = Rows::columns(&train.normals()?)?.iter().map(|c| Histogram::of(c, &self.cfg)).collect();
        Ok(Box::new(Fitted { cfg: self.cfg, features }))
    }
}

pub(crate) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    let Hbos { cfg } = Hbos::new(from.values()?)?;
    let (ends, scores) = (from.numbers("ends")?, from.numbers("scores")?);
    if ends.is_empty() || ends.len() / 2 * cfg.bins != scores.len() {
        return Err(Error::value("detector", "the sizes of `ends` and `scores` do not match"));
    }
    let one = |(e, s): (&[f64], &[f64])| Histogram { lo: e[0], hi: e[1], scores: s.to_vec() };
    let features = ends.chunks_exact(2).zip(scores.chunks_exact(cfg.bins)).map(one).collect();
    Ok(Box::new(Fitted { cfg, features }))
}

impl Detector for Fitted {
    fn name(&self) -> &'static str {
        "hbos"
    }

    fn features(&self) -> usize {
        self.features.len()
    }

    fn score(&self, x: &Tensor) -> Result<Tensor> {
        score_rows(x, self.features.len(), |row| {
            row.iter().zip(&self.features).map(|(v, h)| h.score(*v, &self.cfg)).sum()
        })
    }

    fn contributions(&self, x: &Tensor) -> Result<Option<Tensor>> {
        // Above the score of the likeliest bin, so that no contribution is negative.
        let likeliest = |h: &Histogram| h.scores.iter().copied().fold(f64::INFINITY, f64::min);
        let least: Vec<f64> = self.features.iter().map(likeliest).collect();
        let part = |((v, h), least): ((&f64, &Histogram), &f64)| h.score(*v, &self.cfg) - least;
        part_rows(x, self.features.len(), |row| row.iter().zip(&self.features).zip(&least).map(part).collect())
    }

    fn state(&self) -> Result<State> {
        let ends: Vec<f64> = self.features.iter().flat_map(|h| [h.lo, h.hi]).collect();
        let scores: Vec<f64> = self.features.iter().flat_map(|h| h.scores.clone()).collect();
        State::new(&self.cfg, vec![("ends", matrix(&ends, 2)?), ("scores", matrix(&scores, self.cfg.bins)?)])
    }
}

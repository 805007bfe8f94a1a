//! Nearest rows of another sample, and whether generated images are copies of training images.

use super::blocks::{BLOCK, products, squared_distance, squared_norms};
use super::features::Features;
use super::provenance::{Context, Generated, HeldOut, Real, Sample, Score};
use crate::{Error, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The level of the 1st percentile.
const FIRST: f64 = 0.01;

/// The nearest row of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its index; the first of those at the same distance.
    pub index: usize,
    /// Its distance, in units of the features.
    pub distance: f64,
}

/// For each row of `from`, the nearest row of `to`: the training image to show beside a generated one.
///
/// # Errors
/// Features of different widths; a row that is too large to have distances, above about 1e153.
pub fn nearest(from: &Features, to: &Features) -> Result<Vec<Neighbour>> {
    if from.width() != to.width() {
        return Err(Error::shape("features", format!("(N, {})", from.width()), to.rows().dims()));
    }
    let (of_from, of_to) = (squared_norms(from)?, squared_norms(to)?);
    let mut best = vec![(0usize, f64::INFINITY); from.len()];
    products(from, to, BLOCK, |p| {
        let rows = best[p.row..].par_iter_mut().zip(p.values.par_chunks(p.width));
        rows.enumerate().for_each(|(i, (best, row))| {
            for (v, j) in row.iter().zip(p.column..) {
                let d = squared_distance(of_from[p.row + i], of_to[j], *v);
                if d < best.1 {
                    *best = (j, d);
                }
            }
        });
    })?;
    Ok(best.into_iter().map(|(index, d)| Neighbour { index, distance: d.sqrt() }).collect())
}

/// How near generated images are to the training images, compared with held-out real images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memorisation {
    /// The median distance of generated images to the nearest training image over that of held-out images. About 1 without
    /// memorisation; below 1, generated images are nearer to the training images than new real images are.
    pub median_ratio: f64,
    /// The share of generated images that are nearer to a training image than `held_out_first_percentile`.
    pub share_below_first_percentile: f64,
    /// That share's expectation without memorisation: 0.01 for many held-out images, and more for few.
    pub expected_share: f64,
    /// The median distance of generated images.
    pub generated_median: f64,
    /// The median distance of held-out images.
    pub held_out_median: f64,
    /// The 1st percentile of the distances of held-out images.
    pub held_out_first_percentile: f64,
    /// The held-out images.
    pub held_out: Sample,
}

/// Compares the distances of generated images to their nearest training image with those of held-out real images.
///
/// `training` are the images that the generator was trained on. A generator that copies has a low FID; this score shows the
/// copies. So do generators whose images are blurred, or all alike: these are near to every image.
///
/// Quantiles are interpolated linearly between order statistics. Of `m` held-out images that of level q lies at the place `1 + q (m - 1)` among
/// them in ascending order. A new image is below number i of them with probability `i / (m + 1)`, so it is expected below the 1st percentile
/// with probability `(1 + 0.01 (m - 1)) / (m + 1)` (exactly, where the distribution of the distances is flat between two neighbours): 0.099
/// for 10 held-out images, 0.057 for 20, 0.029 for 50, 0.020 for 100, 0.011 for 1,000.
///
/// Source: chosen by us.
///
/// # Errors
/// Held-out images most of which are training images, or more than 1 % of which are, so that a distance to compare with is 0; features
/// of different extractors, widths or resize rules.
pub fn memorisation(
    Real(training): Real<&Features>,
    HeldOut(held_out): HeldOut<&Features>,
    Generated(generated): Generated<&Features>,
) -> Result<Score<Memorisation>> {
    let context = Context::of(Real(training.side()), Generated(generated.side()))?;
    Context::of(Real(training.side()), Generated(held_out.side()))?;
    let distances = |from| Ok::<Vec<f64>, Error>(nearest(from, training)?.iter().map(|n| n.distance).collect());
    let (of_generated, of_held_out) = (distances(generated)?, distances(held_out)?);
    let first = quantile(&of_held_out, FIRST);
    if first == 0.0 {
        let reason = "at least 1 % of them are training images: remove those from the held-out images";
        return Err(Error::value("held-out images", reason));
    }
    let (generated_median, held_out_median) = (quantile(&of_generated, 0.5), quantile(&of_held_out, 0.5));
    let below = of_generated.iter().filter(|d| **d < first).count();
    let value = Memorisation {
        median_ratio: generated_median / held_out_median,
        share_below_first_percentile: below as f64 / of_generated.len() as f64,
        expected_share: (1.0 + FIRST * (of_held_out.len() - 1) as f64) / (of_held_out.len() + 1) as f64,
        generated_median,
        held_out_median,
        held_out_first_percentile: first,
        held_out: held_out.side().sample(),
    };
    Ok(Score { value, context })
}

/// The quantile `q` of values, at least one, with linear interpolation between order statistics.
pub(super) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = q * (sorted.len() - 1) as f64;
    let (lo, hi) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    lo + (at - at.floor()) * (hi - lo)
}

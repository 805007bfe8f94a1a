//! Structural similarity at several scales, and the diversity of a set of images.

use super::provenance::{Context, Resize, Sample, Score};
use super::ssim::{Pairs, Ssim, SsimConfig};
use crate::{Error, Result};
use sconce_tensor_core::Rng;
use sconce_tensor_core::candle_core::Tensor;
use sconce_tensor_core::error::require;
use sconce_tensor_core::stats::Summary;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The weights of Wang et al. for five scales.
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// Configuration of an [`MsSsim`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `ssim` | window 11 | the similarity at each scale | as [`SsimConfig`] |
/// | `weights` | five of Wang et al. | the exponent of each scale, the finest first; their number is that of the scales | > 0, at least one |
///
/// Each scale halves the sides, and the window must fit the last one: five scales with window 11 need sides of 176 pixels. For 28 or
/// 32 pixels use [`MsSsimConfig::scales`] of 2 with window 7.
#[derive(Clone, Debug, PartialEq)]
pub struct MsSsimConfig {
    /// The similarity at each scale.
    pub ssim: SsimConfig,
    /// The exponent of each scale.
    pub weights: Vec<f64>,
}

impl Default for MsSsimConfig {
    fn default() -> Self {
        Self { ssim: SsimConfig::default(), weights: WEIGHTS.to_vec() }
    }
}

impl MsSsimConfig {
    /// The first `scales` of the five weights, scaled to a sum of 1 (chosen by us), with a window of `window`.
    ///
    /// # Errors
    /// [`Error::Config`] unless there are 1 to 5 scales: more need [`MsSsimConfig::weights`] of their own.
    pub fn scales(scales: usize, window: usize) -> Result<Self> {
        require("MsSsimConfig.scales", (1..=WEIGHTS.len()).contains(&scales), "in 1..=5", scales)?;
        let weights = &WEIGHTS[..scales];
        let total: f64 = weights.iter().sum();
        let weights = weights.iter().map(|w| w / total).collect();
        Ok(Self { ssim: SsimConfig { window, ..SsimConfig::default() }, weights })
    }
}

/// The product over scales of the mean contrast term of [`Ssim`], and of the whole similarity at the coarsest scale, each to the power of
/// its weight; the mean over channels. Negative factors count as 0. Between scales, images are averaged over 2 x 2 pixels; the last row or
/// column of an odd side is left out (chosen by us).
///
/// Source: Wang et al. (2003), Asilomar, equation 7.
#[derive(Clone, Debug)]
pub struct MsSsim {
    ssim: Ssim,
    weights: Vec<f64>,
}

impl MsSsim {
    /// Makes the window.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(config: &MsSsimConfig) -> Result<Self> {
        let positive = config.weights.iter().all(|w| *w > 0.0 && w.is_finite());
        let listed = format!("{:?}", config.weights);
        require("MsSsimConfig.weights", positive && !config.weights.is_empty(), "at least one, all positive", listed)?;
        Ok(Self { ssim: Ssim::new(&config.ssim)?, weights: config.weights.clone() })
    }

    /// The similarity of each image of `x` with the image of `y` at the same place, from 0 to 1.
    ///
    /// # Shapes
    /// (N, C, H, W) both -> N values.
    ///
    /// # Errors
    /// Different shapes, a value that is not finite, or a side that the window does not fit at the coarsest scale; the error says how
    /// many scales do fit.
    pub fn compare(&self, x: &Tensor, y: &Tensor) -> Result<Vec<f64>> {
        let pairs = Pairs::new(x, y)?;
        let (side, scales) = (pairs.height.min(pairs.width), self.weights.len());
        let fit = (0..usize::BITS).take_while(|s| side >> s >= self.ssim.side()).count();
        let must = format!("for at most {fit} scales, at images of {side} pixels and a window of {}", self.ssim.side());
        require("MsSsimConfig.weights", scales <= fit, &must, format!("{scales} scales"))?;
        Ok(pairs.mean_over_channels(|x, y| {
            let mut product = 1.0;
            let mut coarse = None;
            for (scale, weight) in self.weights.iter().enumerate() {
                let (x, y) = coarse.as_ref().map_or((x, y), |(x, y)| (x, y));
                let (similarity, contrast) = self.ssim.of_plane(x, y);
                let last = scale + 1 == scales;
                product *= if last { similarity } else { contrast }.max(0.0).powf(*weight);
                coarse = (!last).then(|| (x.halved(), y.halved()));
            }
            product
        }))
    }
}

/// How similar images of one class are to each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diversity {
    /// The mean MS-SSIM of random pairs of images of one class. A low value means diverse images.
    pub ms_ssim: f64,
    /// The standard error of the mean over pairs (pairs share images, so it is a lower bound).
    pub standard_error: f64,
    /// The number of pairs.
    pub pairs: usize,
    /// The number of scales.
    pub scales: usize,
}

/// Images with their classes.
#[derive(Clone, Debug)]
pub struct ClassImages<'a> {
    /// Images (N, C, H, W).
    pub images: &'a Tensor,
    /// Their classes.
    pub labels: &'a [u32],
    /// How they were resized.
    pub resize: Resize,
    /// Which images.
    pub split: &'a str,
}

/// A sample of one side.
#[derive(Clone, Copy, Debug)]
pub enum Origin<T> {
    /// Real images.
    Real(T),
    /// Images of a generator.
    Generated(T),
}

/// The mean MS-SSIM of `pairs` random pairs of different images of the same class; pair i is keyed by i. Each image is equally
/// likely to be the first of a pair, so classes count by their size; classes of one image are left out.
///
/// Source: Odena et al. (2017), arXiv:1610.09585.
///
/// # Errors
/// Fewer than two pairs; labels that do not go with the images; no class with two images; as [`MsSsim::compare`].
pub fn diversity(
    sample: &Origin<ClassImages<'_>>,
    measure: &MsSsim,
    pairs: usize,
    rng: &Rng,
) -> Result<Score<Diversity>> {
    let (Origin::Real(side) | Origin::Generated(side)) = sample;
    require("pairs", pairs >= 2, "at least 2", pairs)?;
    let n = side.labels.len();
    if side.images.rank() != 4 || side.images.dim(0)? != n {
        return Err(Error::shape("images", format!("({n}, C, H, W) to go with the labels"), side.images.dims()));
    }
    let mut classes: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    side.labels.iter().enumerate().for_each(|(i, y)| classes.entry(*y).or_default().push(i));
    classes.retain(|_, members| members.len() >= 2);
    // Each image that has a partner, with the members of its class.
    let first: Vec<(usize, &Vec<usize>)> = classes.values().flat_map(|m| (0..m.len()).map(move |at| (at, m))).collect();
    if first.is_empty() {
        return Err(Error::value("labels", format!("no class has two of the {n} images")));
    }
    let draw = |pair: u64| {
        let rng = rng.stream("diversity").at(pair);
        let (at, members) = first[rng.below(1, first.len() as u64)[0] as usize];
        let step = 1 + rng.stream("partner").below(1, members.len() as u64 - 1)[0] as usize;
        (members[at] as u32, members[(at + step) % members.len()] as u32)
    };
    let (a, b): (Vec<u32>, Vec<u32>) = (0..pairs as u64).map(draw).unzip();
    let images = side.images.detach().contiguous()?;
    let take = |at: Vec<u32>| Ok::<Tensor, Error>(images.index_select(&Tensor::new(at, images.device())?, 0)?);
    let summary = Summary::new(measure.compare(&take(a)?, &take(b)?)?)?;
    let standard_error = summary.std.unwrap_or(0.0) / (pairs as f64).sqrt();
    let value = Diversity { ms_ssim: summary.mean, standard_error, pairs, scales: measure.weights.len() };
    let images = Some(Sample { n, split: side.split.to_owned() });
    let (real, generated) = match sample {
        Origin::Real(_) => (images, None),
        Origin::Generated(_) => (None, images),
    };
    let context = Context { extractor: "pixels".to_owned(), resize: side.resize.clone(), real, generated };
    Ok(Score { value, context })
}

//! Choosing an outer data set before any GAN is trained.

use crate::Result;
use crate::fidelity::{
    ClassImages, Extractor, Features, FidConfig, Generated, MsSsim, Origin, Real, Resize, diversity, fid,
};
use sconce_tensor_core::Rng;
use sconce_tensor_core::data::Labelled;
use serde::{Deserialize, Serialize};

/// How well an outer data set suits a target, without training.
///
/// The ingredients are as we recall the paper's; its formula was not at hand. Whether any of the three tells which outer set helps is
/// to be measured: the rank correlation of the value with the gain over several outer sets
/// ([`spearman`](sconce_tensor_core::stats::spearman)).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OuterScore {
    /// FID between target and outer images: low for related ones.
    pub distance: f64,
    /// Mean MS-SSIM of pairs of outer images of one class: low for varied ones.
    pub similarity: f64,
    /// Their product: the least is the best.
    pub product: f64,
}

/// Configuration of [`score_outer`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `most` | 2000 | outer images that are measured, at random | more than the extractor's features |
/// | `pairs` | 1000 | pairs of the similarity | >= 2 |
/// | `batch` | 250 | images in a batch of the extractor | >= 1 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OuterScoreConfig {
    /// Outer images that are measured.
    pub most: usize,
    /// Pairs of the similarity.
    pub pairs: usize,
    /// Images in a batch of the extractor.
    pub batch: usize,
}

impl Default for OuterScoreConfig {
    fn default() -> Self {
        Self { most: 2000, pairs: 1000, batch: 250 }
    }
}

/// Scores an outer data set by an extractor and a similarity. Give all candidates the same target images, extractor and configuration: FID
/// depends on the number of images.
///
/// # Errors
/// Those of [`fid`] and [`diversity`]: too few images for the extractor's features, no class with two images.
pub fn score_outer(
    target: &Labelled,
    outer: &Labelled,
    extractor: &dyn Extractor,
    similarity: &MsSsim,
    cfg: OuterScoreConfig,
    rng: &Rng,
) -> Result<OuterScore> {
    let mut rows = rng.stream("outer").permutation(outer.len());
    rows.truncate(cfg.most);
    let some = outer.batch(&rows)?;
    let of = |x, split: &str| Features::extract(extractor, x, Resize::None, split, cfg.batch);
    let (a, b) = (of(target.x(), "target")?, of(&some.x, "outer")?);
    let distance = fid(Real(&a), Generated(&b), &FidConfig::default())?.value;
    let labels = some.y.to_vec1::<u32>()?;
    let images = ClassImages { images: &some.x, labels: &labels, resize: Resize::None, split: "outer" };
    let similarity = diversity(&Origin::Real(images), similarity, cfg.pairs, rng)?.value.ms_ssim;
    Ok(OuterScore { distance, similarity, product: distance * similarity })
}

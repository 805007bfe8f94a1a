//! FID and KID of each class.

use super::features::Features;
use super::fid::{FidConfig, fid};
use super::kid::{Kid, KidConfig, kid};
use super::provenance::{Generated, Real, Score};
use crate::{Error, Result};
use sconce_tensor_core::Rng;
use serde::{Deserialize, Serialize};

/// Configuration of [`class_wise`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `fid` | refuse few samples | the FID of a class | |
/// | `kid` | all images at once | the KID of a class | as [`KidConfig`] |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassWiseConfig {
    /// The FID of a class.
    pub fid: FidConfig,
    /// The KID of a class.
    pub kid: KidConfig,
}

impl Default for ClassWiseConfig {
    fn default() -> Self {
        Self { fid: FidConfig::default(), kid: KidConfig { subsets: super::Subsets::All } }
    }
}

/// The scores of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// The class.
    pub class: u32,
    /// The FID of its images; `None` with fewer than D + 1 on a side, unless the configuration allows it.
    pub fid: Option<Score<f64>>,
    /// The KID of its images.
    pub kid: Score<Kid>,
    /// Whether a side has fewer than 5 D images: then bias is a large part of the FID, and the KID is the score to read.
    pub prefer_kid: bool,
}

/// The scores of all classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassWise {
    /// One entry for each class, in ascending order.
    pub classes: Vec<ClassScore>,
    /// The mean FID over classes (intra-class FID); `None` where a class has none.
    pub mean_fid: Option<f64>,
    /// The mean KID over classes.
    pub mean_kid: f64,
}

/// Compares the real and the generated images of each class that real images have.
///
/// # Errors
/// Labels that do not go with the features; a class with fewer than two images on a side; a generated class without real images;
/// as [`fid`] and [`kid`].
pub fn class_wise(
    Real((real, real_labels)): Real<(&Features, &[u32])>,
    Generated((generated, generated_labels)): Generated<(&Features, &[u32])>,
    config: &ClassWiseConfig,
    rng: &Rng,
) -> Result<ClassWise> {
    for (side, features, labels) in [("real", real, real_labels), ("generated", generated, generated_labels)] {
        if features.len() != labels.len() {
            let reason = format!("{} {side} images, {} labels", features.len(), labels.len());
            return Err(Error::value("labels", reason));
        }
    }
    let mut names = real_labels.to_vec();
    names.sort_unstable();
    names.dedup();
    if let Some(y) = generated_labels.iter().find(|y| !names.contains(y)) {
        return Err(Error::value("labels", format!("class {y} has generated images and no real ones")));
    }
    let of_class = |features: &Features, labels: &[u32], class: u32| {
        let members: Vec<usize> = (0..labels.len()).filter(|i| labels[*i] == class).collect();
        match members.len() {
            n @ (0 | 1) => Err(Error::value(
                format!("class {class} of `{}`", features.source().split),
                format!("has {n} images, at least 2 are needed"),
            )),
            _ => features.select(&members, format!("{}, class {class}", features.source().split)),
        }
    };
    let score = |class: u32| {
        let (x, y) = (of_class(real, real_labels, class)?, of_class(generated, generated_labels, class)?);
        let (fewest, d) = (x.len().min(y.len()), real.width());
        let enough = fewest > d || config.fid.few_samples;
        let fid = if enough { Some(fid(Real(&x), Generated(&y), &config.fid)?) } else { None };
        let kid = kid(Real(&x), Generated(&y), &config.kid, &rng.stream("class").at(u64::from(class)))?;
        Ok(ClassScore { class, fid, kid, prefer_kid: fewest < 5 * d })
    };
    let classes = names.into_iter().map(score).collect::<Result<Vec<_>>>()?;
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let fids: Option<Vec<f64>> = classes.iter().map(|c| c.fid.as_ref().map(|f| f.value)).collect();
    let mean_kid = mean(classes.iter().map(|c| c.kid.value.estimate).collect());
    Ok(ClassWise { mean_fid: fids.map(mean), mean_kid, classes })
}

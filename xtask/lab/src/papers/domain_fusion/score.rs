//! What is measured of generated images, and what the same measures say of real ones.

use super::config::Target;
use super::evaluator::{Evaluator, Measure, pixels};
use super::gan::Train;
use super::sets::Parts;
use crate::jobs::{Job, Work};
use anyhow::Result;
use sconce_gan::fidelity::{
    ClassImages, Features, FidConfig, Generated, HeldOut, InceptionScoreConfig, KidConfig, Manifold, MsSsim,
    MsSsimConfig, Origin, PrdcConfig, Real, Resize, diversity, fid, inception_score, kid, memorisation, prdc,
};
use sconce_tensor_core::Rng;
use sconce_tensor_core::data::Labelled;
use serde::{Deserialize, Serialize};

/// Pairs of the similarity.
const PAIRS: usize = 1000;

/// Measures of a sample against the reference. Distances are in the extractor's features, memorisation is in pixels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scores {
    pub images: usize,
    /// None with fewer images than features need.
    pub fid: Option<f64>,
    /// Against the validation images: what settings are chosen by.
    pub validation_fid: Option<f64>,
    pub kid: f64,
    pub precision: f64,
    pub recall: f64,
    pub density: f64,
    pub coverage: f64,
    /// Median distance to the nearest training image over that of validation images; none for the training images.
    pub memorisation: Option<f64>,
    /// Share nearer to a training image than 99 % of the validation images.
    pub copied: Option<f64>,
    /// Mean MS-SSIM of pairs of one class.
    pub similarity: f64,
    pub inception: f64,
    /// Of each class.
    pub class_kid: Vec<f64>,
}

/// Two scales with windows of 7 pixels fit images of 14.
pub fn similarity() -> Result<MsSsim> {
    Ok(MsSsim::new(&MsSsimConfig::scales(2, 7)?)?)
}

/// A sample, and whether the images it was learned from are held against it.
struct Sample<'a> {
    images: &'a Labelled,
    split: &'a str,
    learned: bool,
}

fn scores(measure: &Measure, parts: &Parts, reference: &Labelled, sample: &Sample<'_>, seed: u64) -> Result<Scores> {
    let rng = Rng::new(seed).stream("scores");
    let (real, own) =
        (measure.features(reference.x(), "reference")?, measure.features(sample.images.x(), sample.split)?);
    let held = measure.features(parts.validation.x(), "validation")?;
    let distance = |a: &Features, b: &Features| -> Result<Option<f64>> {
        let enough = a.len().min(b.len()) > a.width();
        Ok(if enough { Some(fid(Real(a), Generated(b), &FidConfig::default())?.value) } else { None })
    };
    let cfg = PrdcConfig::default();
    let balls = |f: &Features| Manifold::new(f, cfg.precision_neighbours.max(cfg.density_neighbours));
    let shares = prdc(Real(&balls(&real)?), Generated(&balls(&own)?), &cfg)?.value;
    let copies = match sample.learned {
        true => {
            let of = |x: &Labelled, split| pixels(x.x(), split);
            let (train, held, own) =
                (of(&parts.train, "train")?, of(&parts.validation, "validation")?, of(sample.images, sample.split)?);
            Some(memorisation(Real(&train), HeldOut(&held), Generated(&own))?.value)
        }
        false => None,
    };
    let labels = sample.images.labels()?;
    let images = ClassImages { images: sample.images.x(), labels: &labels, resize: Resize::None, split: sample.split };
    let logits = measure.logits(sample.images.x(), sample.split)?;
    let inception = inception_score(
        Generated(&logits),
        &InceptionScoreConfig { splits: 1, ..InceptionScoreConfig::default() },
        &rng,
    )?;
    let (real_labels, all) = (reference.labels()?, KidConfig::default());
    let of_class = |f: &Features, labels: &[u32], y: u32| {
        let rows: Vec<usize> = (0..labels.len()).filter(|i| labels[*i] == y).collect();
        f.select(&rows, format!("class {y}"))
    };
    let class_kid = |y: u32| -> Result<f64> {
        let (a, b) = (of_class(&real, &real_labels, y)?, of_class(&own, &labels, y)?);
        Ok(kid(Real(&a), Generated(&b), &all, &rng)?.value.estimate)
    };
    Ok(Scores {
        images: own.len(),
        fid: distance(&real, &own)?,
        validation_fid: distance(&held, &own)?,
        kid: kid(Real(&real), Generated(&own), &all, &rng)?.value.estimate,
        precision: shares.precision,
        recall: shares.recall,
        density: shares.density,
        coverage: shares.coverage,
        memorisation: copies.as_ref().map(|c| c.median_ratio),
        copied: copies.as_ref().map(|c| c.share_below_first_percentile),
        similarity: diversity(&Origin::Generated(images), &similarity()?, PAIRS, &rng)?.value.ms_ssim,
        inception: inception.value.mean,
        class_kid: (0..reference.classes() as u32).map(class_kid).collect::<Result<_>>()?,
    })
}

/// The scores of a GAN.
#[derive(Clone, Copy, Serialize)]
pub struct Fidelity<'a> {
    pub train: Train<'a>,
}

impl Job for Fidelity<'_> {
    type Output = Scores;

    fn key(&self) -> String {
        format!("fidelity/{}/n{}/seed{}", self.train.arm.name, self.train.n, self.train.seed)
    }

    fn needs(&self) -> Vec<String> {
        vec![self.train.key(), self.train.evaluator.key()]
    }

    fn cost(&self) -> f64 {
        self.train.gan.samples as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Scores> {
        let measure = Measure::restored(&self.train.evaluator, work)?;
        let parts = self.train.target.load(self.train.n, self.train.seed, work.site)?;
        let images = self.train.sample(&*self.train.restored(work)?, self.train.gan.samples)?;
        let sample = Sample { images: &images, split: &self.train.arm.name, learned: true };
        scores(&measure, &parts, &parts.reference, &sample, self.train.seed)
    }
}

/// The same of real images: the n training images as if they were generated, each as often as it takes for the number of generated images; and
/// one half of the reference against the other.
#[derive(Clone, Copy, Serialize)]
pub struct Context<'a> {
    pub target: &'a Target,
    /// Generated images of each class.
    pub samples: usize,
    pub n: usize,
    pub seed: u64,
    pub evaluator: Evaluator<'a>,
}

/// Both.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Contexts {
    pub copies: Scores,
    pub halves: Scores,
}

impl Job for Context<'_> {
    type Output = Contexts;

    fn key(&self) -> String {
        format!("context/n{}/seed{}", self.n, self.seed)
    }

    fn needs(&self) -> Vec<String> {
        vec![self.evaluator.key()]
    }

    fn cost(&self) -> f64 {
        1.0
    }

    fn run(&self, work: &Work<'_>) -> Result<Contexts> {
        let measure = Measure::restored(&self.evaluator, work)?;
        let parts = self.target.load(self.n, self.seed, work.site)?;
        let all = &parts.reference;
        // Examples are in turn of the classes: each half has all, equally often.
        let classes = all.classes();
        let each = all.len() / classes / 2;
        let order = Rng::new(self.seed).stream("halves").permutation(2 * each);
        let half = |which: &[usize]| {
            let rows: Vec<usize> = which.iter().flat_map(|i| (0..classes).map(move |y| i * classes + y)).collect();
            let b = all.batch(&rows)?;
            Ok::<_, anyhow::Error>(Labelled::new(b.x, &b.y.to_vec1::<u32>()?, classes)?)
        };
        let (a, b) = (half(&order[..each])?, half(&order[each..])?);
        let of = |reference: &Labelled, images: &Labelled, split: &str| {
            scores(&measure, &parts, reference, &Sample { images, split, learned: false }, self.seed)
        };
        let repeated: Vec<usize> = (0..self.samples * classes).map(|i| i % parts.train.len()).collect();
        let copies = parts.train.batch(&repeated)?;
        let copies = Labelled::new(copies.x, &copies.y.to_vec1::<u32>()?, classes)?;
        Ok(Contexts { copies: of(all, &copies, "train")?, halves: of(&a, &b, "half of the reference")? })
    }
}

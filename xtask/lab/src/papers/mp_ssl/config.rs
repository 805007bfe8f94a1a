//! The recipe of `mp-ssl`.

use crate::pieces::choice::distinct;
use crate::pieces::data::Source;
use crate::pieces::train::Train;
use anyhow::{Result, bail};
use sconce_ssl::pretext::{Crop, Flip, Magnitudes, Mixture, Pretext, Rotation};
use sconce_ssl::probe::{Knn, KnnConfig, LinearProbe, LinearProbeConfig, Pooling};
use sconce_ssl::transforms::EnhancementKind;
use sconce_ssl::trunk::ConvTrunkConfig;
use sconce_ssl::weighting::WeightingConfig;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `xtask/recipes/mp-ssl/<preset>.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub seeds: Vec<u64>,
    pub data: Data,
    pub trunk: Trunk,
    pub pretext: PretextPart,
    pub arms: Vec<Arm>,
    pub train: Train,
    pub supervised: Train,
    pub probe: ProbePart,
}

/// Images, and how they are cut.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    pub name: DataName,
    pub source: Source,
    /// Images of the training split to train on.
    pub train: usize,
    /// Images after those, to choose by.
    pub validation: usize,
    /// Images of the test split.
    pub test: usize,
}

/// Which images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataName {
    /// Fashion-MNIST in cloth, with labels of shape, texture and hue; each seed has other cloth.
    GarmentsInCloth,
    /// CIFAR-10 with its classes.
    Cifar10,
}

/// The trunk.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trunk {
    /// A 3x3 convolution a block.
    Plain(Vec<usize>),
    /// The network in network of RotNet.
    Nin,
}

impl Trunk {
    /// Its configuration.
    pub fn config(&self) -> ConvTrunkConfig {
        match self {
            Self::Plain(widths) => ConvTrunkConfig::plain(widths),
            Self::Nin => ConvTrunkConfig::nin(),
        }
    }

    fn blocks(&self) -> usize {
        self.config().blocks.len()
    }
}

/// What all arms share.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretextPart {
    /// The magnitudes of each enhancement that an arm names.
    pub magnitudes: BTreeMap<String, Vec<f64>>,
    /// Whether images are mirrored at random.
    pub flip: bool,
    /// The margin that a random crop takes away; 0 for none.
    pub crop: usize,
    /// Whether each image is taken in all four rotations; else in one.
    pub all_rotations: bool,
    /// The side of the grid of means that a head reads.
    pub pool: usize,
}

/// One way to train the trunk.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// The last part of the names of its metrics.
    pub name: String,
    /// Its name in the report.
    pub title: String,
    /// What is predicted: `rotation`, or enhancements by their names.
    pub tasks: Vec<String>,
    /// Enhancements that change the images and are not predicted.
    #[serde(default)]
    pub augment: Vec<String>,
    /// How the tasks are weighted.
    pub weighting: WeightingConfig,
    /// What the weights of a step are scaled to sum to.
    pub weight_sum: f64,
}

/// What is measured of a trunk.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbePart {
    /// Blocks, counted from 1.
    pub blocks: Vec<usize>,
    /// Training images that the probes are fitted on.
    pub train: usize,
    /// Most features of a block after pooling.
    pub features: usize,
    /// Factors of the penalty that are tried on the validation images.
    pub strengths: Vec<f64>,
    pub neighbours: usize,
    pub temperature: f64,
}

/// Rows of every table of probes that no arm may take the name of: a trunk as it is drawn, one trained on labels, and the images themselves.
pub const RANDOM: &str = "random";
pub const SUPERVISED: &str = "supervised";
pub const PIXELS: &str = "pixels";

impl PretextPart {
    fn task(&self, name: &str) -> Result<Box<dyn Pretext>> {
        if name == "rotation" {
            return Ok(Box::new(Rotation));
        }
        let Some(kind) = EnhancementKind::ALL.into_iter().find(|k| k.name() == name) else {
            let names: Vec<&str> = EnhancementKind::ALL.iter().map(|k| k.name()).collect();
            bail!("`{name}` is not a task; there are rotation, {}", names.join(", "));
        };
        match self.magnitudes.get(name) {
            Some(m) => Ok(Box::new(Magnitudes::new(kind, m)?)),
            None => bail!("pretext.magnitudes: none for `{name}`"),
        }
    }

    /// What an arm does to an image.
    pub fn mixture(&self, arm: &Arm) -> Result<Mixture> {
        let all = |names: &[String]| names.iter().map(|n| self.task(n)).collect::<Result<Vec<_>>>();
        let mut first: Vec<Box<dyn Pretext>> = Vec::new();
        if self.flip {
            first.push(Box::new(Flip));
        }
        if self.crop > 0 {
            first.push(Box::new(Crop::new(self.crop)?));
        }
        first.extend(all(&arm.augment)?);
        let mixture = Mixture::new(all(&arm.tasks)?)?.augmented_by(first)?;
        let rotates = arm.tasks.iter().any(|t| t == "rotation");
        Ok(if self.all_rotations && rotates { mixture.all_of("rotation")? } else { mixture })
    }
}

impl Config {
    /// What the types do not say.
    pub fn validate(&self) -> Result<()> {
        distinct("seeds", &self.seeds)?;
        if self.arms.is_empty() {
            bail!("arms: at least one");
        }
        for (i, arm) in self.arms.iter().enumerate() {
            let reserved = [RANDOM, SUPERVISED, PIXELS].contains(&arm.name.as_str());
            if reserved || self.arms[..i].iter().any(|a| a.name == arm.name) {
                bail!("arms: the name `{}` is taken", arm.name);
            }
            self.pretext.mixture(arm)?;
            arm.weighting.build()?;
            if !(arm.weight_sum.is_finite() && arm.weight_sum > 0.0) {
                bail!("arms: the weight_sum of `{}` must be above 0, got {}", arm.name, arm.weight_sum);
            }
        }
        let (blocks, probe) = (self.trunk.blocks(), &self.probe);
        if probe.blocks.is_empty() || probe.blocks.iter().any(|b| !(1..=blocks).contains(b)) {
            bail!("probe.blocks: must be among 1 to {blocks}, got {:?}", probe.blocks);
        }
        let mut unique = probe.blocks.clone();
        unique.dedup();
        if unique.len() < probe.blocks.len() {
            bail!("probe.blocks: each block once, got {:?}", probe.blocks);
        }
        if !(1..=16).contains(&self.pretext.pool) {
            bail!("pretext.pool: must be 1 to 16, got {}", self.pretext.pool);
        }
        // What a probe would refuse after hours of training.
        let strengths = probe.strengths.clone();
        Pooling::average(probe.features)?;
        LinearProbe::new(LinearProbeConfig { strengths, ..LinearProbeConfig::default() })?;
        let (k, temperature) = (probe.neighbours, probe.temperature);
        Knn::new(KnnConfig { k, temperature, ..KnnConfig::default() })?;
        if k > probe.train {
            bail!("probe.neighbours: at most the {} training images of the probe, got {k}", probe.train);
        }
        if probe.train == 0 || probe.train > self.data.train || self.data.validation == 0 || self.data.test == 0 {
            bail!("probe.train: must be 1 to the {} training images; validation and test need images", self.data.train);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;
    use xtask::cli::Preset;

    #[test]
    fn bad_values_are_refused() {
        let folder = crate::places::workspace().join("xtask/recipes/mp-ssl");
        let refused = |set: &str| {
            let cfg = Recipe::read(&folder, Preset::Quick, &[set.to_owned()]).unwrap().open::<Config>().unwrap();
            cfg.validate().unwrap_err().to_string()
        };
        assert!(refused("probe.blocks=[4]").contains("among 1 to 3"));
        assert!(refused("pretext.magnitudes={ color = [0.1, 1.9] }").contains("none for `sharpness`"));
        assert!(refused("probe.neighbours=3000").contains("at most the 2000"));
        assert!(refused("probe.strengths=[]").contains("strengths"));
        assert!(refused("probe.train=100000").contains("training images"));
    }
}

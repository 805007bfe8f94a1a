//! The recipe of `domain-fusion`.

use super::toy::Toy;
use crate::pieces::choice::distinct;
use crate::pieces::data::Source;
use anyhow::{Result, bail};
use sconce_gan::domain_fusion::{Arm as Trained, DomainFusionConfig, NewClasses};
use sconce_gan::loss::{DiffAugment, DiffAugmentConfig};
use sconce_gan::trainer::GanConfig;
use serde::{Deserialize, Serialize};

/// `xtask/recipes/domain-fusion/<preset>.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub seeds: Vec<u64>,
    /// Images of the target to train on, in all its classes: each number is a setting of its own.
    pub sizes: Vec<usize>,
    pub target: Target,
    pub outers: Vec<Outer>,
    pub gan: GanPart,
    pub arms: Vec<Arm>,
    pub classifier: ClassifierPart,
    pub evaluator: EvaluatorPart,
    pub toy: Toy,
}

/// Some classes of a data set, and how each is cut.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub name: String,
    pub source: Source,
    /// Its classes.
    pub classes: Vec<u8>,
    /// Sides are divided by this, as means of squares.
    pub pool: usize,
    /// Images of each class that no arm is trained on: what generated images are compared with. The same for all seeds.
    pub reference: usize,
    /// Images of each class to choose by.
    pub validation: usize,
    /// The outer set of the controls without a GAN, by its name.
    pub controls: String,
}

/// A candidate of the outer data.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outer {
    pub name: String,
    pub title: String,
    pub data: OuterData,
}

/// Where an outer set comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum OuterData {
    /// Classes of a data set's training split.
    Classes { name: String, source: Source, classes: Vec<u8> },
    /// Cuts of the embedded floor textures, so many of each.
    Textures(usize),
}

/// What all GANs share. All values are chosen by us.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GanPart {
    pub network: NetworkName,
    pub width: usize,
    pub noise: usize,
    /// Epochs with the target, in every arm, and generator steps of each.
    pub epochs: usize,
    pub steps: usize,
    pub critic_steps: usize,
    pub target_batch: usize,
    pub outer_batch: usize,
    /// Epochs before on the outer data alone, where an arm is fine-tuned.
    pub outer_epochs: usize,
    pub new_classes: Start,
    pub average: f64,
    /// Strengths of differentiable augmentation.
    pub brightness: f64,
    pub translation: f64,
    /// Value outside of shifted images, which are in [-1, 1]: -1 on a black background.
    pub padding: f64,
    /// Generated images of each class that are measured.
    pub samples: usize,
    /// Generated images of each class whose FID is measured at the end of each epoch.
    pub watched: usize,
}

/// The networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkName {
    Dcgan,
    SnResnet,
}

/// What the target's classes start from when they are fine-tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    Fresh,
    MeanOuter,
}

/// A GAN.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// The last part of the names of its metrics.
    pub name: String,
    pub title: String,
    pub trained: How,
    /// The outer set, by its name.
    pub outer: String,
    /// The rate of both networks.
    pub lr: f64,
    /// Share of the target in the losses, where both domains are learned at once; it is 1 in a phase of one domain.
    #[serde(default = "whole")]
    pub target_weight: f64,
}

fn whole() -> f64 {
    1.0
}

/// What a GAN is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    TargetOnly,
    Joint,
    FineTuned,
    /// Fine-tuned with so many blocks of the discriminator frozen.
    FreezeD(usize),
}

/// The classifier that generated images are for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierPart {
    pub channels: (usize, usize),
    pub hidden: usize,
    pub batch: usize,
    /// Steps with the target, in every arm.
    pub steps: usize,
    /// Steps on the outer data before them, where the classifier is trained on it first.
    pub outer_steps: usize,
    pub lr: f64,
    pub flip: bool,
    /// Largest shift in pixels.
    pub shift: usize,
    /// Weights of a batch of generated images that are tried on the validation images; 0 is always among them.
    pub weights: Vec<f64>,
    /// Classifiers of each kind, whose accuracies are averaged.
    pub repeats: u64,
}

/// The classifier whose hidden layer is the extractor: trained on all target images but the test images, the reference among them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluatorPart {
    pub channels: (usize, usize),
    pub hidden: usize,
    pub batch: usize,
    pub epochs: usize,
    pub lr: f64,
    pub seed: u64,
}

/// Names of rows that no GAN may take: the controls without one.
pub const REAL: &str = "real";
pub const PRETRAINED: &str = "pretrained";
pub const JOINT_LABELS: &str = "joint-labels";
pub const REAL_4N: &str = "real-4n";
pub const COPIES: &str = "copies";
pub const HALVES: &str = "halves";

impl GanPart {
    /// The configuration of an arm.
    pub fn fusion(&self, arm: &Arm) -> DomainFusionConfig {
        DomainFusionConfig {
            arm: match arm.trained {
                How::TargetOnly => Trained::TargetOnly,
                How::Joint => Trained::Joint,
                How::FineTuned => Trained::FineTuned,
                How::FreezeD(blocks) => Trained::FreezeD { blocks },
            },
            target_batch: self.target_batch,
            outer_batch: self.outer_batch,
            target_weight: arm.target_weight,
            epochs: self.epochs,
            outer_epochs: self.outer_epochs,
            new_classes: if self.new_classes == Start::Fresh { NewClasses::Fresh } else { NewClasses::MeanOuter },
        }
    }

    /// The trainer's configuration.
    pub fn config(&self) -> Result<GanConfig> {
        let Self { brightness, translation, padding, .. } = *self;
        let augment =
            DiffAugmentConfig { brightness, translation, saturation: 0.0, contrast: 0.0, cutout: 0.0, padding };
        Ok(GanConfig {
            steps: self.steps,
            critic_steps: self.critic_steps,
            average: Some(self.average),
            augment: Some(DiffAugment::new(augment)?),
            ..GanConfig::default()
        })
    }

    /// Images that a generator and a discriminator work on, relative between arms.
    pub fn cost(&self, arm: &Arm) -> f64 {
        let outer = match arm.trained {
            How::TargetOnly => 0,
            How::Joint => self.epochs,
            How::FineTuned | How::FreezeD(_) => self.outer_epochs,
        };
        (self.steps * (self.epochs * self.target_batch + outer * self.outer_batch)) as f64
    }
}

impl Config {
    /// An outer set by its name.
    pub fn outer(&self, name: &str) -> Result<&Outer> {
        match self.outers.iter().find(|o| o.name == name) {
            Some(outer) => Ok(outer),
            None => {
                let names: Vec<&str> = self.outers.iter().map(|o| o.name.as_str()).collect();
                bail!("outers: no `{name}`; there are {}", names.join(", "))
            }
        }
    }

    /// What the types do not say.
    pub fn validate(&self) -> Result<()> {
        distinct("seeds", &self.seeds)?;
        let (t, c) = (&self.target, &self.classifier);
        let k = t.classes.len();
        if k < 2 || t.pool == 0 || t.reference == 0 || t.validation == 0 {
            bail!("target: at least two classes, and a pool, a reference and a validation of at least 1");
        }
        for n in &self.sizes {
            if *n == 0 || n % k != 0 {
                bail!("sizes: must be multiples of the target's {k} classes, got {n}");
            }
        }
        distinct("sizes", &self.sizes.iter().map(|n| *n as u64).collect::<Vec<_>>())?;
        self.outer(&t.controls)?;
        let reserved = [REAL, PRETRAINED, JOINT_LABELS, REAL_4N, COPIES, HALVES];
        for (i, arm) in self.arms.iter().enumerate() {
            self.outer(&arm.outer)?;
            if reserved.contains(&arm.name.as_str()) || self.arms[..i].iter().any(|a| a.name == arm.name) {
                bail!("arms: the name `{}` is taken", arm.name);
            }
        }
        for arm in &self.arms {
            if !(arm.lr.is_finite() && arm.lr > 0.0) {
                bail!("arms: the lr of `{}` must be above 0, got {}", arm.name, arm.lr);
            }
            let both = arm.trained == How::Joint;
            let share = arm.target_weight > 0.0 && arm.target_weight <= 1.0;
            if !share || both != (arm.target_weight < 1.0) {
                bail!(
                    "arms: `{}` has the target_weight {}; it is in (0, 1) where `trained` is joint, and absent elsewhere",
                    arm.name,
                    arm.target_weight
                );
            }
        }
        if c.weights.is_empty() || c.weights.iter().any(|w| !(w.is_finite() && *w > 0.0)) {
            bail!("classifier.weights: at least one, all above 0, got {:?}", c.weights);
        }
        if c.repeats == 0 || c.batch == 0 || c.steps == 0 || c.outer_steps == 0 {
            bail!("classifier: repeats, batch, steps and outer_steps must be at least 1");
        }
        let d = self.evaluator.hidden;
        if k * t.reference / 2 <= d || k * self.gan.samples <= d || k * self.gan.watched <= d {
            bail!("evaluator.hidden: {d} features need more images than that in half the reference and in the samples");
        }
        if let Some(n) = self.sizes.iter().find(|n| **n <= d) {
            bail!(
                "sizes: the FID of an outer set needs more target images than the evaluator's {d} hidden features, got {n}"
            );
        }
        distinct("target.classes", &t.classes.iter().map(|c| u64::from(*c)).collect::<Vec<_>>())?;
        for outer in &self.outers {
            if let OuterData::Classes { name, classes, .. } = &outer.data {
                // Held-out images of the target would be trained on.
                let both: Vec<&u8> = classes.iter().filter(|c| *name == t.name && t.classes.contains(c)).collect();
                if !both.is_empty() {
                    bail!("outers: `{}` has classes of the target: {both:?}", outer.name);
                }
            }
        }
        self.gan.config()?;
        self.toy.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;
    use xtask::cli::Preset;

    #[test]
    fn bad_values_are_refused() {
        let folder = crate::places::workspace().join("xtask/recipes/domain-fusion");
        let refused = |set: &str| {
            let cfg = Recipe::read(&folder, Preset::Quick, &[set.to_owned()]).unwrap().open::<Config>().unwrap();
            cfg.validate().unwrap_err().to_string()
        };
        assert!(refused("sizes=[101]").contains("multiples of the target's 5"));
        assert!(refused("sizes=[]").contains("at least one"));
        assert!(refused("sizes=[50]").contains("more target images"));
        assert!(refused("outers.0.data.classes.classes=[1, 2]").contains("classes of the target"));
        assert!(refused("target.controls=\"rest\"").contains("no `rest`; there are related"));
        assert!(refused("classifier.weights=[0.0]").contains("above 0"));
        assert!(refused("evaluator.hidden=4000").contains("features need more images"));
        assert!(refused("gan.brightness=-1").contains("brightness"));
        assert!(refused("arms.2.target_weight=1.0").contains("absent elsewhere"));
        assert!(refused("arms.0.lr=0.0").contains("above 0"));
    }
}

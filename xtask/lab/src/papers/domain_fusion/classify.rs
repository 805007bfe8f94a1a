//! What the target's classifier gains: from generated images, from outer data without a GAN, from more real images.

use super::config::{ClassifierPart, JOINT_LABELS, Outer, PRETRAINED, REAL, REAL_4N, Target};
use super::gan::Train;
use super::sets::Parts;
use crate::jobs::{Job, Work};
use anyhow::Result;
use rayon::prelude::*;
use sconce_gan::domain_fusion::{ExtraBatch, ExtraBatchConfig, LabelUnion};
use sconce_tensor_core::candle_core::{D, DType};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::nn::Network;
use sconce_tensor_core::optim::{Adam, AdamConfig, Schedule};
use sconce_tensor_core::train::augment::{
    Compose, HorizontalFlip, HorizontalFlipConfig, PadMode, PaddedCrop, PaddedCropConfig,
};
use sconce_tensor_core::train::{CrossEntropy, Objective, TrainConfig, Trainer};
use sconce_tensor_core::{Device, Mode, Module, Rng};
use serde::{Deserialize, Serialize};

/// Accuracies, each the mean over the classifiers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Classified {
    /// Weights that were tried, with accuracies on validation and test images.
    pub tried: Vec<(f64, f64, f64)>,
}

impl Classified {
    /// These weights and those.
    pub fn and(&self, more: &Self) -> Self {
        Self { tried: [&self.tried[..], &more.tried].concat() }
    }

    /// The weight with the highest validation accuracy, the smallest of equals, and its test accuracy.
    pub fn chosen(&self) -> (f64, f64) {
        let mut best = self.tried[0];
        for t in &self.tried[1..] {
            if t.1 > best.1 {
                best = *t;
            }
        }
        (best.0, best.2)
    }
}

/// What stands beside the n real images.
#[derive(Clone, Copy, Serialize)]
pub enum Beside<'a> {
    /// Nothing.
    Nothing,
    /// Three times as many real ones.
    FourTimes,
    /// The classifier is trained on the outer set first, and its last layer drawn again.
    Pretrained(&'a Outer),
    /// Batches of the outer set, with labels of their own.
    JointLabels(&'a Outer),
    /// Generated images.
    Generated(Train<'a>),
    /// Generated images in the place of the real ones: the classification accuracy score of the GAN.
    GeneratedAlone(Train<'a>),
}

/// The classifiers of one seed.
#[derive(Clone, Copy, Serialize)]
pub struct Classify<'a> {
    pub target: &'a Target,
    pub net: &'a ClassifierPart,
    pub beside: Beside<'a>,
    pub n: usize,
    pub seed: u64,
}

/// What one classifier is trained on.
struct Task<'t> {
    data: &'t Labelled,
    extra: Option<(&'t Labelled, f64)>,
    steps: usize,
}

impl Classify<'_> {
    /// The row of the tables.
    pub fn name(&self) -> &str {
        match &self.beside {
            Beside::Nothing => REAL,
            Beside::FourTimes => REAL_4N,
            Beside::Pretrained(_) => PRETRAINED,
            Beside::JointLabels(_) => JOINT_LABELS,
            Beside::Generated(t) | Beside::GeneratedAlone(t) => &t.arm.name,
        }
    }

    fn augment(&self) -> Result<Compose> {
        let (p, padding) = (if self.net.flip { 0.5 } else { 0.0 }, self.net.shift);
        let flip = HorizontalFlip::new(HorizontalFlipConfig { p })?;
        let crop = PaddedCrop::new(PaddedCropConfig { padding, mode: PadMode::Zeros })?;
        Ok(Compose::new(vec![Box::new(flip), Box::new(crop)]))
    }

    fn draw(&self, data: &Labelled, rng: &Rng) -> Result<SmallCnn> {
        let (_, c, h, w) = data.x().dims4()?;
        let cfg = SmallCnnConfig {
            input: (c, h, w),
            classes: data.classes(),
            channels: self.net.channels,
            kernel: 3,
            hidden: self.net.hidden,
            ..SmallCnnConfig::default()
        };
        Ok(SmallCnn::new(cfg, rng.stream("classifier"), DType::F32, &Device::Cpu)?)
    }

    /// Trains for a number of steps, whatever the number of examples.
    fn fit(&self, net: &SmallCnn, task: &Task<'_>, rng: &Rng) -> Result<()> {
        let per_epoch = task.data.len().div_ceil(self.net.batch);
        let cfg = TrainConfig {
            epochs: task.steps.div_ceil(per_epoch),
            batch_size: self.net.batch,
            schedule: Schedule::cosine(),
            ..TrainConfig::default()
        };
        let augment = self.augment()?;
        let extra = match task.extra {
            Some((data, weight)) => {
                let cfg = ExtraBatchConfig { weight, batch: self.net.batch };
                Some(ExtraBatch::new(cfg, data, *rng)?.augmented_by(&augment))
            }
            None => None,
        };
        let objective: &dyn Objective = extra.as_ref().map_or(&CrossEntropy, |e| e as &dyn Objective);
        let mut adam = Adam::new(AdamConfig { lr: self.net.lr, ..AdamConfig::default() })?;
        Trainer::new(cfg, objective)?.augmented_by(&augment).fit(net, task.data, &mut adam, rng)?;
        Ok(())
    }

    /// One classifier on the target, and its accuracies on validation and test images, among the target's classes alone.
    fn one(&self, parts: &Parts, train: &Labelled, extra: Option<(&Labelled, f64)>, repeat: u64) -> Result<(f64, f64)> {
        let rng = Rng::new(self.seed).stream("classify").stream(&repeat.to_string());
        let net = self.draw(train, &rng)?;
        if let Beside::Pretrained(_) = self.beside {
            if let Some((outer, _)) = extra {
                let first = self.draw(outer, &rng)?;
                self.fit(
                    &first,
                    &Task { data: outer, extra: None, steps: self.net.outer_steps },
                    &rng.stream("outer"),
                )?;
                for (to, from) in net.params().iter().zip(first.params().iter()) {
                    // The last layer has other classes.
                    if !to.name().starts_with("fc2.") {
                        to.var().set(&from.var().as_detached_tensor())?;
                    }
                }
            }
            self.fit(&net, &Task { data: train, extra: None, steps: self.net.steps }, &rng)?;
        } else {
            self.fit(&net, &Task { data: train, extra, steps: self.net.steps }, &rng)?;
        }
        Ok((accuracy(&net, &parts.validation)?, accuracy(&net, &parts.test)?))
    }

    /// The means over the classifiers, which are trained side by side.
    fn mean(&self, parts: &Parts, train: &Labelled, extra: Option<(&Labelled, f64)>) -> Result<(f64, f64)> {
        let each = |repeat: usize| self.one(parts, train, extra, repeat as u64);
        let all: Vec<(f64, f64)> =
            (0..self.net.repeats as usize).into_par_iter().with_max_len(1).map(each).collect::<Result<_>>()?;
        let mean = |of: fn(&(f64, f64)) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        Ok((mean(|a| a.0), mean(|a| a.1)))
    }
}

impl Classify<'_> {
    /// Every weight of the recipe.
    fn over_weights(&self, work: &Work<'_>, each: impl Fn(f64) -> Result<(f64, f64)>) -> Result<Classified> {
        let mut tried = Vec::new();
        for (i, &weight) in self.net.weights.iter().enumerate() {
            let (validation, test) = each(weight)?;
            tried.push((weight, validation, test));
            work.at(i + 1, self.net.weights.len());
        }
        Ok(Classified { tried })
    }
}

/// The share of images whose largest logit among the data's own classes is right.
fn accuracy(net: &SmallCnn, data: &Labelled) -> Result<f64> {
    let logits = net.forward(data.x(), Mode::Frozen)?.narrow(1, 0, data.classes())?;
    let found = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
    let right = found.iter().zip(data.labels()?).filter(|(a, b)| **a == *b).count();
    Ok(right as f64 / data.len() as f64)
}

impl Job for Classify<'_> {
    type Output = Classified;

    fn key(&self) -> String {
        let alone = if let Beside::GeneratedAlone(_) = self.beside { "alone-" } else { "" };
        format!("classify/{alone}{}/n{}/seed{}", self.name(), self.n, self.seed)
    }

    fn needs(&self) -> Vec<String> {
        match &self.beside {
            Beside::Generated(t) | Beside::GeneratedAlone(t) => vec![t.key()],
            _ => Vec::new(),
        }
    }

    fn cost(&self) -> f64 {
        let (steps, outer) = (self.net.steps, self.net.outer_steps);
        let all = match self.beside {
            Beside::Nothing | Beside::FourTimes | Beside::GeneratedAlone(_) => steps,
            Beside::Pretrained(_) => steps + outer,
            Beside::JointLabels(_) | Beside::Generated(_) => 2 * steps * self.net.weights.len(),
        };
        all as f64 * self.net.repeats as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Classified> {
        let parts = self.target.load(self.n, self.seed, work.site)?;
        let parts: &Parts = &parts;
        let pool = self.target.pool;
        let plain = |weight, (validation, test)| Classified { tried: vec![(weight, validation, test)] };
        Ok(match &self.beside {
            Beside::Nothing => plain(0.0, self.mean(parts, &parts.train, None)?),
            Beside::FourTimes => plain(0.0, self.mean(parts, &parts.four, None)?),
            Beside::Pretrained(outer) => {
                let outer = outer.load(pool, work.site)?;
                plain(0.0, self.mean(parts, &parts.train, Some((&*outer, 1.0)))?)
            }
            Beside::JointLabels(outer) => {
                let outer = outer.load(pool, work.site)?;
                let union = LabelUnion::new(parts.train.classes(), outer.classes())?;
                let shifted: Vec<u32> = outer.labels()?.into_iter().map(|y| y + union.outer().start as u32).collect();
                let outer = Labelled::new(outer.x().clone(), &shifted, union.classes())?;
                let train = Labelled::new(parts.train.x().clone(), &parts.train.labels()?, union.classes())?;
                self.over_weights(work, |weight| self.mean(parts, &train, Some((&outer, weight))))?
            }
            Beside::GeneratedAlone(job) => {
                let images = job.sample(&*job.restored(work)?, job.gan.samples)?;
                plain(1.0, self.mean(parts, &images, None)?)
            }
            Beside::Generated(job) => {
                let images = job.sample(&*job.restored(work)?, job.gan.samples)?;
                self.over_weights(work, |weight| self.mean(parts, &parts.train, Some((&images, weight))))?
            }
        })
    }
}

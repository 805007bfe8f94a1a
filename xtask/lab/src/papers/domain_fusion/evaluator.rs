//! The extractor that all generated images are measured by.

use super::config::{EvaluatorPart, Target};
use crate::jobs::{Job, Work};
use crate::pieces::train;
use anyhow::Result;
use sconce_gan::fidelity::{ClassifierLogits, Extractor, FeatureFunction, Features, ImageSpec, Resize};
use sconce_tensor_core::candle_core::{DType, Tensor};
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::nn::Network;
use sconce_tensor_core::optim::{Adam, AdamConfig, Schedule};
use sconce_tensor_core::train::{CrossEntropy, TrainConfig, Trainer};
use sconce_tensor_core::{Bounds, Classifier, Device, Rng};
use serde::Serialize;

/// Images of a batch.
const BATCH: usize = 250;

/// Trains the extractor; its output is its test accuracy.
#[derive(Clone, Copy, Serialize)]
pub struct Evaluator<'a> {
    pub target: &'a Target,
    pub net: &'a EvaluatorPart,
}

impl Evaluator<'_> {
    fn draw(&self, input: (usize, usize, usize), device: &Device) -> Result<SmallCnn> {
        let cfg = SmallCnnConfig {
            input,
            classes: self.target.classes.len(),
            channels: self.net.channels,
            kernel: 3,
            hidden: self.net.hidden,
            ..SmallCnnConfig::default()
        };
        Ok(SmallCnn::new(cfg, Rng::new(self.net.seed).stream("evaluator"), DType::F32, device)?)
    }
}

impl Job for Evaluator<'_> {
    type Output = f64;

    fn key(&self) -> String {
        "evaluator/all".to_owned()
    }

    fn cost(&self) -> f64 {
        self.net.epochs as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<f64> {
        let data = self.target.all(work.site)?;
        let (_, c, h, w) = data.x().dims4()?;
        let net = self.draw((c, h, w), &work.site.device)?;
        let cfg = TrainConfig {
            epochs: self.net.epochs,
            batch_size: self.net.batch,
            schedule: Schedule::cosine(),
            ..TrainConfig::default()
        };
        train::train(work, &net, |checkpoint, observer| {
            let mut adam = Adam::new(AdamConfig { lr: self.net.lr, ..AdamConfig::default() })?;
            let trainer = Trainer::new(cfg, &CrossEntropy)?.resuming(checkpoint).observed_by(observer);
            Ok(trainer.fit(&net, &data, &mut adam, &Rng::new(self.net.seed))?)
        })?;
        let test = self.target.test(work.site)?;
        train::accuracy(&net, test.x(), &test, BATCH)
    }
}

/// A trained extractor.
pub struct Measure {
    net: SmallCnn,
    spec: ImageSpec,
}

impl Measure {
    /// The extractor that a job trained.
    pub fn restored(job: &Evaluator<'_>, work: &Work<'_>) -> Result<Self> {
        let test = job.target.test(work.site)?;
        let (_, channels, height, width) = test.x().dims4()?;
        let net = job.draw((channels, height, width), &work.site.device)?;
        train::restore(work, job, &net)?;
        Ok(Self { net, spec: ImageSpec { channels, height, width, range: Bounds::UNIT } })
    }

    /// Its hidden layer.
    pub fn extractor(&self) -> impl Extractor + '_ {
        FeatureFunction::new("hidden layer of the evaluator", self.spec, |x: &Tensor| self.net.features(x))
    }

    /// Features of the hidden layer.
    pub fn features(&self, x: &Tensor, split: &str) -> Result<Features> {
        Ok(Features::extract(&self.extractor(), x, Resize::None, split, BATCH)?)
    }

    /// Its logits.
    pub fn logits(&self, x: &Tensor, split: &str) -> Result<Features> {
        let shape = (self.spec.channels, self.spec.height, self.spec.width);
        let model: &dyn Classifier = &self.net;
        Ok(Features::extract(&ClassifierLogits::new("the evaluator", model, shape), x, Resize::None, split, BATCH)?)
    }
}

/// The images themselves as features.
pub fn pixels(x: &Tensor, split: &str) -> Result<Features> {
    let (_, channels, height, width) = x.dims4()?;
    let spec = ImageSpec { channels, height, width, range: Bounds::UNIT };
    let flat = FeatureFunction::new("pixels", spec, |x: &Tensor| Ok(x.flatten_from(1)?));
    Ok(Features::extract(&flat, x, Resize::None, split, BATCH)?)
}

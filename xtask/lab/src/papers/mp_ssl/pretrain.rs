//! Training of a trunk, by pretext tasks or by labels.

use super::config::{Arm, Data, PretextPart, Trunk};
use super::sets::labelled;
use crate::jobs::{Job, Work};
use crate::pieces::train::{self, Train};
use anyhow::Result;
use sconce_ssl::mp_ssl::{MpSsl, MpSslConfig, PretextNet};
use sconce_ssl::trunk::{self, ConvTrunk};
use sconce_tensor_core::candle_core::DType;
use sconce_tensor_core::optim::UpdateConfig;
use sconce_tensor_core::train::{CrossEntropy, Engine, Report, Trainer};
use sconce_tensor_core::{Device, Rng};
use serde::Serialize;

/// A trunk, trained by the pretext tasks of an arm.
#[derive(Clone, Copy, Serialize)]
pub struct Pretrain<'a> {
    pub data: &'a Data,
    pub trunk: &'a Trunk,
    pub pretext: &'a PretextPart,
    pub arm: &'a Arm,
    pub train: &'a Train,
    pub seed: u64,
}

/// A trunk, trained on the first set of labels.
#[derive(Clone, Copy, Serialize)]
pub struct Supervise<'a> {
    pub data: &'a Data,
    pub trunk: &'a Trunk,
    pub train: &'a Train,
    pub seed: u64,
}

impl Trunk {
    /// The trunk as it is drawn for a seed: the same for every arm.
    pub fn draw(&self, seed: u64, device: &Device) -> Result<ConvTrunk> {
        Ok(ConvTrunk::new(self.config(), Rng::new(seed).stream("trunk"), DType::F32, device)?)
    }
}

impl Pretrain<'_> {
    /// Heads on a trunk.
    pub fn heads<'t>(&self, trunk: &'t ConvTrunk) -> Result<PretextNet<'t>> {
        let rng = Rng::new(self.seed).stream("heads");
        Ok(PretextNet::new(trunk, &self.pretext.mixture(self.arm)?, self.pretext.pool, rng)?)
    }
}

impl Job for Pretrain<'_> {
    type Output = Report;

    fn key(&self) -> String {
        format!("pretrain/{}/seed{}", self.arm.name, self.seed)
    }

    fn cost(&self) -> f64 {
        let copies = if self.pretext.all_rotations { 4 } else { 1 };
        (self.data.train * self.train.epochs * copies) as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Report> {
        let sets = self.data.load(self.seed, work.site)?;
        let trunk = self.trunk.draw(self.seed, &work.site.device)?;
        let (net, mixture, rng) = (self.heads(&trunk)?, self.pretext.mixture(self.arm)?, Rng::new(self.seed));
        let cfg = MpSslConfig {
            batch_size: self.train.batch_size,
            update: UpdateConfig { schedule: self.train.schedule.clone(), ..UpdateConfig::default() },
            weight_sum: Some(self.arm.weight_sum),
            ..MpSslConfig::default()
        };
        train::train(work, &net, |checkpoint, observer| {
            let weighting = self.arm.weighting.build()?;
            let mut task = MpSsl::new(&net, &mixture, &sets.train, weighting, self.train.sgd()?, cfg, &rng)?
                .validated_on(&sets.validation);
            let mut engine = Engine::new(self.train.epochs)?.resuming(checkpoint).observed_by(observer);
            Ok(engine.run(&mut task, &rng)?)
        })
    }
}

impl Job for Supervise<'_> {
    type Output = Report;

    fn key(&self) -> String {
        format!("supervise/seed{}", self.seed)
    }

    fn cost(&self) -> f64 {
        (self.data.train * self.train.epochs) as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Report> {
        let sets = self.data.load(self.seed, work.site)?;
        let trunk = self.trunk.draw(self.seed, &work.site.device)?;
        let labels = &sets.labels[0];
        let net = trunk::Supervised::new(&trunk, labels.classes.len(), Rng::new(self.seed).stream("heads"))?;
        let data = labelled(&sets.train, &labels.train, labels.classes.len(), work.site)?;
        train::train(work, &net, |checkpoint, observer| {
            let trainer = Trainer::new(self.train.config(self.train.epochs), &CrossEntropy)?;
            let trainer = trainer.resuming(checkpoint).observed_by(observer);
            Ok(trainer.fit(&net, &data, &mut self.train.sgd()?, &Rng::new(self.seed))?)
        })
    }
}

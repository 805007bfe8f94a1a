//! What a frozen trunk knows about labels.

use super::config::{Data, PIXELS, ProbePart, RANDOM, SUPERVISED, Trunk};
use super::pretrain::{Pretrain, Supervise};
use super::sets::{Sets, unit};
use crate::jobs::{Job, Work};
use crate::pieces::train;
use anyhow::Result;
use sconce_ssl::probe::{Knn, KnnConfig, LinearProbe, LinearProbeConfig, Pixels, Pooling, extract};
use sconce_ssl::trunk::{self, ConvTrunk, Supervised};
use sconce_tensor_core::Rng;
use sconce_tensor_core::candle_core::Tensor;
use sconce_tensor_core::data::Labelled;
use serde::{Deserialize, Serialize};

/// Images of a batch of features.
const BATCH: usize = 250;

/// Where a trunk's weights come from.
#[derive(Clone, Copy, Serialize)]
pub enum Origin<'a> {
    /// As it is drawn.
    Random,
    /// No trunk: the images themselves.
    Pixels,
    /// Trained on labels.
    Supervised(Supervise<'a>),
    /// Trained by pretext tasks.
    Pretrained(Pretrain<'a>),
}

impl Origin<'_> {
    /// The last part of the names of metrics.
    pub fn name(&self) -> &str {
        match self {
            Self::Random => RANDOM,
            Self::Pixels => PIXELS,
            Self::Supervised(_) => SUPERVISED,
            Self::Pretrained(p) => &p.arm.name,
        }
    }

    pub fn needs(&self) -> Vec<String> {
        match self {
            Self::Random | Self::Pixels => Vec::new(),
            Self::Supervised(s) => vec![s.key()],
            Self::Pretrained(p) => vec![p.key()],
        }
    }

    /// The trunk with its weights.
    pub fn trunk(&self, trunk: &Trunk, seed: u64, work: &Work<'_>) -> Result<ConvTrunk> {
        let drawn = trunk.draw(seed, &work.site.device)?;
        match self {
            Self::Random | Self::Pixels => {}
            Self::Supervised(s) => {
                let classes = s.data.load(seed, work.site)?.labels[0].classes.len();
                train::restore(work, s, &Supervised::new(&drawn, classes, Rng::new(seed).stream("heads"))?)?;
            }
            Self::Pretrained(p) => train::restore(work, p, &p.heads(&drawn)?)?,
        }
        Ok(drawn)
    }
}

/// Probes of one trunk.
#[derive(Clone, Copy, Serialize)]
pub struct Probe<'a> {
    pub data: &'a Data,
    pub trunk: &'a Trunk,
    pub origin: Origin<'a>,
    pub probe: &'a ProbePart,
    pub seed: u64,
}

/// The probes of a block for one set of labels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Probed {
    /// Counted from 1; 0 for the images themselves.
    pub block: usize,
    pub labels: String,
    /// Test accuracy of the linear probe, the factor of its penalty, and whether that is at the end of what was tried.
    pub linear: f64,
    pub strength: f64,
    pub at_end: bool,
    /// Test accuracy of the nearest neighbours.
    pub neighbours: f64,
}

/// Features of the three parts.
struct Features {
    train: Tensor,
    validation: Tensor,
    test: Tensor,
}

impl Probe<'_> {
    fn features(&self, sets: &Sets, work: &Work<'_>) -> Result<Vec<(usize, Features)>> {
        // The images themselves are not pooled.
        let most = if matches!(self.origin, Origin::Pixels) { usize::MAX } else { self.probe.features };
        let pooling = Pooling::average(most)?;
        let (net, blocks): (Box<dyn trunk::Trunk>, Vec<usize>) = match self.origin {
            Origin::Pixels => (Box::new(Pixels::new(sets.train.dims().0)), vec![0]),
            _ => (Box::new(self.origin.trunk(self.trunk, self.seed, work)?), self.probe.blocks.clone()),
        };
        let wanted: Vec<_> = blocks.iter().map(|b| (b.saturating_sub(1), pooling)).collect();
        let of = |x: &Tensor| extract(&*net, x, &wanted, BATCH);
        let train = of(&unit(&sets.train, work.site)?.narrow(0, 0, self.probe.train)?)?;
        let (validation, test) = (of(&unit(&sets.validation, work.site)?)?, of(&unit(&sets.test, work.site)?)?);
        let parts = train.into_iter().zip(validation).zip(test);
        Ok(blocks
            .into_iter()
            .zip(parts)
            .map(|(b, ((train, validation), test))| (b, Features { train, validation, test }))
            .collect())
    }
}

impl Job for Probe<'_> {
    type Output = Vec<Probed>;

    fn key(&self) -> String {
        format!("probe/{}/seed{}", self.origin.name(), self.seed)
    }

    fn needs(&self) -> Vec<String> {
        self.origin.needs()
    }

    fn cost(&self) -> f64 {
        let blocks = if matches!(self.origin, Origin::Pixels) { 1 } else { self.probe.blocks.len() };
        (blocks * self.data.label_names().len() * self.probe.strengths.len()) as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Vec<Probed>> {
        let sets = self.data.load(self.seed, work.site)?;
        let strengths = self.probe.strengths.clone();
        let linear = LinearProbe::new(LinearProbeConfig { strengths, ..LinearProbeConfig::default() })?;
        let (k, temperature) = (self.probe.neighbours, self.probe.temperature);
        let knn = Knn::new(KnnConfig { k, temperature, ..KnnConfig::default() })?;
        let all = self.features(&sets, work)?;
        let total = all.len() * sets.labels.len();
        let mut probed = Vec::new();
        for (block, f) in &all {
            for set in &sets.labels {
                let part = |x: &Tensor, y: &[u32]| Labelled::new(x.clone(), y, set.classes.len());
                let train = part(&f.train, &set.train[..self.probe.train])?;
                let (validation, test) = (part(&f.validation, &set.validation)?, part(&f.test, &set.test)?);
                let fit = linear.fit(&train, &validation)?;
                probed.push(Probed {
                    block: *block,
                    labels: set.name.clone(),
                    linear: fit.head.accuracy(&test)?.rate(),
                    strength: fit.chosen().strength,
                    at_end: fit.at_end_of_grid(),
                    neighbours: knn.evaluate(&train, &test)?.accuracy.rate(),
                });
                work.at(probed.len(), total);
            }
        }
        Ok(probed)
    }
}

//! Training in a job: the checkpoint while it runs, the weights that it leaves, and networks that get them back.

use crate::jobs::{Job, Work};
use anyhow::{Context, Result};
use candle_core::Tensor;
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::optim::{Schedule, Sgd, SgdConfig};
use sconce_tensor_core::store::{Kept, State};
use sconce_tensor_core::train::{self, Checkpoint, Observer, Report, TrainConfig};
use sconce_tensor_core::{Classifier, Module, Params};
use serde::{Deserialize, Serialize};

/// SGD of a recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Passes over the training part.
    pub epochs: usize,
    /// Examples in a batch.
    pub batch_size: usize,
    /// The base rate.
    pub lr: f64,
    /// From 0 to 1.
    pub momentum: f64,
    /// Whether momentum is Nesterov's.
    pub nesterov: bool,
    /// On all parameters.
    pub weight_decay: f64,
    /// The rate over the steps.
    pub schedule: Schedule,
}

/// The ending of the file of weights.
const WEIGHTS: &str = "net.safetensors";

impl Train {
    /// The optimizer.
    pub fn sgd(&self) -> Result<Sgd> {
        let Self { lr, momentum, nesterov, weight_decay, .. } = *self;
        Ok(Sgd::new(SgdConfig { lr, momentum, nesterov, weight_decay, ..SgdConfig::default() })?)
    }

    /// The trainer's configuration.
    pub fn config(&self, epochs: usize) -> TrainConfig {
        TrainConfig { epochs, batch_size: self.batch_size, schedule: self.schedule.clone(), ..TrainConfig::default() }
    }
}

/// Trains a network by `fit`, which gets the checkpoint and the observer, and leaves its weights for the jobs that need this one.
pub fn train(
    work: &Work<'_>,
    net: &dyn Module,
    fit: impl FnOnce(Checkpoint, &mut dyn Observer) -> Result<Report>,
) -> Result<Report> {
    let report = fit(work.checkpoint("train"), &mut work.watch()).map_err(advise)?;
    let kept = Kept::new(work.print().clone(), State::of(&(), net.params())?);
    work.leave(WEIGHTS, |path| Ok(kept.save(path)?))?;
    Ok(report)
}

/// Adds to the error of a checkpoint that does not fit what to do about it.
pub fn advise(e: anyhow::Error) -> anyhow::Error {
    match e.downcast_ref() {
        Some(sconce_tensor_core::Error::Checkpoint { .. }) => {
            e.context("delete that file to start this job from its beginning")
        }
        _ => e,
    }
}

/// Gives a network the weights that a job left.
pub fn restore<J: Job>(work: &Work<'_>, job: &J, net: &dyn Module) -> Result<()> {
    restore_from(work, job, WEIGHTS, net.params())
}

/// The same from a file of another name.
pub fn restore_from<J: Job>(work: &Work<'_>, job: &J, what: &str, params: &Params) -> Result<()> {
    let (path, print) = work.file_of(job, what)?;
    let kept =
        Kept::<State>::load(&path, &print).with_context(|| format!("do job {} again: delete its .json", job.key()))?;
    let kept = kept.with_context(|| format!("{}", path.display()))?;
    Ok(params.restore(&kept.value.into_tensors())?)
}

/// What was trained; none where training diverged: of a value that was tried, that is a finding and no fault.
pub fn unless_diverged<T>(trained: Result<T>) -> Result<Option<T>> {
    match trained {
        Err(e) if matches!(e.downcast_ref(), Some(sconce_tensor_core::Error::NotFinite { .. })) => Ok(None),
        trained => trained.map(Some),
    }
}

/// The share of inputs that the model classifies as the data is labelled.
pub fn accuracy(model: &dyn Classifier, x: &Tensor, data: &Labelled, batch: usize) -> Result<f64> {
    Ok(train::accuracy(model, &Labelled::new(x.clone(), &data.labels()?, data.classes())?, batch)?)
}

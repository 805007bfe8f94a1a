//! The training loop.

use super::{Checkpoint, Objective};
use crate::data::Labelled;
use crate::nn::Network;
use crate::optim::{Schedule, Sgd};
use crate::regularizer::{Regularizer, Step};
use crate::{Error, ExampleRng, Result, Rng, error::require};
use std::path::PathBuf;

/// Configuration of a [`Trainer`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `epochs` | 6 | passes over the data | >= 1 |
/// | `batch_size` | 128 | examples per step; the last step of an epoch may have fewer | >= 1 |
/// | `schedule` | constant | factor on the optimizer's step size | |
#[derive(Clone, Debug, PartialEq)]
pub struct TrainConfig {
    /// Passes over the data.
    pub epochs: usize,
    /// Examples per step.
    pub batch_size: usize,
    /// Factor on the optimizer's step size.
    pub schedule: Schedule,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self { epochs: 6, batch_size: 128, schedule: Schedule::Constant }
    }
}

/// Where training stands, after each step.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Steps done.
    pub step: usize,
    /// Steps in all.
    pub total: usize,
    /// The step's loss with its penalties.
    pub loss: f64,
}

/// What an epoch came to.
#[derive(Clone, Copy, Debug)]
pub struct EpochReport {
    /// Epochs done.
    pub epoch: usize,
    /// Mean loss over the epoch's examples, with penalties.
    pub loss: f64,
}

/// Watches training; it may stop it by an error.
pub trait Observer {
    /// After each step.
    ///
    /// # Errors
    /// Any error ends training.
    fn step(&mut self, progress: Progress) -> Result<()> {
        let _ = progress;
        Ok(())
    }

    /// After each epoch, before its checkpoint: a run that is killed in here does the epoch again.
    ///
    /// # Errors
    /// Any error ends training.
    fn epoch(&mut self, report: EpochReport, net: &dyn Network) -> Result<()> {
        let _ = (report, net);
        Ok(())
    }
}

impl Observer for () {}

/// Trains a network by SGD on an objective with regularizers.
pub struct Trainer<'a> {
    cfg: TrainConfig,
    objective: &'a dyn Objective,
    regularizers: Vec<&'a dyn Regularizer>,
    checkpoint: Option<(PathBuf, String)>,
}

impl<'a> Trainer<'a> {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: TrainConfig, objective: &'a dyn Objective) -> Result<Self> {
        require("TrainConfig.epochs", cfg.epochs >= 1, "at least 1", cfg.epochs)?;
        require("TrainConfig.batch_size", cfg.batch_size >= 1, "at least 1", cfg.batch_size)?;
        cfg.schedule.validate()?;
        Ok(Self { cfg, objective, regularizers: Vec::new(), checkpoint: None })
    }

    /// Adds a regularizer.
    #[must_use]
    pub fn regularized_by(mut self, r: &'a dyn Regularizer) -> Self {
        self.regularizers.push(r);
        self
    }

    /// Saves the state to `path` after each epoch, and goes on from there where it exists.
    /// `fingerprint` names the configuration of the run; a checkpoint of another is an error.
    #[must_use]
    pub fn resuming(mut self, path: impl Into<PathBuf>, fingerprint: impl Into<String>) -> Self {
        self.checkpoint = Some((path.into(), fingerprint.into()));
        self
    }

    /// Trains to the last epoch and returns the mean loss of each.
    ///
    /// The result is a function of the network's first values, the data, the configuration and `rng`;
    /// where the run was interrupted, and how many threads it has, do not enter.
    ///
    /// # Errors
    /// [`Error::NoGradient`] naming a parameter outside the graph; [`Error::Value`] where the loss is not
    /// finite; the objective's, the observer's and the checkpoint's.
    pub fn fit(
        &self,
        net: &dyn Network,
        data: &Labelled,
        sgd: &mut Sgd,
        rng: &Rng,
        observer: &mut dyn Observer,
    ) -> Result<Vec<f64>> {
        if data.classes() != net.outputs() {
            let (got, want) = (data.classes(), net.outputs());
            return Err(Error::config("data.classes", format!("must be the network's {want}, got {got}")));
        }
        let mut state = match &self.checkpoint {
            Some((path, print)) => Checkpoint::load(path, net.params(), sgd, print)?,
            None => None,
        }
        .unwrap_or_else(|| Checkpoint {
            epoch: 0,
            losses: Vec::new(),
            fingerprint: self.checkpoint.as_ref().map_or_else(String::new, |c| c.1.clone()),
        });
        let per_epoch = data.len().div_ceil(self.cfg.batch_size);
        let total = per_epoch * self.cfg.epochs;
        for epoch in state.epoch..self.cfg.epochs {
            let noise = rng.stream("epoch").at(epoch as u64).bits(1)[0];
            let noise = Rng::new(noise).stream("examples");
            let (mut sum, mut seen) = (0.0, 0);
            for (i, indices) in data.epoch(epoch, self.cfg.batch_size, rng).into_iter().enumerate() {
                let step = epoch * per_epoch + i;
                let batch = data.batch(&indices)?;
                let lr = sgd.lr() * self.cfg.schedule.factor(step, total);
                let loss = self.step(net, &batch, sgd, lr, &noise)?;
                if !loss.is_finite() {
                    return Err(Error::value("training loss", format!("{loss} at step {step} (epoch {epoch})")));
                }
                sum += loss * indices.len() as f64;
                seen += indices.len();
                observer.step(Progress { step: step + 1, total, loss })?;
            }
            state.epoch = epoch + 1;
            state.losses.push(sum / seen as f64);
            // The observer first: a kill in between does the epoch again, and what the observer keeps misses none.
            observer.epoch(EpochReport { epoch: state.epoch, loss: sum / seen as f64 }, net)?;
            if let Some((path, _)) = &self.checkpoint {
                state.save(path, net.params(), sgd)?;
            }
        }
        Ok(state.losses)
    }

    fn step(&self, net: &dyn Network, batch: &crate::data::Batch, sgd: &mut Sgd, lr: f64, noise: &Rng) -> Result<f64> {
        let outcome = self.objective.loss(net, batch, &ExampleRng::new(*noise, batch.indices.clone()))?;
        let mut loss = outcome.loss;
        let shown =
            Step::new(net.params()).with_batch(&outcome.logits, &batch.y).with_clean(outcome.clean_logits.as_ref());
        for r in &self.regularizers {
            if let Some(penalty) = r.penalty(&shown)? {
                loss = (loss + penalty)?;
            }
        }
        let value = loss.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?;
        if !value.is_finite() {
            // Told by the caller; the weights stay as they were.
            self.objective.after_backward(net)?;
            return Ok(value);
        }
        let gradients = crate::ops::backward(&loss)?;
        self.objective.after_backward(net)?;
        sgd.step(net.params(), &gradients, lr)?;
        for r in &self.regularizers {
            r.after_update(net.params(), lr)?;
        }
        Ok(value)
    }
}

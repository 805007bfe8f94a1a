//! The one training loop.

use super::{EpochReport, Observer, Progress, Report, StepContext, Stop, Task};
use crate::error::require;
use crate::store::{Fingerprint, Kept, State};
use crate::{Error, Result, Rng};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where a run keeps its state, so that it goes on exactly where it was interrupted.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    path: PathBuf,
    fingerprint: Fingerprint,
    every_steps: Option<usize>,
    stop: Option<Stop>,
}

impl Checkpoint {
    /// Keeps the state in a file after each epoch. `fingerprint` names what only the caller knows of the run (data, code, objective);
    /// the engine adds epochs and seed, the task its configuration. A file with another one is an error that lists the
    /// differences.
    pub fn new(path: impl Into<PathBuf>, fingerprint: impl Into<Fingerprint>) -> Self {
        Self { path: path.into(), fingerprint: fingerprint.into(), every_steps: None, stop: None }
    }

    /// Keeps it every `steps` steps as well.
    ///
    /// # Errors
    /// [`Error::Config`] for 0 steps.
    pub fn every_steps(mut self, steps: usize) -> Result<Self> {
        require("Checkpoint.every_steps", steps >= 1, "at least 1", steps)?;
        self.every_steps = Some(steps);
        Ok(self)
    }

    /// Ends the run where `stop` asks for it: after the step that runs, the state is kept and the run ends with [`Error::Stopped`]. A run that
    /// goes on from there ends with the same bytes.
    #[must_use]
    pub fn stopping_at(mut self, stop: Stop) -> Self {
        self.stop = Some(stop);
        self
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Drives a [`Task`]: epochs, batches, the check that losses are finite, observers, checkpoints, exact resume.
///
/// ```
/// # use sconce_tensor_core::{Rng, Params, Role, Result, candle_core::{Device, Tensor}};
/// use sconce_tensor_core::{optim::Sgd, train::{Engine, LossTask}};
/// let mut params = Params::new();
/// let w = params.add("w", Role::Weight, &Tensor::new(&[3f64], &Device::Cpu)?)?;
/// let mut task = LossTask::steps(&params, Sgd::with_lr(0.1)?, 1, |_| Ok(w.sqr()?.sum_all()?))?;
/// let report = Engine::new(50)?.run(&mut task, &Rng::new(0))?;
/// assert!(report.epochs[49].loss < report.epochs[0].loss);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
pub struct Engine<'a> {
    epochs: usize,
    checkpoint: Option<Checkpoint>,
    observer: Option<&'a mut dyn Observer>,
}

/// Where a run stands; with the task's state this is its checkpoint.
#[derive(Default, Serialize, Deserialize)]
struct Position {
    report: Report,
    /// Steps of the run that are done.
    step: usize,
    /// Steps of the current epoch that are done.
    index: usize,
    /// Sum of losses over the examples of the current epoch, and how many there were.
    sum: f64,
    seen: usize,
}

impl<'a> Engine<'a> {
    /// A run of some epochs.
    ///
    /// # Errors
    /// [`Error::Config`] for 0 epochs.
    pub fn new(epochs: usize) -> Result<Self> {
        require("Engine.epochs", epochs >= 1, "at least 1", epochs)?;
        Ok(Self { epochs, checkpoint: None, observer: None })
    }

    /// Keeps the state of the run, and goes on from there where the file exists.
    #[must_use]
    pub fn resuming(mut self, checkpoint: impl Into<Option<Checkpoint>>) -> Self {
        self.checkpoint = checkpoint.into();
        self
    }

    /// Tells an observer of each step and epoch.
    #[must_use]
    pub fn observed_by(mut self, observer: &'a mut dyn Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Runs the task to its end. Where that was done before, the task is put in its final state and nothing is trained.
    ///
    /// # Errors
    /// [`Error::NotFinite`] where a loss or a metric is not finite; [`Error::Stopped`] where the checkpoint's [`Stop`] asks for it; the task's,
    /// the observer's and the checkpoint's.
    pub fn run(&mut self, task: &mut dyn Task, rng: &Rng) -> Result<Report> {
        let fingerprint = self.fingerprint(task, rng);
        let mut at = self.load(task, &fingerprint)?.unwrap_or_default();
        while at.report.epochs.len() < self.epochs && !at.report.stopped_early {
            self.epoch(task, rng, &mut at, &fingerprint)?;
        }
        task.finish()?;
        at.report.best_epoch = task.best_epoch();
        Ok(at.report)
    }

    fn fingerprint(&self, task: &dyn Task, rng: &Rng) -> Fingerprint {
        let own = self.checkpoint.as_ref().map(|c| c.fingerprint.clone()).unwrap_or_default();
        own.including("task", &task.fingerprint()).with("epochs", self.epochs).with("rng", format!("{rng:?}"))
    }

    fn epoch(&mut self, task: &mut dyn Task, rng: &Rng, at: &mut Position, fingerprint: &Fingerprint) -> Result<()> {
        let epoch = at.report.epochs.len();
        let batches = task.batches(epoch, rng)?;
        if batches.is_empty() {
            return Err(Error::value("training", format!("epoch {epoch} has no batches")));
        }
        let total = at.step - at.index + batches.len() * (self.epochs - epoch);
        while at.index < batches.len() {
            let examples = &batches[at.index];
            let context = StepContext { epoch, index: at.index, step: at.step, total, examples, rng: *rng };
            let loss = context.finite_value("training loss", task.step(&context)?)?;
            let weight = examples.len().max(1);
            at.sum += loss * weight as f64;
            at.seen += weight;
            at.step += 1;
            at.index += 1;
            if let Some(observer) = &mut self.observer {
                observer.step(&Progress { epoch, step: at.step, total, loss })?;
            }
            let due = self.checkpoint.as_ref().and_then(|c| c.every_steps).is_some_and(|n| at.step.is_multiple_of(n));
            // The end of an epoch can take long: where a stop is asked for it is left to the run that goes on.
            let stop = self.stop();
            if (due && at.index < batches.len()) || stop.is_some() {
                self.save(task, at, fingerprint)?;
            }
            stop.map_or(Ok(()), Err)?;
        }
        let end = task.end_epoch(epoch + 1)?;
        if let Some((name, value)) = end.metrics.iter().find(|m| !m.1.is_finite()) {
            let reason = format!("{value} after epoch {}", epoch + 1);
            return Err(Error::not_finite(format!("metric `{name}`"), reason));
        }
        let report = EpochReport { epoch: epoch + 1, loss: at.sum / at.seen as f64, metrics: end.metrics };
        (at.index, at.sum, at.seen) = (0, 0.0, 0);
        at.report.stopped_early = end.stop && epoch + 1 < self.epochs;
        at.report.epochs.push(report.clone());
        // The observer first: a kill in between ends the epoch again, and what the observer keeps misses none.
        if let Some(observer) = &mut self.observer {
            observer.epoch(&report)?;
        }
        self.save(task, at, fingerprint)
    }

    /// The error of a run that was asked to stop.
    fn stop(&self) -> Option<Error> {
        let checkpoint = self.checkpoint.as_ref()?;
        let asked = checkpoint.stop.as_ref().is_some_and(Stop::asked);
        asked.then(|| Error::Stopped { path: checkpoint.path.clone() })
    }

    fn save(&self, task: &dyn Task, at: &Position, fingerprint: &Fingerprint) -> Result<()> {
        let Some(checkpoint) = &self.checkpoint else { return Ok(()) };
        let state = State::default()
            .with("engine", State::new(at, Vec::<(String, candle_core::Tensor)>::new())?)?
            .with("task", task.state()?)?;
        Kept::new(fingerprint.clone(), state).save(&checkpoint.path)
    }

    fn load(&self, task: &mut dyn Task, fingerprint: &Fingerprint) -> Result<Option<Position>> {
        let Some(Checkpoint { path, .. }) = &self.checkpoint else { return Ok(None) };
        let Some(kept) = Kept::<State>::load(path, fingerprint)? else { return Ok(None) };
        let mut state = kept.value;
        let mut take = || {
            let at = state.take("engine")?.values()?;
            task.restore(state.take("task")?)?;
            Ok(at)
        };
        take().map(Some).map_err(|e: Error| Error::Checkpoint { path: path.clone(), reason: e.to_string() })
    }
}

//! A task of one loss.

use super::fitting::Fitting;
use super::task::{EpochEnd, StepContext, Task, shuffled};
use super::{Best, KeepBest};
use crate::optim::{Optimizer, UpdateConfig};
use crate::store::{Fingerprint, State};
use crate::{Params, Result, Rng, error::require, ops};
use candle_core::Tensor;

type Loss<'a> = dyn FnMut(&StepContext<'_>) -> Result<Tensor> + 'a;
type Batches<'a> = dyn Fn(usize, &Rng) -> Result<Vec<Vec<usize>>> + 'a;
type Metrics<'a> = dyn FnMut(&Params) -> Result<Vec<(String, f64)>> + 'a;

/// Minimises one loss of some parameters by one optimizer: autoencoders, teachers and students, anything without labels. The loss
/// is a function of the step's context alone (and of the parameters), so that a resumed run is exact.
pub struct LossTask<'a, O: Optimizer> {
    params: &'a Params,
    fitting: Fitting<O>,
    batches: Box<Batches<'a>>,
    loss: Box<Loss<'a>>,
    metrics: Option<Box<Metrics<'a>>>,
    about: Fingerprint,
}

impl<'a, O: Optimizer> LossTask<'a, O> {
    /// Epochs over `examples` examples in batches of `size`, in a seeded order. `loss` gives the mean over the examples of its
    /// context, a scalar in the graph.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for no examples or batches of 0.
    pub fn shuffled(
        params: &'a Params,
        optimizer: O,
        examples: usize,
        size: usize,
        loss: impl FnMut(&StepContext<'_>) -> Result<Tensor> + 'a,
    ) -> Result<Self> {
        require("LossTask.examples", examples >= 1, "at least 1", examples)?;
        require("LossTask.size", size >= 1, "at least 1", size)?;
        let task = Self::batched(params, optimizer, move |epoch, rng| Ok(shuffled(examples, size, epoch, rng)), loss)?;
        Ok(task.described_by(Fingerprint::new().with("examples", examples).with("size", size)))
    }

    /// Epochs of `steps` steps without examples.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for 0 steps.
    pub fn steps(
        params: &'a Params,
        optimizer: O,
        steps: usize,
        loss: impl FnMut(&StepContext<'_>) -> Result<Tensor> + 'a,
    ) -> Result<Self> {
        require("LossTask.steps", steps >= 1, "at least 1", steps)?;
        Self::batched(params, optimizer, move |_, _| Ok(vec![Vec::new(); steps]), loss)
    }

    /// Epochs of the batches that a function of the epoch and of the run's randomness gives.
    ///
    /// # Errors
    /// The optimizer's.
    pub fn batched(
        params: &'a Params,
        optimizer: O,
        batches: impl Fn(usize, &Rng) -> Result<Vec<Vec<usize>>> + 'a,
        loss: impl FnMut(&StepContext<'_>) -> Result<Tensor> + 'a,
    ) -> Result<Self> {
        let fitting = Fitting::new(optimizer, UpdateConfig::default(), None)?;
        let (batches, loss) = (Box::new(batches), Box::new(loss));
        Ok(Self { params, fitting, batches, loss, metrics: None, about: Fingerprint::new() })
    }

    /// Sets what stands around the optimizer.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn updated_with(mut self, cfg: UpdateConfig) -> Result<Self> {
        self.fitting.updater.configure(cfg)?;
        Ok(self)
    }

    /// Measures the parameters after each epoch.
    #[must_use]
    pub fn measured_by(mut self, metrics: impl FnMut(&Params) -> Result<Vec<(String, f64)>> + 'a) -> Self {
        self.metrics = Some(Box::new(metrics));
        self
    }

    /// Ends with the parameters of the best epoch by a metric of [`LossTask::measured_by`].
    #[must_use]
    pub fn keeping(mut self, rule: KeepBest) -> Self {
        self.fitting.best = Some(Best::new(rule));
        self
    }

    /// Says what the loss and the batches are: a checkpoint of a task with another description is refused. The task itself knows its
    /// optimizer and the rule for the best epoch, and nothing of the closures.
    #[must_use]
    pub fn described_by(mut self, about: Fingerprint) -> Self {
        self.about = self.about.including("of", &about);
        self
    }
}

impl<O: Optimizer> Task for LossTask<'_, O> {
    fn batches(&self, epoch: usize, rng: &Rng) -> Result<Vec<Vec<usize>>> {
        (self.batches)(epoch, rng)
    }

    fn step(&mut self, at: &StepContext<'_>) -> Result<f64> {
        let loss = (self.loss)(at)?;
        let value = at.finite("training loss", &loss)?;
        self.fitting.updater.step(self.params, &mut ops::last_backward(&loss)?, at.step, at.total)?;
        Ok(value)
    }

    fn end_epoch(&mut self, epoch: usize) -> Result<EpochEnd> {
        let (params, metrics) = (self.params, &mut self.metrics);
        self.fitting.end_epoch(params, epoch, || metrics.as_mut().map_or(Ok(Vec::new()), |m| m(params)))
    }

    fn finish(&mut self) -> Result<()> {
        self.fitting.finish(self.params)
    }

    fn best_epoch(&self) -> Option<usize> {
        self.fitting.best_epoch()
    }

    fn state(&self) -> Result<State> {
        self.fitting.state(self.params)
    }

    fn restore(&mut self, state: State) -> Result<()> {
        self.fitting.restore(self.params, state)
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fitting.fingerprint().including("loss", &self.about)
    }
}

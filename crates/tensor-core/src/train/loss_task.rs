//! A task of one loss.

use super::task::{EpochEnd, StepContext, Task, shuffled};
use super::{Best, KeepBest};
use crate::optim::{Optimizer, UpdateConfig, Updater};
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
    updater: Updater<O>,
    batches: Box<Batches<'a>>,
    loss: Box<Loss<'a>>,
    metrics: Option<Box<Metrics<'a>>>,
    best: Option<Best>,
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
        Self::batched(params, optimizer, move |epoch, rng| Ok(shuffled(examples, size, epoch, rng)), loss)
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
        let updater = Updater::new(optimizer, UpdateConfig::default())?;
        let (batches, loss) = (Box::new(batches), Box::new(loss));
        Ok(Self { params, updater, batches, loss, metrics: None, best: None })
    }

    /// Sets what stands around the optimizer.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn updated_with(mut self, cfg: UpdateConfig) -> Result<Self> {
        self.updater.configure(cfg)?;
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
        self.best = Some(Best::new(rule));
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
        self.updater.step(self.params, &mut ops::last_backward(&loss)?, at.step, at.total)?;
        Ok(value)
    }

    fn end_epoch(&mut self, epoch: usize) -> Result<EpochEnd> {
        self.updater.swap_average(self.params)?;
        let metrics = self.metrics.as_mut().map_or(Ok(Vec::new()), |m| m(self.params))?;
        let stop = self.best.as_mut().map_or(Ok(false), |b| b.consider(epoch, &metrics, self.params))?;
        self.updater.swap_average(self.params)?;
        Ok(EpochEnd { metrics, stop })
    }

    fn finish(&mut self) -> Result<()> {
        match &self.best {
            Some(best) => best.restore_weights(self.params),
            None => self.updater.swap_average(self.params),
        }
    }

    fn state(&self) -> Result<State> {
        let state =
            State::default().with("params", State::of(&(), self.params)?)?.with("update", self.updater.state()?)?;
        match &self.best {
            Some(best) => state.with("best", best.state()?),
            None => Ok(state),
        }
    }

    fn restore(&mut self, mut state: State) -> Result<()> {
        self.params.restore(&state.take("params")?.into_tensors())?;
        self.updater.restore(self.params, state.take("update")?)?;
        match &mut self.best {
            Some(best) => best.restore(self.params, state.take("best")?),
            None => Ok(()),
        }
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new().with("optimizer", self.updater.describe())
    }
}

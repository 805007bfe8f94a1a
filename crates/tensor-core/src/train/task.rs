//! What the engine drives.

use crate::store::{Fingerprint, State};
use crate::{Error, ExampleRng, Result, Rng};
use candle_core::{DType, Tensor};

/// A training task, for one run: any number of networks, losses, backward passes and optimizers. The [`super::Engine`] calls it step by step,
/// keeps its state and puts it back.
///
/// What a task does must be a function of its construction, its state and the context of the step, so that a run that is
/// interrupted and resumed ends with the same bytes.
pub trait Task {
    /// The batches of an epoch in order, each as the indices of its examples (or of steps, where there are no examples). They are
    /// a function of the epoch and of `rng`, the run's: a resumed run asks again. At least one.
    ///
    /// # Errors
    /// The task's own.
    fn batches(&self, epoch: usize, rng: &Rng) -> Result<Vec<Vec<usize>>>;

    /// One step. Returns the loss, the mean over the batch's examples.
    ///
    /// # Errors
    /// The task's own. A loss that is not finite is an error before anything is updated: [`StepContext::finite`] makes it.
    fn step(&mut self, at: &StepContext<'_>) -> Result<f64>;

    /// After the last step of an epoch: validation, and what follows from it. `epoch` counts those that are done.
    ///
    /// # Errors
    /// The task's own.
    fn end_epoch(&mut self, epoch: usize) -> Result<EpochEnd> {
        let _ = epoch;
        Ok(EpochEnd::default())
    }

    /// After the last epoch: puts the result in place, such as the weights of the best epoch. It is done again when a finished run
    /// is resumed.
    ///
    /// # Errors
    /// The task's own.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    /// The epoch (from 1) whose weights [`Task::finish`] puts in place, where the task chooses one.
    fn best_epoch(&self) -> Option<usize> {
        None
    }

    /// Everything that a resumed run needs. Tensors may share memory with the task.
    ///
    /// # Errors
    /// The task's own.
    fn state(&self) -> Result<State>;

    /// Takes back what [`Task::state`] gave.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Value`] where it is not a state of this task.
    fn restore(&mut self, state: State) -> Result<()>;

    /// What the task is: part of the fingerprint of a checkpoint, so that another configuration is refused. Name all that the result
    /// depends on and that the engine does not know: it adds the epochs and the seed.
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new()
    }
}

/// Where a step stands in a run.
#[derive(Clone, Copy, Debug)]
pub struct StepContext<'a> {
    /// The epoch, from 0.
    pub epoch: usize,
    /// The step within the epoch, from 0.
    pub index: usize,
    /// The step within the run, from 0.
    pub step: usize,
    /// Steps of the run, if all epochs that are left have as many as this one.
    pub total: usize,
    /// The batch: what [`Task::batches`] gave for this step.
    pub examples: &'a [usize],
    /// The run's randomness.
    pub rng: Rng,
}

impl StepContext<'_> {
    /// The randomness of this epoch.
    pub fn epoch_rng(&self) -> Rng {
        Rng::new(self.rng.stream("epoch").at(self.epoch as u64).bits(1)[0])
    }

    /// The randomness of this step's examples: keyed by epoch and example, so that it does not depend on the batch.
    pub fn example_rng(&self) -> ExampleRng {
        ExampleRng::new(self.epoch_rng().stream("examples"), self.examples.iter().map(|i| *i as u64).collect())
    }

    /// The value of a scalar.
    ///
    /// # Errors
    /// [`Error::NotFinite`] naming `what`, the step and the epoch where it is not finite.
    pub fn finite(&self, what: &str, scalar: &Tensor) -> Result<f64> {
        self.finite_value(what, scalar.to_dtype(DType::F64)?.to_scalar::<f64>()?)
    }

    /// The same of a number.
    ///
    /// # Errors
    /// As [`StepContext::finite`].
    pub fn finite_value(&self, what: &str, value: f64) -> Result<f64> {
        if value.is_finite() {
            return Ok(value);
        }
        Err(Error::not_finite(what, format!("{value} at step {} (epoch {})", self.step, self.epoch)))
    }
}

/// What a task says at the end of an epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EpochEnd {
    /// Named numbers, all finite.
    pub metrics: Vec<(String, f64)>,
    /// Whether the run ends here.
    pub stop: bool,
}

/// The batches of an epoch over `examples` examples: a permutation keyed by the epoch, cut into runs of `size`; the last may be
/// shorter.
pub fn shuffled(examples: usize, size: usize, epoch: usize, rng: &Rng) -> Vec<Vec<usize>> {
    let order = rng.stream("shuffle").at(epoch as u64).permutation(examples);
    order.chunks(size.max(1)).map(<[usize]>::to_vec).collect()
}

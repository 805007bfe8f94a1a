//! A weighting method in a training run.

use super::contract::{Step, Weighting};
use super::gradients::TaskGradients;
use super::gram::Space;
use super::record::Record;
use crate::{Error, Result};
use candle_core::Tensor;
use sconce_tensor_core::Rng;
use sconce_tensor_core::store::{Fingerprint, State};
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;

/// A method, the names of the tasks, and the count of steps: what a training task owns. `G` fixes for the whole run whether gradients are
/// those of parameters or of the representation.
#[derive(Debug)]
pub struct Balancer<G> {
    method: Box<dyn Weighting>,
    tasks: Vec<String>,
    rng: Rng,
    steps: u64,
    space: PhantomData<G>,
}

/// What a restored run must have in common with the saved one, and the count of steps.
#[derive(Serialize, Deserialize)]
struct Progress {
    method: String,
    space: Space,
    tasks: Vec<String>,
    steps: u64,
}

impl<G: TaskGradients> Balancer<G> {
    /// A method for named tasks. The randomness of a step is keyed by `rng` (the run's) and by the step.
    ///
    /// # Errors
    /// [`Error::Config`] for no tasks, or two tasks of one name.
    pub fn new<N: Into<String>>(
        method: Box<dyn Weighting>,
        tasks: impl IntoIterator<Item = N>,
        rng: Rng,
    ) -> Result<Self> {
        let tasks: Vec<String> = tasks.into_iter().map(Into::into).collect();
        if tasks.is_empty() {
            return Err(Error::config("Balancer.tasks", "must have at least 1 task"));
        }
        if let Some((_, name)) = tasks.iter().enumerate().find(|(i, n)| tasks[..*i].contains(n)) {
            return Err(Error::config("Balancer.tasks", format!("has two tasks of the name `{name}`")));
        }
        Ok(Self { method, tasks, rng, steps: 0, space: PhantomData })
    }

    /// The method.
    pub fn method(&self) -> &dyn Weighting {
        &*self.method
    }

    /// The tasks' names.
    pub fn tasks(&self) -> &[String] {
        &self.tasks
    }

    /// The weights of a step, with its log. Gradients may be `None` where the method does not need them
    /// ([`Weighting::needs_gradients`]); given to such a method they only enter the log.
    ///
    /// # Errors
    /// Those of [`Step::new`], of [`TaskGradients::gram`] and of the method; [`Error::Value`] for another number of losses than tasks.
    /// The state stays as it was.
    pub fn step(&mut self, losses: &[f64], gradients: Option<&G>) -> Result<Record> {
        if losses.len() != self.tasks.len() {
            let reason = format!("{} losses for the tasks {:?}", losses.len(), self.tasks);
            return Err(Error::value("weighting step", reason));
        }
        let gram = gradients.map(TaskGradients::gram).transpose()?;
        // A key of its own for each step, so that a method may draw from any lane of it.
        let rng = Rng::new(self.rng.stream("task weighting").at(self.steps).bits(1)[0]);
        let step = Step::new(losses, gram.as_ref(), rng)?;
        let before = self.method.state()?;
        let weights = self.method.weights(&step)?;
        let record = Record::new(self.steps, self.method.name(), &self.tasks, losses, weights, gram.as_ref());
        match record {
            Ok(_) => self.steps += 1,
            Err(_) => self.method.restore(before)?,
        }
        record
    }

    /// The losses of the same batch after the update, for a method with [`Weighting::needs_losses_after_update`].
    ///
    /// # Errors
    /// The method's.
    pub fn after_update(&mut self, losses: &[f64]) -> Result<()> {
        self.method.after_update(losses)
    }

    /// The end of an epoch; DWA changes its weights here.
    ///
    /// # Errors
    /// The method's.
    pub fn end_epoch(&mut self) -> Result<()> {
        self.method.end_epoch()
    }

    /// Everything that a resumed run needs.
    ///
    /// # Errors
    /// The method's.
    pub fn state(&self) -> Result<State> {
        let (method, tasks) = (self.method.name().to_owned(), self.tasks.clone());
        let progress = Progress { method, space: G::SPACE, tasks, steps: self.steps };
        State::new(&progress, std::iter::empty::<(String, Tensor)>())?.with("method_state", self.method.state()?)
    }

    /// Takes back what [`Balancer::state`] gave.
    ///
    /// # Errors
    /// [`Error::Value`] for the state of another method, of other tasks, or of gradients in the other space.
    pub fn restore(&mut self, mut state: State) -> Result<()> {
        let inner = state.take("method_state")?;
        let Progress { method, space, tasks, steps } = state.values()?;
        if method != self.method.name() || space != G::SPACE || tasks != self.tasks {
            let reason = format!(
                "is of `{method}` with gradients of {space:?} for {tasks:?}; the run has `{}`, {:?}, {:?}",
                self.method.name(),
                G::SPACE,
                self.tasks
            );
            return Err(Error::value("weighting state", reason));
        }
        self.method.restore(inner)?;
        self.steps = steps;
        Ok(())
    }

    /// What the run depends on: configuration, tasks, space. For the fingerprint of a training task.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new()
            .with("weighting", format!("{} {}", self.method.name(), self.method.describe()))
            .with("gradients", G::SPACE)
            .with("tasks", &self.tasks)
    }
}

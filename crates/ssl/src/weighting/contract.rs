//! The contract of weighting methods.

use super::gram::Gram;
use crate::{Error, Result};
use sconce_tensor_core::Rng;
use sconce_tensor_core::store::State;

/// What a method sees in one training step: the tasks' losses, the Gram matrix of their gradients, randomness.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    losses: &'a [f64],
    gram: Option<&'a Gram>,
    rng: Rng,
}

impl<'a> Step<'a> {
    /// A step. `rng` is the randomness of this step alone.
    ///
    /// # Errors
    /// [`Error::Value`] for no tasks, or gradients of another number of tasks; [`Error::NotFinite`] naming the task whose loss
    /// is not finite.
    pub fn new(losses: &'a [f64], gram: Option<&'a Gram>, rng: Rng) -> Result<Self> {
        require_losses(losses)?;
        if let Some(gram) = gram
            && gram.tasks() != losses.len()
        {
            let reason = format!("{} tasks have a gradient, {} have a loss", gram.tasks(), losses.len());
            return Err(Error::value("weighting step", reason));
        }
        Ok(Self { losses, gram, rng })
    }

    /// T, at least 1.
    pub fn tasks(&self) -> usize {
        self.losses.len()
    }

    /// The loss of each task, finite.
    pub fn losses(&self) -> &'a [f64] {
        self.losses
    }

    /// The losses, for a method that divides by them or takes their logarithm.
    ///
    /// # Errors
    /// [`Error::Value`] naming the method and the first task whose loss is not positive.
    pub fn positive_losses(&self, method: &str) -> Result<&'a [f64]> {
        require_positive(method, self.losses)?;
        Ok(self.losses)
    }

    /// The Gram matrix of the gradients.
    ///
    /// # Errors
    /// [`Error::Value`] naming the method where the step has no gradients.
    pub fn gram(&self, method: &str) -> Result<&'a Gram> {
        self.gram.ok_or_else(|| Error::value(method, "needs the tasks' gradients, and the step has none"))
    }

    /// The randomness of this step.
    pub fn rng(&self) -> &Rng {
        &self.rng
    }
}

pub(super) fn require_losses(losses: &[f64]) -> Result<()> {
    if losses.is_empty() {
        return Err(Error::value("weighting step", "has no tasks"));
    }
    match losses.iter().position(|l| !l.is_finite()) {
        Some(i) => Err(Error::not_finite(format!("loss of task {i}"), losses[i].to_string())),
        None => Ok(()),
    }
}

pub(super) fn require_positive(method: &str, losses: &[f64]) -> Result<()> {
    match losses.iter().position(|l| *l <= 0.0) {
        Some(i) => Err(Error::value(method, format!("needs positive losses; task {i} has {}", losses[i]))),
        None => Ok(()),
    }
}

/// The weights of one step, and what a method knows about them.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// The factor w_i of each task's loss, and so of its gradient: the parameters move along `-sum w_i g_i`. All finite. Their sum
    /// differs between methods.
    pub values: Vec<f64>,
    /// The coefficients on the simplex from which the weights were made (MGDA with its normalisers, CAGrad's inner problem).
    pub alpha: Option<Vec<f64>>,
    /// How far the solver's answer is from optimal: MGDA's and CAGrad's duality gap over the largest squared norm, the relative
    /// violation of the equations of the others. `None` for a method that needs no solver.
    pub residual: Option<f64>,
}

impl Weights {
    /// Weights of a closed form.
    ///
    /// # Errors
    /// [`Error::NotFinite`] naming the method and the task where a weight is not finite.
    pub fn new(method: &str, values: Vec<f64>) -> Result<Self> {
        match values.iter().position(|w| !w.is_finite()) {
            Some(i) => Err(Error::not_finite(format!("weight of task {i} by {method}"), values[i].to_string())),
            None => Ok(Self { values, alpha: None, residual: None }),
        }
    }

    pub(super) fn with_alpha(self, alpha: Vec<f64>) -> Self {
        Self { alpha: Some(alpha), ..self }
    }

    pub(super) fn with_residual(self, residual: f64) -> Self {
        Self { residual: Some(residual), ..self }
    }
}

/// Gives each task of a multi-task training step a weight.
///
/// A method is a function of its configuration, its state and the step, so that an interrupted run that is restored continues with
/// the same bytes. A case in which it is undefined is an error: no method returns a NaN or falls back to equal weights.
/// A step that ends with an error leaves the state as it was.
pub trait Weighting: std::fmt::Debug + Send {
    /// The name, as in [`super::NAMES`].
    fn name(&self) -> &'static str;

    /// The configuration, in a text that changes with it.
    fn describe(&self) -> String;

    /// Whether [`Weighting::weights`] needs gradients. Without, the backward passes of single tasks can be saved.
    fn needs_gradients(&self) -> bool {
        true
    }

    /// Whether [`Weighting::after_update`] must be called after each step.
    fn needs_losses_after_update(&self) -> bool {
        false
    }

    /// The weights of a step.
    ///
    /// # Errors
    /// [`Error::Value`] where the method is undefined for this step, or its solver did not converge; [`Error::Unsupported`] for
    /// more tasks than an exact solver takes.
    fn weights(&mut self, step: &Step<'_>) -> Result<Weights>;

    /// The losses of the same batch after the parameters were updated.
    ///
    /// # Errors
    /// Losses that do not fit the step before.
    fn after_update(&mut self, losses: &[f64]) -> Result<()> {
        let _ = losses;
        Ok(())
    }

    /// The end of an epoch.
    ///
    /// # Errors
    /// The method's own.
    fn end_epoch(&mut self) -> Result<()> {
        Ok(())
    }

    /// Everything that a resumed run needs besides the configuration.
    ///
    /// # Errors
    /// Values that cannot be written.
    fn state(&self) -> Result<State> {
        Ok(State::default())
    }

    /// Takes back what [`Weighting::state`] gave.
    ///
    /// # Errors
    /// [`Error::Value`] where it is not a state of this method.
    fn restore(&mut self, state: State) -> Result<()> {
        match state.values.is_null() && state.tensors.is_empty() {
            true => Ok(()),
            false => Err(Error::value("state", format!("`{}` keeps none", self.name()))),
        }
    }
}

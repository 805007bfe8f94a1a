//! One learned number per task, updated by Adam.

use crate::weighting::contract::Weighting;
use crate::{Error, Result};
use candle_core::Tensor;
use sconce_tensor_core::store::State;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// One number per task with the averages of Adam (Kingma and Ba 2015), in f64.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Scalars {
    pub(super) values: Vec<f64>,
    mean: Vec<f64>,
    square: Vec<f64>,
    steps: u64,
}

impl Scalars {
    pub(super) fn new(tasks: usize, initial: f64) -> Self {
        Self { values: vec![initial; tasks], mean: vec![0.0; tasks], square: vec![0.0; tasks], steps: 0 }
    }

    /// One step of Adam with the decay rates 0.9 and 0.999, as PyTorch computes it. `decay` is coupled: it is added to the gradient.
    pub(super) fn descend(&mut self, lr: f64, decay: f64, gradient: impl Fn(usize, f64) -> f64) {
        self.steps += 1;
        let t = self.steps as f64;
        let (first, second) = (1.0 - 0.9f64.powf(t), 1.0 - 0.999f64.powf(t));
        for i in 0..self.values.len() {
            let g = gradient(i, self.values[i]) + decay * self.values[i];
            self.mean[i] = 0.9 * self.mean[i] + 0.1 * g;
            self.square[i] = 0.999 * self.square[i] + 0.001 * g * g;
            self.values[i] -= lr * (self.mean[i] / first) / ((self.square[i] / second).sqrt() + 1e-8);
        }
    }

    /// Refuses lists of different lengths.
    pub(super) fn require_whole(&self) -> Result<()> {
        require_tasks(self.values.len(), self.mean.len())?;
        require_tasks(self.values.len(), self.square.len())
    }
}

/// Refuses a step, or a state, of another number of tasks.
pub(super) fn require_tasks(state: usize, step: usize) -> Result<()> {
    match state == step {
        true => Ok(()),
        false => Err(Error::value("weighting", format!("has a state of {state} tasks, and the step has {step}"))),
    }
}

/// The state of a method as plain values.
pub(super) fn save(values: &impl Serialize) -> Result<State> {
    State::new(values, std::iter::empty::<(String, Tensor)>())
}

/// What [`save`] kept.
pub(super) fn load<T: DeserializeOwned>(method: &dyn Weighting, state: &State) -> Result<T> {
    match state.tensors.is_empty() {
        true => state.values(),
        false => Err(Error::value("state", format!("`{}` keeps no tensors", method.name()))),
    }
}

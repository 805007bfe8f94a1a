//! What optimizers share: a learning rate, groups of parameters, tensors kept for each parameter, and their state.

use super::group::{Group, Groups};
use super::optimizer::{Optimizer, with_gradients};
use super::slots::Slots;
use crate::error::require;
use crate::store::State;
use crate::{Param, Params, Result};
use candle_core::{Tensor, backprop::GradStore};
use std::fmt::Debug;

/// The update of one parameter: what tells one optimizer from another. A configuration is a rule, and [`Descent`] makes an
/// optimizer of it.
pub trait Rule: Clone + Debug + Default {
    /// Names of the tensors that are kept for each parameter.
    const SLOTS: &'static [&'static str];

    /// Checks the configuration.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// The configured learning rate; 1 for a rule without one.
    fn lr(&self) -> f64 {
        1.0
    }

    /// The same with another learning rate.
    #[must_use]
    fn with_lr(self, lr: f64) -> Self {
        let _ = lr;
        self
    }

    /// The weight decay of a parameter that no [`Group`] has another one for.
    fn weight_decay(&self, p: &Param) -> f64 {
        let _ = p;
        0.0
    }

    /// Updates one parameter in place.
    ///
    /// # Errors
    /// candle's only.
    fn update(&self, u: Update<'_>) -> Result<()>;
}

/// One parameter in one step.
pub struct Update<'a> {
    /// The parameter.
    pub param: &'a Param,
    /// Its value, which shares the parameter's storage.
    pub weight: Tensor,
    /// Its gradient, outside of the graph.
    pub gradient: Tensor,
    /// Its learning rate.
    pub lr: f64,
    /// Its weight decay.
    pub decay: f64,
    /// The step, from 1.
    pub step: u64,
    slots: &'a mut Slots,
    names: &'static [&'static str],
}

impl Update<'_> {
    /// The kept tensors of the parameter, in the order of [`Rule::SLOTS`]; zeros at first.
    ///
    /// # Errors
    /// candle's only.
    pub fn slots<const N: usize>(&mut self) -> Result<[&Tensor; N]> {
        let all: Vec<&Tensor> = self.slots.of(self.param, self.names)?.iter().collect();
        all.try_into().map_err(|_| crate::Error::value("optimizer", format!("keeps {:?}", self.names)))
    }
}

/// An optimizer by a [`Rule`]: [`super::Sgd`], [`super::Adam`], [`super::RmsProp`], [`super::Lars`].
#[derive(Clone, Debug)]
pub struct Descent<R> {
    rule: R,
    lr: f64,
    steps: u64,
    groups: Groups,
    slots: Slots,
}

impl<R: Rule> Descent<R> {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(rule: R) -> Result<Self> {
        rule.validate()?;
        Ok(Self { lr: rule.lr(), rule, steps: 0, groups: Groups::default(), slots: Slots::default() })
    }

    /// The defaults with a learning rate.
    ///
    /// # Errors
    /// A rate that is not finite and positive.
    pub fn with_lr(lr: f64) -> Result<Self> {
        Self::new(R::default().with_lr(lr))
    }

    /// Adds a rule for some of the parameters.
    #[must_use]
    pub fn with_group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }
}

impl<R: Rule> Optimizer for Descent<R> {
    fn step(&mut self, params: &Params, gradients: &GradStore) -> Result<()> {
        let all = with_gradients(params, gradients)?;
        self.steps += 1;
        for (param, gradient) in all {
            let (lr, decay) = self.groups.of(param, self.lr, self.rule.weight_decay(param));
            let weight = param.var().as_detached_tensor();
            let (step, slots, names) = (self.steps, &mut self.slots, R::SLOTS);
            self.rule.update(Update { param, weight, gradient, lr, decay, step, slots, names })?;
        }
        Ok(())
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn set_lr(&mut self, lr: f64) -> Result<()> {
        require("lr", lr.is_finite() && lr >= 0.0, "finite and >= 0", lr)?;
        self.lr = lr;
        Ok(())
    }

    fn state(&self) -> Result<State> {
        self.slots.state(R::SLOTS, &self.steps)
    }

    fn restore(&mut self, params: &Params, state: State) -> Result<()> {
        let steps = state.values()?;
        self.slots.restore(R::SLOTS, params, state)?;
        self.steps = steps;
        Ok(())
    }

    fn describe(&self) -> String {
        format!("{:?} {:?}", self.rule, self.groups)
    }
}

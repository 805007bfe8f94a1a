//! The contract of optimizers.

use crate::store::State;
use crate::{Error, Param, Params, Result};
use candle_core::{Tensor, backprop::GradStore};

/// Updates parameters along their gradients.
///
/// An optimizer owns its learning rate: a schedule sets it before a step ([`super::Updater`]), and nothing else scales it.
pub trait Optimizer {
    /// One update of all trainable parameters.
    ///
    /// # Errors
    /// [`Error::NoGradient`] naming the first trainable parameter that the backward pass did not reach; nothing is updated
    /// then. candle's.
    fn step(&mut self, params: &Params, gradients: &GradStore) -> Result<()>;

    /// The learning rate of the next step.
    fn lr(&self) -> f64;

    /// Sets the learning rate of the next step; 0 is allowed, a schedule may end there.
    ///
    /// # Errors
    /// [`Error::Config`] unless it is finite and at least 0.
    fn set_lr(&mut self, lr: f64) -> Result<()>;

    /// All that a resumed run needs besides the configuration and the learning rate. The tensors share memory with the
    /// optimizer: save or copy them before its next step.
    ///
    /// # Errors
    /// candle's only.
    fn state(&self) -> Result<State>;

    /// Takes back what [`Optimizer::state`] gave.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Value`] where it is not a state of these parameters.
    fn restore(&mut self, params: &Params, state: State) -> Result<()>;

    /// The configuration, in a text that changes with it.
    fn describe(&self) -> String;
}

macro_rules! forward {
    ($($of:ty),*) => {$(
        impl<O: Optimizer + ?Sized> Optimizer for $of {
            fn step(&mut self, params: &Params, gradients: &GradStore) -> Result<()> {
                (**self).step(params, gradients)
            }

            fn lr(&self) -> f64 {
                (**self).lr()
            }

            fn set_lr(&mut self, lr: f64) -> Result<()> {
                (**self).set_lr(lr)
            }

            fn state(&self) -> Result<State> {
                (**self).state()
            }

            fn restore(&mut self, params: &Params, state: State) -> Result<()> {
                (**self).restore(params, state)
            }

            fn describe(&self) -> String {
                (**self).describe()
            }
        }
    )*};
}

forward!(&mut O, Box<O>);

/// Each trainable parameter with its gradient, outside of the graph.
pub(super) fn with_gradients<'p>(params: &'p Params, gradients: &GradStore) -> Result<Vec<(&'p Param, Tensor)>> {
    let gradient = |p: &'p Param| match gradients.get(p.var()) {
        Some(g) => Ok((p, g.detach())),
        None => Err(Error::NoGradient { name: p.name().to_owned() }),
    };
    params.trainable().map(gradient).collect()
}

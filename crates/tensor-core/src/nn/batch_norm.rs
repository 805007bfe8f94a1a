//! The batch-normalisation layer.

use super::{Activation, Builder, Init, Mode};
use crate::Result;
use crate::ops::{self, Normed, Rectifier};
use crate::params::Role;
use candle_core::{Tensor, Var};

/// Batch normalisation over (N, H, W) for each channel (Ioffe and Szegedy 2015, algorithms 1 and 2).
///
/// In [`Mode::Train`] it normalises with the batch's mean and biased variance, and moves the running statistics towards the
/// batch's mean and unbiased variance with `momentum` 0.1. In the other modes it normalises with the running statistics and
/// leaves them as they are. `eps` is 1e-5. These are PyTorch's conventions and defaults.
#[derive(Clone, Debug)]
pub struct BatchNorm2d {
    scale: Var,
    shift: Var,
    mean: Var,
    var: Var,
}

const EPS: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

impl BatchNorm2d {
    /// A layer for `channels` channels, initialised as the identity.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn new(b: &mut Builder<'_>, channels: usize) -> Result<Self> {
        Ok(Self {
            scale: b.param("weight", Role::Scale, channels, Init::Constant(1.0))?,
            shift: b.param("bias", Role::Shift, channels, Init::Constant(0.0))?,
            mean: b.param("running_mean", Role::Buffer, channels, Init::Constant(0.0))?,
            var: b.param("running_var", Role::Buffer, channels, Init::Constant(1.0))?,
        })
    }

    /// # Shapes
    /// (N, C, H, W) -> (N, C, H, W).
    ///
    /// # Errors
    /// As [`ops::batch_norm_train`].
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        if mode == Mode::Train {
            return self.train(x, None, None);
        }
        let (slope, offset) = self.frozen(mode)?;
        ops::channel_affine(x, &slope, &offset)
    }

    /// [`ops::rectify`] of the result; in [`Mode::Train`] both are one operation.
    ///
    /// # Shapes
    /// As [`BatchNorm2d::forward`].
    ///
    /// # Errors
    /// As [`BatchNorm2d::forward`].
    pub fn forward_rectified(&self, x: &Tensor, by: Rectifier, mode: Mode) -> Result<Tensor> {
        if mode == Mode::Train {
            return self.train(x, None, Some(by));
        }
        ops::rectify(&self.forward(x, mode)?, by)
    }

    /// `activation` of the result; in [`Mode::Train`] a rectifier is one operation with it.
    ///
    /// # Shapes
    /// As [`BatchNorm2d::forward`].
    ///
    /// # Errors
    /// As [`BatchNorm2d::forward`].
    pub fn forward_activated(&self, x: &Tensor, activation: Activation, mode: Mode) -> Result<Tensor> {
        match activation.rectifier() {
            Some(by) => self.forward_rectified(x, by, mode),
            None => activation.forward(&self.forward(x, mode)?),
        }
    }

    /// The forward pass of [`Mode::Train`]: the result plus `residual`, then a rectifier ([`ops::batch_norm`]).
    pub(super) fn train(&self, x: &Tensor, residual: Option<&Tensor>, rectify: Option<Rectifier>) -> Result<Tensor> {
        let (scale, shift) = (self.scale.as_tensor(), self.shift.as_tensor());
        let Normed { output, mean, var } = ops::batch_norm(x, scale, shift, EPS, residual, rectify)?;
        let count = (x.elem_count() / mean.elem_count()) as f64;
        let unbiased = (var * (count / (count - 1.0)))?;
        for (running, batch) in [(&self.mean, mean), (&self.var, unbiased)] {
            running.set(&((running.as_detached_tensor() * (1.0 - MOMENTUM))? + (batch * MOMENTUM)?)?)?;
        }
        Ok(output)
    }

    /// The map `slope x + offset` of the other modes.
    pub(super) fn frozen(&self, mode: Mode) -> Result<(Tensor, Tensor)> {
        let (scale, shift) = (mode.tensor(&self.scale), mode.tensor(&self.shift));
        let slope = (scale / (self.var.as_detached_tensor() + EPS)?.sqrt()?)?;
        let offset = (shift - (self.mean.as_detached_tensor() * &slope)?)?;
        Ok((slope, offset))
    }
}

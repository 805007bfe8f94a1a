//! The convolution layer.

use super::{Activation, BatchNorm2d, Builder, Init, Mode};
use crate::ops::{self, Conv2dSpec, Rectifier};
use crate::params::Role;
use crate::{Result, error::require};
use candle_core::{Tensor, Var};

/// A convolution with its weight and bias: [`ops::conv2d`].
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Var,
    bias: Option<Var>,
    spec: Conv2dSpec,
}

impl Conv2d {
    /// `inputs` to `outputs` channels under a square kernel, with PyTorch's default initialisation.
    ///
    /// # Errors
    /// Sizes of 0, or groups that do not divide the channels.
    pub fn new(b: &mut Builder<'_>, inputs: usize, outputs: usize, kernel: usize, spec: Conv2dSpec) -> Result<Self> {
        let fan_in = inputs / spec.groups.max(1) * kernel * kernel;
        let mut conv = Self::without_bias(b, inputs, outputs, kernel, spec, Init::fan_in(fan_in))?;
        conv.bias = Some(b.param("bias", Role::Bias, outputs, Init::fan_in(fan_in))?);
        Ok(conv)
    }

    /// The same without a bias, for use before a batch norm, with the given initialisation.
    ///
    /// # Errors
    /// As [`Conv2d::new`].
    pub fn without_bias(
        b: &mut Builder<'_>,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        spec: Conv2dSpec,
        init: Init,
    ) -> Result<Self> {
        let ok = inputs > 0 && outputs > 0 && kernel > 0;
        require("Conv2d.sizes", ok, "at least 1", format!("{inputs} -> {outputs}, kernel {kernel}"))?;
        let divides = spec.groups > 0 && inputs.is_multiple_of(spec.groups) && outputs.is_multiple_of(spec.groups);
        require("Conv2dSpec.groups", divides, "a divisor of both channel counts", spec.groups)?;
        let shape = (outputs, inputs / spec.groups, kernel, kernel);
        Ok(Self { weight: b.param("weight", Role::Kernel, shape, init)?, bias: None, spec })
    }

    /// # Shapes
    /// (N, inputs, H, W) -> (N, outputs, OH, OW), see [`ops::conv2d`].
    ///
    /// # Errors
    /// As [`ops::conv2d`].
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(|b| mode.tensor(b));
        ops::conv2d(x, &mode.tensor(&self.weight), bias.as_ref(), self.spec)
    }

    /// `max(forward(x), 0)` in one pass.
    ///
    /// # Shapes
    /// As [`Conv2d::forward`].
    ///
    /// # Errors
    /// As [`ops::conv2d`].
    pub fn forward_relu(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(|b| mode.tensor(b));
        ops::conv2d_relu(x, &mode.tensor(&self.weight), bias.as_ref(), self.spec)
    }

    /// The convolution, then `norm`, then `+ residual`, then `max(., 0)` if `relu` is set: [`Conv2d::forward_norm_activated`].
    ///
    /// # Shapes
    /// As [`Conv2d::forward`]; `residual` has the shape of the result.
    ///
    /// # Errors
    /// As [`ops::conv2d`] and [`ops::batch_norm`].
    pub fn forward_norm(
        &self,
        x: &Tensor,
        norm: &BatchNorm2d,
        residual: Option<&Tensor>,
        relu: bool,
        mode: Mode,
    ) -> Result<Tensor> {
        self.forward_norm_activated(x, norm, residual, relu.then_some(Activation::Relu), mode)
    }

    /// The convolution, then `norm`, then `+ residual`, then `activation` if there is one.
    ///
    /// In training the last three steps are one operation. In the other modes the normalisation is folded into the kernel,
    /// `norm(w * x + b) = (scale w) * x + (scale b + offset)`, so it costs nothing per position.
    ///
    /// # Shapes
    /// As [`Conv2d::forward`]; `residual` has the shape of the result.
    ///
    /// # Errors
    /// As [`ops::conv2d`] and [`ops::batch_norm`].
    pub fn forward_norm_activated(
        &self,
        x: &Tensor,
        norm: &BatchNorm2d,
        residual: Option<&Tensor>,
        activation: Option<Activation>,
        mode: Mode,
    ) -> Result<Tensor> {
        let by = activation.and_then(Activation::rectifier);
        // What no rectifier is.
        let other = activation.filter(|_| by.is_none());
        let after = |y: Tensor| other.map_or(Ok(y.clone()), |a| a.forward(&y));
        if mode == Mode::Train {
            return after(norm.train(&self.forward(x, mode)?, residual, by)?);
        }
        let (scale, mut offset) = norm.frozen(mode)?;
        let weight = mode.tensor(&self.weight).broadcast_mul(&scale.reshape(((), 1, 1, 1))?)?;
        if let Some(b) = &self.bias {
            offset = (offset + (mode.tensor(b) * &scale)?)?;
        }
        let y = match (residual, by) {
            (None, Some(by)) => ops::conv2d_rectified(x, &weight, Some(&offset), self.spec, by)?,
            (None, None) => ops::conv2d(x, &weight, Some(&offset), self.spec)?,
            (Some(r), by) => {
                let y = ops::conv2d(x, &weight, Some(&offset), self.spec)?;
                match by {
                    Some(Rectifier::RELU) => ops::add_relu(&y, r)?,
                    Some(by) => ops::rectify(&ops::add(&y, r)?, by)?,
                    None => ops::add(&y, r)?,
                }
            }
        };
        after(y)
    }
}

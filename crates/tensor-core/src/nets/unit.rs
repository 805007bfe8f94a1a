//! What the networks here are made of.

use crate::nn::{Activation, BatchNorm2d, Builder, Conv2d, Init, Mode, Normalize};
use crate::ops::{self, Conv2dSpec, Pool2dSpec};
use crate::{Error, Result};
use candle_core::Tensor;

/// The first layers of a network, by the size of the images that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stem {
    /// For images of about 32x32: a 3x3 convolution.
    Small,
    /// For images of about 224x224: a 7x7 convolution of stride 2, and max-pooling over 3x3 windows with stride 2.
    Large,
}

impl Stem {
    /// The side of its kernel.
    pub(super) fn kernel(self) -> usize {
        if self == Self::Small { 3 } else { 7 }
    }

    /// The convolution's strides.
    pub(super) fn spec(self) -> Conv2dSpec {
        strided(self.kernel(), if self == Self::Small { 1 } else { 2 })
    }

    /// What follows the activation.
    pub(super) fn pool(self, x: Tensor) -> Result<Tensor> {
        match self {
            Self::Small => Ok(x),
            Self::Large => ops::max_pool2d(&x, Pool2dSpec { stride: (2, 2), padding: (1, 1), ..Pool2dSpec::tiles(3) }),
        }
    }
}

/// A convolution that keeps the size of maps, but for its stride.
pub(super) fn strided(kernel: usize, stride: usize) -> Conv2dSpec {
    Conv2dSpec { stride: (stride, stride), ..Conv2dSpec::same(kernel) }
}

/// A convolution without a bias, with values for ReLU.
pub(super) fn conv(
    b: &mut Builder<'_>,
    name: &str,
    (from, to): (usize, usize),
    kernel: usize,
    spec: Conv2dSpec,
) -> Result<Conv2d> {
    Conv2d::without_bias(&mut b.scope(name), from, to, kernel, spec, Init::he_fan_out(to * kernel * kernel))
}

/// A convolution and its batch norm.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl Unit {
    /// Without a bias; `names` are those of the convolution and of the norm.
    pub(super) fn new(
        b: &mut Builder<'_>,
        names: (&str, &str),
        sizes: (usize, usize),
        kernel: usize,
        spec: Conv2dSpec,
    ) -> Result<Self> {
        let conv = conv(b, names.0, sizes, kernel, spec)?;
        Ok(Self { conv, norm: BatchNorm2d::new(&mut b.scope(names.1), sizes.1)? })
    }

    /// With a bias.
    pub(super) fn biased(
        b: &mut Builder<'_>,
        names: (&str, &str),
        (from, to): (usize, usize),
        kernel: usize,
        spec: Conv2dSpec,
    ) -> Result<Self> {
        let conv = Conv2d::new(&mut b.scope(names.0), from, to, kernel, spec)?;
        Ok(Self { conv, norm: BatchNorm2d::new(&mut b.scope(names.1), to)? })
    }

    pub(super) fn forward(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        activation: Option<Activation>,
        mode: Mode,
    ) -> Result<Tensor> {
        self.conv.forward_norm_activated(x, &self.norm, residual, activation, mode)
    }
}

/// The images, checked and normalised.
pub(super) fn entry(x: &Tensor, channels: usize, normalize: Option<&Normalize>) -> Result<Tensor> {
    if x.rank() != 4 || x.dim(1)? != channels {
        return Err(Error::shape("input", format!("(N, {channels}, H, W)"), x.dims()));
    }
    normalize.map_or_else(|| Ok(x.clone()), |n| n.forward(x))
}

/// A row and a column of zeros at the lower and the right border. With it, a 3x3 convolution of stride 2 without padding is what TensorFlow and
/// JAX call SAME.
pub(super) fn border(x: &Tensor) -> Result<Tensor> {
    Ok(x.pad_with_zeros(2, 0, 1)?.pad_with_zeros(3, 0, 1)?)
}

/// [`Module`](crate::Module) and [`Network`](crate::Network) of a type with `params`, `cfg.classes`, a method `body` from images to features, and the
/// last layer `last`.
macro_rules! network {
    ($name:ty) => {
        impl crate::nn::Module for $name {
            fn params(&self) -> &crate::Params {
                &self.params
            }
        }

        impl crate::nn::Network for $name {
            fn forward(&self, x: &candle_core::Tensor, mode: crate::nn::Mode) -> crate::Result<candle_core::Tensor> {
                self.last.forward(&self.body(x, mode)?, mode)
            }

            fn features(&self, x: &candle_core::Tensor) -> crate::Result<candle_core::Tensor> {
                self.body(x, crate::nn::Mode::Frozen)
            }

            fn outputs(&self) -> usize {
                self.cfg.classes
            }
        }
    };
}
pub(super) use network;

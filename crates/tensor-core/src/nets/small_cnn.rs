//! A small image classifier: two convolutions and two linear layers.

use super::unit::network;
use crate::nn::{BatchNorm2d, Builder, Conv2d, Init, Linear, Mode, Normalize, Values};
use crate::ops::{self, Conv2dSpec, Pool2dSpec};
use crate::{Error, Params, Result, Rng, error::require};
use candle_core::{DType, Device, Tensor};

/// Configuration of a [`SmallCnn`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `input` | (1, 28, 28) | channels, height, width of an image | sides >= 4 |
/// | `classes` | 10 | outputs | >= 2 |
/// | `channels` | (16, 32) | output channels of the two convolutions | >= 1 |
/// | `kernel` | 5 | side of both kernels, padded to keep the size | odd |
/// | `hidden` | 128 | width of the hidden linear layer | >= 1 |
/// | `batch_norm` | false | normalise after each convolution | |
/// | `normalize` | none | means and deviations of the channels, applied to the input | |
#[derive(Clone, Debug, PartialEq)]
pub struct SmallCnnConfig {
    /// Channels, height and width of an image.
    pub input: (usize, usize, usize),
    /// Number of classes.
    pub classes: usize,
    /// Channels of the two convolutions.
    pub channels: (usize, usize),
    /// Side of both kernels.
    pub kernel: usize,
    /// Width of the hidden layer.
    pub hidden: usize,
    /// Whether batch normalisation follows each convolution (which then has no bias).
    pub batch_norm: bool,
    /// Normalisation of the input.
    pub normalize: Option<Normalize>,
}

impl Default for SmallCnnConfig {
    fn default() -> Self {
        Self {
            input: (1, 28, 28),
            classes: 10,
            channels: (16, 32),
            kernel: 5,
            hidden: 128,
            batch_norm: false,
            normalize: None,
        }
    }
}

/// conv - (bn) - relu - pool 2 - conv - (bn) - relu - pool 2 - linear - relu - linear.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use sconce_tensor_core::{Classifier, Rng, nets::{SmallCnn, SmallCnnConfig}};
/// let net = SmallCnn::new(SmallCnnConfig::default(), Rng::new(0), DType::F32, &Device::Cpu)?;
/// let x = Tensor::zeros((2, 1, 28, 28), DType::F32, &Device::Cpu)?;
/// assert_eq!(net.logits(&x)?.dims(), [2, 10]);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SmallCnn {
    params: Params,
    cfg: SmallCnnConfig,
    conv: [Conv2d; 2],
    norm: Option<[BatchNorm2d; 2]>,
    fc: Linear,
    last: Linear,
}

impl SmallCnn {
    /// Makes the network with initial values from `rng`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: SmallCnnConfig, rng: Rng, dtype: DType, device: &Device) -> Result<Self> {
        Self::make(cfg, Values::Drawn(rng), dtype, device)
    }

    pub(crate) fn make(cfg: SmallCnnConfig, values: Values<'_>, dtype: DType, device: &Device) -> Result<Self> {
        let (c, h, w) = cfg.input;
        require("SmallCnnConfig.input", c >= 1 && h >= 4 && w >= 4, "at least 1x4x4", format!("{c}x{h}x{w}"))?;
        require("SmallCnnConfig.classes", cfg.classes >= 2, "at least 2", cfg.classes)?;
        require("SmallCnnConfig.kernel", cfg.kernel % 2 == 1, "odd", cfg.kernel)?;
        require("SmallCnnConfig.hidden", cfg.hidden >= 1, "at least 1", cfg.hidden)?;
        let (a, b) = cfg.channels;
        require("SmallCnnConfig.channels", a >= 1 && b >= 1, "at least 1", format!("({a}, {b})"))?;

        let mut params = Params::new();
        let mut build = Builder::with(&mut params, values, dtype, device);
        let mut conv = |name: &str, from, to| {
            let (b, spec) = (&mut build.scope(name), Conv2dSpec::same(cfg.kernel));
            if cfg.batch_norm {
                Conv2d::without_bias(b, from, to, cfg.kernel, spec, Init::fan_in(from * cfg.kernel * cfg.kernel))
            } else {
                Conv2d::new(b, from, to, cfg.kernel, spec)
            }
        };
        let conv = [conv("conv1", c, a)?, conv("conv2", a, b)?];
        let norm = if cfg.batch_norm {
            Some([BatchNorm2d::new(&mut build.scope("bn1"), a)?, BatchNorm2d::new(&mut build.scope("bn2"), b)?])
        } else {
            None
        };
        let flat = b * (h / 2 / 2) * (w / 2 / 2);
        let fc = Linear::new(&mut build.scope("fc1"), flat, cfg.hidden)?;
        let last = Linear::new(&mut build.scope("fc2"), cfg.hidden, cfg.classes)?;
        Ok(Self { params, cfg, conv, norm, fc, last })
    }
}

impl SmallCnn {
    /// (N, C, H, W) -> (N, hidden): all layers but the last.
    fn body(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let (c, h, w) = self.cfg.input;
        if x.rank() != 4 || x.dims()[1..] != [c, h, w] {
            return Err(Error::shape("input", format!("(N, {c}, {h}, {w})"), x.dims()));
        }
        let mut x = match &self.cfg.normalize {
            Some(n) => n.forward(x)?,
            None => x.clone(),
        };
        for i in 0..2 {
            x = match &self.norm {
                Some(norm) => self.conv[i].forward_norm(&x, &norm[i], None, false, mode)?,
                None => self.conv[i].forward(&x, mode)?,
            };
            // ReLU is monotone, so it commutes with max-pooling; after pooling it has a quarter of the elements.
            x = ops::relu(&ops::max_pool2d(&x, Pool2dSpec::default())?)?;
        }
        ops::relu(&self.fc.forward(&ops::reshape(&x, (x.dim(0)?, ()))?, mode)?)
    }
}

network!(SmallCnn);

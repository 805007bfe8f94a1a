//! Densely connected networks.

use super::unit::{Stem, Unit, conv, entry, network, strided};
use crate::nn::{Activation, BatchNorm2d, Builder, Conv2d, Linear, Mode, Normalize, Values};
use crate::ops::{self, Pool2dSpec};
use crate::{Params, Result, Rng, error::require};
use candle_core::{DType, Device, Tensor};

/// Configuration of a [`DenseNet`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `channels` | 3 | channels of the images | >= 1 |
/// | `classes` | 10 | outputs | >= 2 |
/// | `width` | 64 | channels of the stem | 1 to 65536 |
/// | `growth` | 32 | channels that each layer adds | 1 to 65536 |
/// | `inner` | 128 | channels between the 1x1 and the 3x3 convolution of a layer | 1 to 65536 |
/// | `blocks` | [6, 12, 24, 16] | layers of each block (this is DenseNet-121) | not empty, each >= 1 |
/// | `stem` | `Large` | a `Large` one has batch norm and activation, a `Small` one is a convolution alone | |
/// | `newest_first` | false | a layer's result stands before the channels that it is added to | |
/// | `activation` | `Relu` | after each normalisation | |
/// | `normalize` | none | means and deviations of the channels, applied to the input | |
#[derive(Clone, Debug, PartialEq)]
pub struct DenseNetConfig {
    /// Channels of the images.
    pub channels: usize,
    /// Number of classes.
    pub classes: usize,
    /// Channels of the stem.
    pub width: usize,
    /// Channels that each layer adds.
    pub growth: usize,
    /// Channels inside of a layer.
    pub inner: usize,
    /// Layers of each block.
    pub blocks: Vec<usize>,
    /// What stands before the blocks.
    pub stem: Stem,
    /// Whether a layer's result stands before the channels that it is added to.
    pub newest_first: bool,
    /// The nonlinearity.
    pub activation: Activation,
    /// Normalisation of the input.
    pub normalize: Option<Normalize>,
}

impl Default for DenseNetConfig {
    fn default() -> Self {
        Self {
            channels: 3,
            classes: 10,
            width: 64,
            growth: 32,
            inner: 128,
            blocks: vec![6, 12, 24, 16],
            stem: Stem::Large,
            newest_first: false,
            activation: Activation::Relu,
            normalize: None,
        }
    }
}

#[derive(Clone, Debug)]
enum First {
    Plain(Conv2d),
    Normed(Unit),
}

#[derive(Clone, Debug)]
enum Part {
    /// Norm, 1x1 convolution with a norm, 3x3 convolution.
    Layer(BatchNorm2d, Unit, Conv2d),
    /// Norm and 1x1 convolution, then 2x2 average pooling.
    Transition(BatchNorm2d, Conv2d),
}

/// A densely connected network with bottlenecks and compression by half, DenseNet-BC (Huang et al. 2017), without dropout.
#[derive(Clone, Debug)]
pub struct DenseNet {
    params: Params,
    cfg: DenseNetConfig,
    stem: First,
    parts: Vec<Part>,
    norm: BatchNorm2d,
    last: Linear,
}

impl DenseNet {
    /// Makes the network with initial values from `rng`.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(cfg: DenseNetConfig, rng: Rng, dtype: DType, device: &Device) -> Result<Self> {
        Self::make(cfg, Values::Drawn(rng), dtype, device)
    }

    pub(crate) fn make(cfg: DenseNetConfig, values: Values<'_>, dtype: DType, device: &Device) -> Result<Self> {
        require("DenseNetConfig.channels", cfg.channels >= 1, "at least 1", cfg.channels)?;
        require("DenseNetConfig.classes", cfg.classes >= 2, "at least 2", cfg.classes)?;
        require("DenseNetConfig.width", (1..=65536).contains(&cfg.width), "1 to 65536", cfg.width)?;
        require("DenseNetConfig.growth", (1..=65536).contains(&cfg.growth), "1 to 65536", cfg.growth)?;
        require("DenseNetConfig.inner", (1..=65536).contains(&cfg.inner), "1 to 65536", cfg.inner)?;
        let ok = !cfg.blocks.is_empty() && cfg.blocks.iter().all(|&n| n >= 1) && cfg.blocks.len() <= 16;
        require("DenseNetConfig.blocks", ok, "1 to 16 blocks of at least one layer", format!("{:?}", cfg.blocks))?;

        let mut params = Params::new();
        let mut root = Builder::with(&mut params, values, dtype, device);
        let mut b = root.scope("features");
        let (sizes, kernel, spec) = ((cfg.channels, cfg.width), cfg.stem.kernel(), cfg.stem.spec());
        let stem = match cfg.stem {
            Stem::Small => First::Plain(conv(&mut b, "conv0", sizes, kernel, spec)?),
            Stem::Large => First::Normed(Unit::new(&mut b, ("conv0", "norm0"), sizes, kernel, spec)?),
        };
        let (mut parts, mut from) = (Vec::new(), cfg.width);
        for (i, &layers) in cfg.blocks.iter().enumerate() {
            for layer in 0..layers {
                let b = &mut b.scope(&format!("denseblock{}.denselayer{}", i + 1, layer + 1));
                let norm = BatchNorm2d::new(&mut b.scope("norm1"), from)?;
                let unit = Unit::new(b, ("conv1", "norm2"), (from, cfg.inner), 1, strided(1, 1))?;
                parts.push(Part::Layer(norm, unit, conv(b, "conv2", (cfg.inner, cfg.growth), 3, strided(3, 1))?));
                from += cfg.growth;
            }
            if i + 1 < cfg.blocks.len() {
                let b = &mut b.scope(&format!("transition{}", i + 1));
                let norm = BatchNorm2d::new(&mut b.scope("norm"), from)?;
                parts.push(Part::Transition(norm, conv(b, "conv", (from, from / 2), 1, strided(1, 1))?));
                from /= 2;
            }
        }
        let norm = BatchNorm2d::new(&mut b.scope("norm5"), from)?;
        let last = Linear::new(&mut root.scope("classifier"), from, cfg.classes)?;
        Ok(Self { params, cfg, stem, parts, norm, last })
    }

    /// (N, C, H, W) -> (N, D): all layers but the last.
    fn body(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let activation = self.cfg.activation;
        let x = entry(x, self.cfg.channels, self.cfg.normalize.as_ref())?;
        let x = match &self.stem {
            First::Plain(conv) => conv.forward(&x, mode)?,
            First::Normed(unit) => unit.forward(&x, None, Some(activation), mode)?,
        };
        let mut x = self.cfg.stem.pool(x)?;
        for part in &self.parts {
            x = match part {
                Part::Layer(norm, unit, conv) => {
                    let on =
                        unit.forward(&norm.forward_activated(&x, activation, mode)?, None, Some(activation), mode)?;
                    let new = conv.forward(&on, mode)?;
                    Tensor::cat(&if self.cfg.newest_first { [new, x] } else { [x, new] }, 1)?
                }
                Part::Transition(norm, conv) => {
                    let on = conv.forward(&norm.forward_activated(&x, activation, mode)?, mode)?;
                    ops::avg_pool2d(&on, Pool2dSpec::default())?
                }
            };
        }
        ops::global_avg_pool2d(&self.norm.forward_activated(&x, activation, mode)?)
    }
}

network!(DenseNet);

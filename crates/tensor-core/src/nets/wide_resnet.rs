//! Wide residual networks.

use super::unit::{Unit, border, conv, entry, network, strided};
use crate::nn::{Activation, BatchNorm2d, Builder, Conv2d, Linear, Mode, Normalize, Values};
use crate::ops::{self, Conv2dSpec};
use crate::{Params, Result, Rng, error::require};
use candle_core::{DType, Device, Tensor};

/// Configuration of a [`WideResNet`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `channels` | 3 | channels of the images | >= 1 |
/// | `classes` | 10 | outputs | >= 2 |
/// | `depth` | 28 | layers: three stages of (depth - 4) / 6 blocks | 6 n + 4, >= 10 |
/// | `widen` | 10 | channels of the first stage over those of the stem | 1 to 65536 |
/// | `base` | 16 | channels of the stem | 1 to 65536 |
/// | `same` | false | strided 3x3 convolutions are padded below and on the right alone (SAME in TensorFlow and JAX) | |
/// | `activation` | `Relu` | after each normalisation | |
/// | `normalize` | none | means and deviations of the channels, applied to the input | |
#[derive(Clone, Debug, PartialEq)]
pub struct WideResNetConfig {
    /// Channels of the images.
    pub channels: usize,
    /// Number of classes.
    pub classes: usize,
    /// Number of layers.
    pub depth: usize,
    /// Widen factor.
    pub widen: usize,
    /// Channels of the stem.
    pub base: usize,
    /// Whether strided 3x3 convolutions are padded below and on the right alone.
    pub same: bool,
    /// The nonlinearity.
    pub activation: Activation,
    /// Normalisation of the input.
    pub normalize: Option<Normalize>,
}

impl Default for WideResNetConfig {
    fn default() -> Self {
        Self {
            channels: 3,
            classes: 10,
            depth: 28,
            widen: 10,
            base: 16,
            same: false,
            activation: Activation::Relu,
            normalize: None,
        }
    }
}

#[derive(Clone, Debug)]
struct Block {
    norm: BatchNorm2d,
    first: Unit,
    second: Conv2d,
    shortcut: Option<Conv2d>,
    border: bool,
}

impl Block {
    fn new(b: &mut Builder<'_>, (from, to): (usize, usize), stride: usize, same: bool) -> Result<Self> {
        let border = same && stride > 1;
        let spec = Conv2dSpec { padding: if border { (0, 0) } else { (1, 1) }, ..strided(3, stride) };
        Ok(Self {
            norm: BatchNorm2d::new(&mut b.scope("bn1"), from)?,
            first: Unit::new(b, ("conv1", "bn2"), (from, to), 3, spec)?,
            second: conv(b, "conv2", (to, to), 3, strided(3, 1))?,
            shortcut: if from == to { None } else { Some(conv(b, "convShortcut", (from, to), 1, strided(1, stride))?) },
            border,
        })
    }

    fn forward(&self, x: &Tensor, activation: Activation, mode: Mode) -> Result<Tensor> {
        let on = self.norm.forward_activated(x, activation, mode)?;
        let skip = match &self.shortcut {
            Some(shortcut) => shortcut.forward(&on, mode)?,
            None => x.clone(),
        };
        let on = if self.border { border(&on)? } else { on };
        let inner = self.first.forward(&on, None, Some(activation), mode)?;
        ops::add(&skip, &self.second.forward(&inner, mode)?)
    }
}

/// A wide residual network of basic blocks with pre-activation, WRN-depth-widen (Zagoruyko and Komodakis 2016), without dropout.
#[derive(Clone, Debug)]
pub struct WideResNet {
    params: Params,
    cfg: WideResNetConfig,
    stem: Conv2d,
    blocks: Vec<Block>,
    norm: BatchNorm2d,
    last: Linear,
}

impl WideResNet {
    /// Makes the network with initial values from `rng`.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(cfg: WideResNetConfig, rng: Rng, dtype: DType, device: &Device) -> Result<Self> {
        Self::make(cfg, Values::Drawn(rng), dtype, device)
    }

    pub(crate) fn make(cfg: WideResNetConfig, values: Values<'_>, dtype: DType, device: &Device) -> Result<Self> {
        require("WideResNetConfig.channels", cfg.channels >= 1, "at least 1", cfg.channels)?;
        require("WideResNetConfig.classes", cfg.classes >= 2, "at least 2", cfg.classes)?;
        let ok = cfg.depth >= 10 && cfg.depth % 6 == 4;
        require("WideResNetConfig.depth", ok, "6 n + 4 for n blocks in each stage, at least 10", cfg.depth)?;
        require("WideResNetConfig.widen", (1..=65536).contains(&cfg.widen), "1 to 65536", cfg.widen)?;
        require("WideResNetConfig.base", (1..=65536).contains(&cfg.base), "1 to 65536", cfg.base)?;

        let mut params = Params::new();
        let mut b = Builder::with(&mut params, values, dtype, device);
        let stem = conv(&mut b, "conv1", (cfg.channels, cfg.base), 3, strided(3, 1))?;
        let mut blocks = Vec::new();
        let mut from = cfg.base;
        for stage in 0..3 {
            let to = (cfg.base * cfg.widen) << stage;
            for i in 0..(cfg.depth - 4) / 6 {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                let b = &mut b.scope(&format!("block{}.layer.{i}", stage + 1));
                blocks.push(Block::new(b, (from, to), stride, cfg.same)?);
                from = to;
            }
        }
        let norm = BatchNorm2d::new(&mut b.scope("bn1"), from)?;
        let last = Linear::new(&mut b.scope("fc"), from, cfg.classes)?;
        Ok(Self { params, cfg, stem, blocks, norm, last })
    }

    /// (N, C, H, W) -> (N, D): all layers but the last.
    fn body(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut x = self.stem.forward(&entry(x, self.cfg.channels, self.cfg.normalize.as_ref())?, mode)?;
        for block in &self.blocks {
            x = block.forward(&x, self.cfg.activation, mode)?;
        }
        ops::global_avg_pool2d(&self.norm.forward_activated(&x, self.cfg.activation, mode)?)
    }
}

network!(WideResNet);

//! MobileNetV2.

use super::unit::{Unit, entry, network, strided};
use crate::nn::{Activation, Builder, Linear, Mode, Normalize, Values};
use crate::ops::{self, Conv2dSpec};
use crate::{Params, Result, Rng, error::require};
use candle_core::{DType, Device, Tensor};

/// A stage of a [`MobileNetV2`]: blocks of one number of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MobileStage {
    /// Channels inside of a block over those that enter it.
    pub expansion: usize,
    /// Channels at the end.
    pub channels: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Stride of the first block.
    pub stride: usize,
}

/// Configuration of a [`MobileNetV2`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `channels` | 3 | channels of the images | >= 1 |
/// | `classes` | 10 | outputs | >= 2 |
/// | `width` | 32 | channels of the stem | 1 to 65536 |
/// | `stages` | the seven of Sandler et al., table 2 | blocks | not empty, each number >= 1, strides 1 or 2 |
/// | `last_width` | 1280 | channels before the pooling | 1 to 65536 |
/// | `small` | false | the usual form for 32x32 images: the stem has stride 1, blocks expand even by 1, and shortcuts of stride 1 that change the channels are 1x1 convolutions | |
/// | `activation` | `Relu6` | after each normalisation but that of a block's end | |
/// | `normalize` | none | means and deviations of the channels, applied to the input | |
#[derive(Clone, Debug, PartialEq)]
pub struct MobileNetV2Config {
    /// Channels of the images.
    pub channels: usize,
    /// Number of classes.
    pub classes: usize,
    /// Channels of the stem.
    pub width: usize,
    /// Blocks.
    pub stages: Vec<MobileStage>,
    /// Channels before the pooling.
    pub last_width: usize,
    /// Whether it is the form for small images.
    pub small: bool,
    /// The nonlinearity.
    pub activation: Activation,
    /// Normalisation of the input.
    pub normalize: Option<Normalize>,
}

impl MobileNetV2Config {
    /// Blocks of the seven published stages.
    pub(super) const BLOCKS: [usize; 7] = [1, 2, 3, 4, 3, 3, 1];

    /// Strides of the seven published stages.
    pub(super) fn strides(small: bool) -> [usize; 7] {
        [1, if small { 1 } else { 2 }, 2, 2, 1, 2, 1]
    }
}

impl Default for MobileNetV2Config {
    fn default() -> Self {
        let stage = |(i, channels)| MobileStage {
            expansion: if i == 0 { 1 } else { 6 },
            channels,
            blocks: Self::BLOCKS[i],
            stride: Self::strides(false)[i],
        };
        Self {
            channels: 3,
            classes: 10,
            width: 32,
            stages: [16, 24, 32, 64, 96, 160, 320].into_iter().enumerate().map(stage).collect(),
            last_width: 1280,
            small: false,
            activation: Activation::Relu6,
            normalize: None,
        }
    }
}

#[derive(Clone, Debug)]
enum Skip {
    None,
    Same,
    Projection(Unit),
}

#[derive(Clone, Debug)]
struct Block {
    inner: Vec<Unit>,
    outer: Unit,
    skip: Skip,
}

impl Block {
    fn new(
        b: &mut Builder<'_>,
        (from, to): (usize, usize),
        stage: &MobileStage,
        stride: usize,
        small: bool,
    ) -> Result<Self> {
        let wide = from * stage.expansion;
        let mut inner = Vec::new();
        if small || stage.expansion != 1 {
            inner.push(Unit::new(b, ("conv.0.0", "conv.0.1"), (from, wide), 1, strided(1, 1))?);
        }
        let at = inner.len();
        let names = (format!("conv.{at}.0"), format!("conv.{at}.1"));
        let depthwise = Conv2dSpec { groups: wide, ..strided(3, stride) };
        inner.push(Unit::new(b, (&names.0, &names.1), (wide, wide), 3, depthwise)?);
        let names = (format!("conv.{}", at + 1), format!("conv.{}", at + 2));
        let outer = Unit::new(b, (&names.0, &names.1), (wide, to), 1, strided(1, 1))?;
        let skip = match (stride, from == to) {
            (1, true) => Skip::Same,
            (1, false) if small => {
                Skip::Projection(Unit::new(b, ("shortcut.0", "shortcut.1"), (from, to), 1, strided(1, 1))?)
            }
            _ => Skip::None,
        };
        Ok(Self { inner, outer, skip })
    }

    fn forward(&self, x: &Tensor, activation: Activation, mode: Mode) -> Result<Tensor> {
        let skip = match &self.skip {
            Skip::None => None,
            Skip::Same => Some(x.clone()),
            Skip::Projection(unit) => Some(unit.forward(x, None, None, mode)?),
        };
        let mut x = x.clone();
        for unit in &self.inner {
            x = unit.forward(&x, None, Some(activation), mode)?;
        }
        self.outer.forward(&x, skip.as_ref(), None, mode)
    }
}

/// Inverted residuals with linear bottlenecks (Sandler et al. 2018), without dropout.
#[derive(Clone, Debug)]
pub struct MobileNetV2 {
    params: Params,
    cfg: MobileNetV2Config,
    stem: Unit,
    blocks: Vec<Block>,
    head: Unit,
    last: Linear,
}

impl MobileNetV2 {
    /// Makes the network with initial values from `rng`.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(cfg: MobileNetV2Config, rng: Rng, dtype: DType, device: &Device) -> Result<Self> {
        Self::make(cfg, Values::Drawn(rng), dtype, device)
    }

    pub(crate) fn make(cfg: MobileNetV2Config, values: Values<'_>, dtype: DType, device: &Device) -> Result<Self> {
        require("MobileNetV2Config.channels", cfg.channels >= 1, "at least 1", cfg.channels)?;
        require("MobileNetV2Config.classes", cfg.classes >= 2, "at least 2", cfg.classes)?;
        require("MobileNetV2Config.width", (1..=65536).contains(&cfg.width), "1 to 65536", cfg.width)?;
        require("MobileNetV2Config.last_width", (1..=65536).contains(&cfg.last_width), "1 to 65536", cfg.last_width)?;
        let size = |v: usize| (1..=65536).contains(&v);
        let sound =
            |s: &MobileStage| size(s.expansion) && size(s.channels) && size(s.blocks) && [1, 2].contains(&s.stride);
        let ok = !cfg.stages.is_empty() && cfg.stages.iter().all(sound);
        require("MobileNetV2Config.stages", ok, "stages of 1 to 65536, of stride 1 or 2", format!("{:?}", cfg.stages))?;

        let mut params = Params::new();
        let mut root = Builder::with(&mut params, values, dtype, device);
        let mut b = root.scope("features");
        let spec = strided(3, if cfg.small { 1 } else { 2 });
        let stem = Unit::new(&mut b, ("0.0", "0.1"), (cfg.channels, cfg.width), 3, spec)?;
        let (mut blocks, mut from) = (Vec::new(), cfg.width);
        for stage in &cfg.stages {
            for i in 0..stage.blocks {
                let stride = if i == 0 { stage.stride } else { 1 };
                let b = &mut b.scope(&(blocks.len() + 1).to_string());
                blocks.push(Block::new(b, (from, stage.channels), stage, stride, cfg.small)?);
                from = stage.channels;
            }
        }
        let at = blocks.len() + 1;
        let names = (format!("{at}.0"), format!("{at}.1"));
        let head = Unit::new(&mut b, (&names.0, &names.1), (from, cfg.last_width), 1, strided(1, 1))?;
        let last = Linear::new(&mut root.scope("classifier.1"), cfg.last_width, cfg.classes)?;
        Ok(Self { params, cfg, stem, blocks, head, last })
    }

    /// (N, C, H, W) -> (N, D): all layers but the last.
    fn body(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let activation = self.cfg.activation;
        let x = entry(x, self.cfg.channels, self.cfg.normalize.as_ref())?;
        let mut x = self.stem.forward(&x, None, Some(activation), mode)?;
        for block in &self.blocks {
            x = block.forward(&x, activation, mode)?;
        }
        ops::global_avg_pool2d(&self.head.forward(&x, None, Some(activation), mode)?)
    }
}

network!(MobileNetV2);

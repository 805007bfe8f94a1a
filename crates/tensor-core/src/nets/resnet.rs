//! Residual networks.

use super::unit::{Stem, Unit, entry, network, strided};
use crate::nn::{Activation, Builder, Linear, Mode, Normalize, Values};
use crate::ops::{self, Conv2dSpec, Pool2dSpec};
use crate::{Params, Result, Rng, error::require};
use candle_core::{DType, Device, Tensor};

/// The residual branch of a [`ResNet`]'s block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResNetBlock {
    /// Two 3x3 convolutions.
    Basic,
    /// Convolutions of 1x1, 3x3 (which has the stride) and 1x1, the last to four times the channels of the stage.
    Bottleneck {
        /// Channels of the 3x3 convolution in the first stage; each further stage doubles them. ResNet-50 has as many as `width`,
        /// wide_resnet50_2 and ResNeXt-50 32x4d twice as many.
        inner: usize,
        /// Groups of the 3x3 convolution.
        groups: usize,
    },
}

/// The shortcut around a block that changes the shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shortcut {
    /// A 1x1 convolution with batch norm (option B of He et al.).
    Projection,
    /// Every second row and column, and as many channels of zeros before and behind (option A, without parameters).
    ZeroPadding,
}

/// Configuration of a [`ResNet`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `channels` | 3 | channels of the images | >= 1 |
/// | `classes` | 10 | outputs | >= 2 |
/// | `width` | 64 | channels of the first stage; each further stage doubles them | 1 to 65536 |
/// | `blocks` | [2, 2, 2, 2] | blocks of each stage (this is ResNet-18) | not empty, each >= 1 |
/// | `block` | `Basic` | what a block is | `inner` >= 1, a multiple of `groups` |
/// | `stem` | `Small` | what stands before the stages | |
/// | `shortcut` | `Projection` | around blocks that change the shape | |
/// | `activation` | `Relu` | after each normalisation and each sum | |
/// | `normalize` | none | means and deviations of the channels, applied to the input | |
#[derive(Clone, Debug, PartialEq)]
pub struct ResNetConfig {
    /// Channels of the images.
    pub channels: usize,
    /// Number of classes.
    pub classes: usize,
    /// Channels of the first stage.
    pub width: usize,
    /// Blocks of each stage.
    pub blocks: Vec<usize>,
    /// What a block is.
    pub block: ResNetBlock,
    /// What stands before the stages.
    pub stem: Stem,
    /// The shortcut around blocks that change the shape.
    pub shortcut: Shortcut,
    /// The nonlinearity.
    pub activation: Activation,
    /// Normalisation of the input.
    pub normalize: Option<Normalize>,
}

impl Default for ResNetConfig {
    fn default() -> Self {
        Self {
            channels: 3,
            classes: 10,
            width: 64,
            blocks: vec![2; 4],
            block: ResNetBlock::Basic,
            stem: Stem::Small,
            shortcut: Shortcut::Projection,
            activation: Activation::Relu,
            normalize: None,
        }
    }
}

#[derive(Clone, Debug)]
enum Skip {
    Same,
    Projection(Unit),
    /// Channels of zeros before and behind.
    Zeros(usize, usize),
}

impl Skip {
    fn forward(&self, x: &Tensor, stride: usize, mode: Mode) -> Result<Tensor> {
        match self {
            Self::Same => Ok(x.clone()),
            Self::Projection(unit) => unit.forward(x, None, None, mode),
            Self::Zeros(before, behind) => {
                let spec = Pool2dSpec { kernel: (1, 1), stride: (stride, stride), ..Pool2dSpec::default() };
                let x = if stride == 1 { x.clone() } else { ops::avg_pool2d(x, spec)? };
                Ok(x.pad_with_zeros(1, *before, *behind)?)
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Block {
    units: Vec<Unit>,
    skip: Skip,
    stride: usize,
}

impl Block {
    fn new(b: &mut Builder<'_>, cfg: &ResNetConfig, stage: usize, from: usize, stride: usize) -> Result<Self> {
        let (width, to) = (cfg.width << stage, cfg.outputs(stage));
        let unit = |b: &mut Builder<'_>, at: &str, sizes, kernel, spec| {
            Unit::new(b, (&format!("{at}.conv"), &format!("{at}.bn")), sizes, kernel, spec)
        };
        let units = match cfg.block {
            ResNetBlock::Basic => vec![
                unit(b, "1", (from, width), 3, strided(3, stride))?,
                unit(b, "2", (width, width), 3, strided(3, 1))?,
            ],
            ResNetBlock::Bottleneck { inner, groups } => {
                let inner = inner << stage;
                vec![
                    unit(b, "1", (from, inner), 1, strided(1, 1))?,
                    unit(b, "2", (inner, inner), 3, Conv2dSpec { groups, ..strided(3, stride) })?,
                    unit(b, "3", (inner, to), 1, strided(1, 1))?,
                ]
            }
        };
        let skip = match cfg.shortcut {
            _ if stride == 1 && from == to => Skip::Same,
            Shortcut::Projection => Skip::Projection(unit(b, "shortcut", (from, to), 1, strided(1, stride))?),
            Shortcut::ZeroPadding => {
                let more = to.saturating_sub(from);
                Skip::Zeros(more / 2, more - more / 2)
            }
        };
        Ok(Self { units, skip, stride })
    }

    fn forward(&self, x: &Tensor, activation: Activation, mode: Mode) -> Result<Tensor> {
        let skip = self.skip.forward(x, self.stride, mode)?;
        let mut x = x.clone();
        for (i, unit) in self.units.iter().enumerate() {
            let residual = (i + 1 == self.units.len()).then_some(&skip);
            x = unit.forward(&x, residual, Some(activation), mode)?;
        }
        Ok(x)
    }
}

impl ResNetConfig {
    /// Channels that a stage has at its end.
    fn outputs(&self, stage: usize) -> usize {
        let width = self.width << stage;
        if self.block == ResNetBlock::Basic { width } else { 4 * width }
    }
}

/// A residual network (He et al. 2016): ResNet-18 to 152, ResNet-20 to 110 for CIFAR (three stages of width 16 with
/// [`Shortcut::ZeroPadding`]), wide_resnet50_2 and ResNeXt, with torchvision's strides.
#[derive(Clone, Debug)]
pub struct ResNet {
    params: Params,
    cfg: ResNetConfig,
    stem: Unit,
    blocks: Vec<Block>,
    last: Linear,
}

impl ResNet {
    /// Makes the network with initial values from `rng`.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(cfg: ResNetConfig, rng: Rng, dtype: DType, device: &Device) -> Result<Self> {
        Self::make(cfg, Values::Drawn(rng), dtype, device)
    }

    pub(crate) fn make(cfg: ResNetConfig, values: Values<'_>, dtype: DType, device: &Device) -> Result<Self> {
        require("ResNetConfig.channels", cfg.channels >= 1, "at least 1", cfg.channels)?;
        require("ResNetConfig.classes", cfg.classes >= 2, "at least 2", cfg.classes)?;
        require("ResNetConfig.width", (1..=65536).contains(&cfg.width), "1 to 65536", cfg.width)?;
        let ok = !cfg.blocks.is_empty() && cfg.blocks.iter().all(|&n| n >= 1) && cfg.blocks.len() <= 16;
        require("ResNetConfig.blocks", ok, "1 to 16 stages of at least one block", format!("{:?}", cfg.blocks))?;
        if let ResNetBlock::Bottleneck { inner, groups } = cfg.block {
            let ok = groups >= 1 && (1..=65536).contains(&inner) && inner.is_multiple_of(groups);
            require("ResNetConfig.block", ok, "1 to 65536 channels in groups", format!("{inner} in {groups} groups"))?;
        }

        let mut params = Params::new();
        let mut b = Builder::with(&mut params, values, dtype, device);
        let sizes = (cfg.channels, cfg.width);
        let stem = Unit::new(&mut b, ("stem.conv", "stem.bn"), sizes, cfg.stem.kernel(), cfg.stem.spec())?;
        let mut blocks = Vec::new();
        let mut from = cfg.width;
        for (stage, &count) in cfg.blocks.iter().enumerate() {
            for i in 0..count {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                let b = &mut b.scope(&format!("stage{}.{i}", stage + 1));
                blocks.push(Block::new(b, &cfg, stage, from, stride)?);
                from = cfg.outputs(stage);
            }
        }
        let last = Linear::new(&mut b.scope("fc"), from, cfg.classes)?;
        Ok(Self { params, cfg, stem, blocks, last })
    }

    /// (N, C, H, W) -> (N, D): all layers but the last.
    fn body(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let activation = self.cfg.activation;
        let x = entry(x, self.cfg.channels, self.cfg.normalize.as_ref())?;
        let mut x = self.cfg.stem.pool(self.stem.forward(&x, None, Some(activation), mode)?)?;
        for block in &self.blocks {
            x = block.forward(&x, activation, mode)?;
        }
        ops::global_avg_pool2d(&x)
    }
}

network!(ResNet);

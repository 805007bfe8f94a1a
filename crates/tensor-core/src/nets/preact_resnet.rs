//! Residual networks with pre-activation.

use super::unit::{Unit, border, conv, entry, network, strided};
use crate::nn::{Activation, BatchNorm2d, Builder, Conv2d, Linear, Mode, Normalize, Values};
use crate::ops::{self, Conv2dSpec};
use crate::{Params, Result, Rng, error::require};
use candle_core::{DType, Device, Tensor};

/// The shortcut around a [`PreActResNet`]'s block that changes the shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PreActShortcut {
    /// A 1x1 convolution of the block's input after its normalisation and activation (He et al.; the usual CIFAR form).
    Activated,
    /// A 1x1 convolution of the block's input as it is (Wong et al. 2020, Rice et al. 2020).
    Raw,
    /// A 3x3 convolution of the block's input as it is; it and the other strided ones are padded below and on the right alone (Gowal et al. 2020).
    Same,
}

/// Configuration of a [`PreActResNet`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `channels` | 3 | channels of the images | >= 1 |
/// | `classes` | 10 | outputs | >= 2 |
/// | `width` | 64 | channels of the first stage; each further stage doubles them | 1 to 65536 |
/// | `blocks` | [2, 2, 2, 2] | blocks of each stage (this is PreActResNet-18) | not empty, each >= 1 |
/// | `bottleneck` | false | blocks of 1x1, 3x3 and 1x1 convolutions instead of two of 3x3 | |
/// | `final_norm` | true | normalisation and activation before the pooling | |
/// | `shortcut` | `Activated` | around blocks that change the shape | |
/// | `activation` | `Relu` | after each normalisation | |
/// | `normalize` | none | means and deviations of the channels, applied to the input | |
#[derive(Clone, Debug, PartialEq)]
pub struct PreActResNetConfig {
    /// Channels of the images.
    pub channels: usize,
    /// Number of classes.
    pub classes: usize,
    /// Channels of the first stage.
    pub width: usize,
    /// Blocks of each stage.
    pub blocks: Vec<usize>,
    /// Whether blocks are bottlenecks.
    pub bottleneck: bool,
    /// Whether normalisation and activation precede the pooling.
    pub final_norm: bool,
    /// The shortcut around blocks that change the shape.
    pub shortcut: PreActShortcut,
    /// The nonlinearity.
    pub activation: Activation,
    /// Normalisation of the input.
    pub normalize: Option<Normalize>,
}

impl Default for PreActResNetConfig {
    fn default() -> Self {
        Self {
            channels: 3,
            classes: 10,
            width: 64,
            blocks: vec![2; 4],
            bottleneck: false,
            final_norm: true,
            shortcut: PreActShortcut::Activated,
            activation: Activation::Relu,
            normalize: None,
        }
    }
}

#[derive(Clone, Debug)]
struct Block {
    norm: BatchNorm2d,
    /// Each with the norm of the one that follows.
    inner: Vec<Unit>,
    outer: Conv2d,
    shortcut: Option<Conv2d>,
    raw: bool,
    border: bool,
}

impl Block {
    fn new(b: &mut Builder<'_>, cfg: &PreActResNetConfig, from: usize, width: usize, stride: usize) -> Result<Self> {
        let to = if cfg.bottleneck { 4 * width } else { width };
        let same = cfg.shortcut == PreActShortcut::Same;
        let border = same && stride > 1;
        let spec = |kernel| {
            let spec = strided(kernel, stride);
            if border { Conv2dSpec { padding: (0, 0), ..spec } } else { spec }
        };
        let norm = BatchNorm2d::new(&mut b.scope("bn1"), from)?;
        let (inner, outer) = if cfg.bottleneck {
            let first = Unit::new(b, ("conv1", "bn2"), (from, width), 1, strided(1, 1))?;
            let second = Unit::new(b, ("conv2", "bn3"), (width, width), 3, strided(3, stride))?;
            (vec![first, second], conv(b, "conv3", (width, to), 1, strided(1, 1))?)
        } else {
            let first = Unit::new(b, ("conv1", "bn2"), (from, width), 3, spec(3))?;
            (vec![first], conv(b, "conv2", (width, to), 3, strided(3, 1))?)
        };
        let kernel = if same { 3 } else { 1 };
        let shortcut = if stride != 1 || from != to {
            Some(conv(b, "shortcut.0", (from, to), kernel, spec(kernel))?)
        } else {
            None
        };
        Ok(Self { norm, inner, outer, shortcut, raw: cfg.shortcut != PreActShortcut::Activated, border })
    }

    fn forward(&self, x: &Tensor, activation: Activation, mode: Mode) -> Result<Tensor> {
        let framed = |x: &Tensor| if self.border { border(x) } else { Ok(x.clone()) };
        let mut on = framed(&self.norm.forward_activated(x, activation, mode)?)?;
        let skip = match &self.shortcut {
            Some(shortcut) if self.raw => shortcut.forward(&framed(x)?, mode)?,
            Some(shortcut) => shortcut.forward(&on, mode)?,
            None => x.clone(),
        };
        for unit in &self.inner {
            on = unit.forward(&on, None, Some(activation), mode)?;
        }
        ops::add(&skip, &self.outer.forward(&on, mode)?)
    }
}

/// A residual network with pre-activation for 32x32 images (He et al. 2016b, figure 4e), with the widths of ResNet-18 to 152.
#[derive(Clone, Debug)]
pub struct PreActResNet {
    params: Params,
    cfg: PreActResNetConfig,
    stem: Conv2d,
    blocks: Vec<Block>,
    norm: Option<BatchNorm2d>,
    last: Linear,
}

impl PreActResNet {
    /// Makes the network with initial values from `rng`.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(cfg: PreActResNetConfig, rng: Rng, dtype: DType, device: &Device) -> Result<Self> {
        Self::make(cfg, Values::Drawn(rng), dtype, device)
    }

    pub(crate) fn make(cfg: PreActResNetConfig, values: Values<'_>, dtype: DType, device: &Device) -> Result<Self> {
        require("PreActResNetConfig.channels", cfg.channels >= 1, "at least 1", cfg.channels)?;
        require("PreActResNetConfig.classes", cfg.classes >= 2, "at least 2", cfg.classes)?;
        require("PreActResNetConfig.width", (1..=65536).contains(&cfg.width), "1 to 65536", cfg.width)?;
        let ok = !cfg.blocks.is_empty() && cfg.blocks.iter().all(|&n| n >= 1) && cfg.blocks.len() <= 16;
        require("PreActResNetConfig.blocks", ok, "1 to 16 stages of at least one block", format!("{:?}", cfg.blocks))?;
        let ok = !(cfg.bottleneck && cfg.shortcut == PreActShortcut::Same);
        require("PreActResNetConfig.shortcut", ok, "Activated or Raw for bottlenecks", "Same")?;

        let mut params = Params::new();
        let mut b = Builder::with(&mut params, values, dtype, device);
        let stem = conv(&mut b, "conv1", (cfg.channels, cfg.width), 3, strided(3, 1))?;
        let mut blocks = Vec::new();
        let mut from = cfg.width;
        for (stage, &count) in cfg.blocks.iter().enumerate() {
            let width = cfg.width << stage;
            for i in 0..count {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                let b = &mut b.scope(&format!("layer{}.{i}", stage + 1));
                blocks.push(Block::new(b, &cfg, from, width, stride)?);
                from = if cfg.bottleneck { 4 * width } else { width };
            }
        }
        let norm = if cfg.final_norm { Some(BatchNorm2d::new(&mut b.scope("bn"), from)?) } else { None };
        let last = Linear::new(&mut b.scope("linear"), from, cfg.classes)?;
        Ok(Self { params, cfg, stem, blocks, norm, last })
    }

    /// (N, C, H, W) -> (N, D): all layers but the last.
    fn body(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut x = self.stem.forward(&entry(x, self.cfg.channels, self.cfg.normalize.as_ref())?, mode)?;
        for block in &self.blocks {
            x = block.forward(&x, self.cfg.activation, mode)?;
        }
        if let Some(norm) = &self.norm {
            x = norm.forward_activated(&x, self.cfg.activation, mode)?;
        }
        ops::global_avg_pool2d(&x)
    }
}

network!(PreActResNet);

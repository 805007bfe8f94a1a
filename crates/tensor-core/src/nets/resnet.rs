//! Residual networks for 32x32 images.

use crate::nn::{BatchNorm2d, Builder, Conv2d, Init, Linear, Mode, Module, Network, Normalize};
use crate::ops::{self, Conv2dSpec};
use crate::{Error, Params, Result, Rng, error::require};
use candle_core::{DType, Device, Tensor};

/// Configuration of a [`ResNet`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `channels` | 3 | channels of the images | >= 1 |
/// | `classes` | 10 | outputs | >= 2 |
/// | `width` | 64 | channels of the first stage; each further stage doubles them | >= 1 |
/// | `blocks` | [2, 2, 2, 2] | basic blocks of each stage (this is ResNet-18) | not empty, each >= 1 |
/// | `normalize` | none | means and deviations of the channels, applied to the input | |
#[derive(Clone, Debug, PartialEq)]
pub struct ResNetConfig {
    /// Channels of the images.
    pub channels: usize,
    /// Number of classes.
    pub classes: usize,
    /// Channels of the first stage.
    pub width: usize,
    /// Basic blocks of each stage.
    pub blocks: Vec<usize>,
    /// Normalisation of the input.
    pub normalize: Option<Normalize>,
}

impl Default for ResNetConfig {
    fn default() -> Self {
        Self { channels: 3, classes: 10, width: 64, blocks: vec![2; 4], normalize: None }
    }
}

#[derive(Clone, Debug)]
struct Unit {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl Unit {
    fn new(b: &mut Builder<'_>, name: &str, from: usize, to: usize, kernel: usize, stride: usize) -> Result<Self> {
        let spec = Conv2dSpec { stride: (stride, stride), ..Conv2dSpec::same(kernel) };
        let init = Init::he_fan_out(to * kernel * kernel);
        let (conv, norm) = (format!("{name}.conv"), format!("{name}.bn"));
        Ok(Self {
            conv: Conv2d::without_bias(&mut b.scope(&conv), from, to, kernel, spec, init)?,
            norm: BatchNorm2d::new(&mut b.scope(&norm), to)?,
        })
    }

    fn forward(&self, x: &Tensor, residual: Option<&Tensor>, relu: bool, mode: Mode) -> Result<Tensor> {
        self.conv.forward_norm(x, &self.norm, residual, relu, mode)
    }
}

#[derive(Clone, Debug)]
struct Block {
    first: Unit,
    second: Unit,
    shortcut: Option<Unit>,
}

impl Block {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let skip = match &self.shortcut {
            Some(s) => s.forward(x, None, false, mode)?,
            None => x.clone(),
        };
        self.second.forward(&self.first.forward(x, None, true, mode)?, Some(&skip), true, mode)
    }
}

/// A residual network of basic blocks with a 3x3 stem and no first pooling, as is usual for 32x32
/// images (He et al. 2016, section 4.2, with the widths of ResNet-18 in their table 1).
#[derive(Clone, Debug)]
pub struct ResNet {
    params: Params,
    cfg: ResNetConfig,
    stem: Unit,
    blocks: Vec<Block>,
    fc: Linear,
}

impl ResNet {
    /// Makes the network with initial values from `rng`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: ResNetConfig, rng: Rng, dtype: DType, device: &Device) -> Result<Self> {
        require("ResNetConfig.channels", cfg.channels >= 1, "at least 1", cfg.channels)?;
        require("ResNetConfig.classes", cfg.classes >= 2, "at least 2", cfg.classes)?;
        require("ResNetConfig.width", cfg.width >= 1, "at least 1", cfg.width)?;
        let ok = !cfg.blocks.is_empty() && cfg.blocks.iter().all(|&n| n >= 1) && cfg.blocks.len() <= 16;
        require("ResNetConfig.blocks", ok, "1 to 16 stages of at least one block", format!("{:?}", cfg.blocks))?;

        let mut params = Params::new();
        let mut b = Builder::new(&mut params, rng, dtype, device);
        let stem = Unit::new(&mut b, "stem", cfg.channels, cfg.width, 3, 1)?;
        let mut blocks = Vec::new();
        let mut from = cfg.width;
        for (stage, &count) in cfg.blocks.iter().enumerate() {
            let to = cfg.width << stage;
            for i in 0..count {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                let b = &mut b.scope(&format!("stage{}.{i}", stage + 1));
                blocks.push(Block {
                    first: Unit::new(b, "1", from, to, 3, stride)?,
                    second: Unit::new(b, "2", to, to, 3, 1)?,
                    shortcut: if stride != 1 || from != to {
                        Some(Unit::new(b, "shortcut", from, to, 1, stride)?)
                    } else {
                        None
                    },
                });
                from = to;
            }
        }
        let fc = Linear::new(&mut b.scope("fc"), from, cfg.classes)?;
        Ok(Self { params, cfg, stem, blocks, fc })
    }
}

impl ResNet {
    /// (N, C, H, W) -> (N, D): all layers but the last.
    fn pooled(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        if x.rank() != 4 || x.dim(1)? != self.cfg.channels {
            return Err(Error::shape("input", format!("(N, {}, H, W)", self.cfg.channels), x.dims()));
        }
        let x = match &self.cfg.normalize {
            Some(n) => n.forward(x)?,
            None => x.clone(),
        };
        let mut x = self.stem.forward(&x, None, true, mode)?;
        for block in &self.blocks {
            x = block.forward(&x, mode)?;
        }
        ops::global_avg_pool2d(&x)
    }
}

impl Module for ResNet {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl Network for ResNet {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.fc.forward(&self.pooled(x, mode)?, mode)
    }

    fn features(&self, x: &Tensor) -> Result<Tensor> {
        self.pooled(x, Mode::Frozen)
    }

    fn outputs(&self) -> usize {
        self.cfg.classes
    }
}

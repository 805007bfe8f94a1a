//! Convolutional trunks.

use super::Trunk;
use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::nn::{BatchNorm2d, Builder, Conv2d, Init, Normalize};
use sconce_tensor_core::ops::{self, Conv2dSpec, Pool2dSpec};
use sconce_tensor_core::{Error, Mode, Module, Params, Result, Rng, error::require};

/// What stands at the end of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockPool {
    /// Nothing.
    None,
    /// The mean over windows.
    Mean(Pool2dSpec),
    /// The maximum over windows.
    Max(Pool2dSpec),
}

/// A block: convolutions with batch normalisation and ReLU after each, then a pooling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockConfig {
    /// Output channels and kernel side of each convolution; at least one, kernels odd (padded to keep the size).
    pub convolutions: Vec<(usize, usize)>,
    /// The pooling.
    pub pool: BlockPool,
}

/// Configuration of a [`ConvTrunk`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `channels` | 3 | of an image | >= 1 |
/// | `blocks` | [`ConvTrunkConfig::plain`] of 16, 32, 64 | the blocks | at least one |
/// | `normalize` | mean and deviation 0.5 of each channel | applied to the input | one value a channel |
#[derive(Clone, Debug, PartialEq)]
pub struct ConvTrunkConfig {
    /// Channels of an image.
    pub channels: usize,
    /// The blocks.
    pub blocks: Vec<BlockConfig>,
    /// Normalisation of the input; none: values stay in [0, 1].
    pub normalize: Option<Normalize>,
}

impl Default for ConvTrunkConfig {
    fn default() -> Self {
        Self { channels: 3, blocks: plain(&[16, 32, 64]), normalize: Normalize::new(vec![0.5; 3], vec![0.5; 3]).ok() }
    }
}

fn plain(widths: &[usize]) -> Vec<BlockConfig> {
    let block = |(i, width): (usize, &usize)| BlockConfig {
        convolutions: vec![(*width, 3)],
        pool: if i + 1 < widths.len() { BlockPool::Mean(Pool2dSpec::tiles(2)) } else { BlockPool::None },
    };
    widths.iter().enumerate().map(block).collect()
}

impl ConvTrunkConfig {
    /// A block of one 3x3 convolution for each width, a mean over 2x2 windows after all but the last: small trunks, chosen by us.
    #[must_use]
    pub fn plain(widths: &[usize]) -> Self {
        Self { blocks: plain(widths), ..Self::default() }
    }

    /// The network in network of RotNet with four blocks: 5x5, 1x1, 1x1 convolutions of 192, 160, 96 channels, then of 192, then two
    /// blocks of 3x3, 1x1, 1x1 convolutions of 192 channels; 3x3 poolings of stride 2 after the first (maximum) and the second
    /// (mean).
    ///
    /// Source: the authors' code, `gidariss/FeatureLearningRotNet`, `architectures/NetworkInNetwork.py`.
    #[must_use]
    pub fn nin() -> Self {
        let spec = Pool2dSpec { kernel: (3, 3), stride: (2, 2), padding: (1, 1), ..Pool2dSpec::default() };
        let block = |first: (usize, usize), second, third, pool| BlockConfig {
            convolutions: vec![first, (second, 1), (third, 1)],
            pool,
        };
        let blocks = vec![
            block((192, 5), 160, 96, BlockPool::Max(spec)),
            block((192, 5), 192, 192, BlockPool::Mean(spec)),
            block((192, 3), 192, 192, BlockPool::None),
            block((192, 3), 192, 192, BlockPool::None),
        ];
        Self { blocks, ..Self::default() }
    }
}

/// A trunk of convolutional blocks ([`ConvTrunkConfig`]). Kernels are drawn by He et al. over the fan-out
/// ([`Init::he_fan_out`]).
///
/// ```
/// use sconce_ssl::trunk::{ConvTrunk, ConvTrunkConfig, Trunk};
/// use sconce_tensor_core::{Device, Mode, Rng, candle_core::{DType, Tensor}};
/// let trunk = ConvTrunk::new(ConvTrunkConfig::default(), Rng::new(0), DType::F32, &Device::Cpu)?;
/// let x = Tensor::zeros((2, 3, 28, 28), DType::F32, &Device::Cpu)?;
/// let features = trunk.blocks(&x, Mode::Frozen)?;
/// assert_eq!(features[0].dims(), [2, 16, 14, 14]);
/// assert_eq!(features[2].dims(), [2, 64, 7, 7]);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConvTrunk {
    params: Params,
    cfg: ConvTrunkConfig,
    blocks: Vec<Vec<(Conv2d, BatchNorm2d)>>,
}

impl ConvTrunk {
    /// Makes the trunk with initial values from `rng`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: ConvTrunkConfig, rng: Rng, dtype: DType, device: &Device) -> Result<Self> {
        require("ConvTrunkConfig.channels", cfg.channels >= 1, "at least 1", cfg.channels)?;
        require("ConvTrunkConfig.blocks", !cfg.blocks.is_empty(), "at least one", 0)?;
        let mut params = Params::new();
        let mut build = Builder::new(&mut params, rng, dtype, device);
        let (mut inputs, mut blocks) = (cfg.channels, Vec::new());
        for (i, block) in cfg.blocks.iter().enumerate() {
            let convolutions = &block.convolutions;
            require("BlockConfig.convolutions", !convolutions.is_empty(), "at least one", 0)?;
            let mut layers = Vec::new();
            for (j, &(outputs, kernel)) in convolutions.iter().enumerate() {
                require("BlockConfig.convolutions", outputs >= 1, "of at least 1 channel", outputs)?;
                require("BlockConfig.convolutions", kernel % 2 == 1, "of an odd kernel", kernel)?;
                let mut b = build.scope(&format!("block{}", i + 1));
                let init = Init::he_fan_out(outputs * kernel * kernel);
                let spec = Conv2dSpec::same(kernel);
                let mut scope = b.scope(&format!("conv{}", j + 1));
                let conv = Conv2d::without_bias(&mut scope, inputs, outputs, kernel, spec, init)?;
                layers.push((conv, BatchNorm2d::new(&mut b.scope(&format!("bn{}", j + 1)), outputs)?));
                inputs = outputs;
            }
            blocks.push(layers);
        }
        Ok(Self { params, cfg, blocks })
    }
}

impl Module for ConvTrunk {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl Trunk for ConvTrunk {
    fn blocks(&self, x: &Tensor, mode: Mode) -> Result<Vec<Tensor>> {
        let c = self.cfg.channels;
        if x.rank() != 4 || x.dim(1)? != c {
            return Err(Error::shape("input of the trunk", format!("(N, {c}, H, W)"), x.dims()));
        }
        let mut x = match &self.cfg.normalize {
            Some(n) => n.forward(x)?,
            None => x.clone(),
        };
        let mut maps = Vec::with_capacity(self.blocks.len());
        for (layers, cfg) in self.blocks.iter().zip(&self.cfg.blocks) {
            for (conv, norm) in layers {
                x = conv.forward_norm(&x, norm, None, true, mode)?;
            }
            x = match cfg.pool {
                BlockPool::None => x,
                BlockPool::Mean(spec) => ops::avg_pool2d(&x, spec)?,
                BlockPool::Max(spec) => ops::max_pool2d(&x, spec)?,
            };
            maps.push(x.clone());
        }
        Ok(maps)
    }

    fn channels(&self) -> Vec<usize> {
        self.cfg.blocks.iter().map(|b| b.convolutions.last().map_or(0, |c| c.0)).collect()
    }
}

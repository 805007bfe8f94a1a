//! Residual networks of the SN-GAN with projection.

use super::config::Stages;
use super::dcgan::{SpectralConv, checked_freeze, require_images, sum_pool, without_blocks};
use super::head::Head;
use super::{ConditionalBatchNorm2d, Discriminator, DiscriminatorConfig, Generator, GeneratorConfig, Pass, Scores};
use crate::Result;
use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::nn::{Builder, Conv2d, Init, Linear};
use sconce_tensor_core::ops::{self, Conv2dSpec, Pool2dSpec};
use sconce_tensor_core::{Bounds, Mode, Module, Params, Rng};

/// Uniform with bound `gain sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio 2010, equation 16); the gain is sqrt 2 on convolutions of a
/// residual branch.
fn glorot(from: usize, to: usize, kernel: usize, gain: f64) -> Init {
    Init::Uniform(gain * (6.0 / ((from + to) * kernel * kernel) as f64).sqrt())
}

const ROOT2: f64 = std::f64::consts::SQRT_2;

/// The residual generator of the SN-GAN with projection (Miyato and Koyama 2018, arXiv 1802.05637): a linear map to the smallest maps, a
/// residual block for each doubling of the side, batch norm, ReLU, a 3x3 convolution, tanh. A block is conditional batch norm, ReLU,
/// nearest upsampling, 3x3 convolution, conditional batch norm, ReLU, 3x3 convolution, plus a 1x1 convolution of its input upsampled.
///
/// The networks for 32x32 images have a constant width of 256 and noise of length 128, those for 64x64 doubling widths from 64. There
/// the last batch norm is not conditional; here it is, as the others.
#[derive(Clone, Debug)]
pub struct ResNetGenerator {
    params: Params,
    cfg: GeneratorConfig,
    project: Linear,
    base: (usize, usize),
    blocks: Vec<UpBlock>,
    norm: ConditionalBatchNorm2d,
    last: Conv2d,
}

#[derive(Clone, Debug)]
struct UpBlock {
    norms: [ConditionalBatchNorm2d; 2],
    convs: [Conv2d; 2],
    shortcut: Conv2d,
    side: usize,
}

impl UpBlock {
    fn forward(&self, x: &Tensor, y: &Tensor, pass: Pass) -> Result<Tensor> {
        let (mode, out) = (pass.mode(), (self.side, self.side));
        let h = ops::relu(&self.norms[0].forward(x, y, pass)?)?;
        let h = self.convs[0].forward(&ops::upsample_nearest2d(&h, out)?, mode)?;
        let h = self.convs[1].forward(&ops::relu(&self.norms[1].forward(&h, y, pass)?)?, mode)?;
        // A 1x1 convolution and nearest upsampling commute; this order costs a quarter.
        Ok((h + ops::upsample_nearest2d(&self.shortcut.forward(x, mode)?, out)?)?)
    }
}

impl ResNetGenerator {
    /// Makes the network with initial values from `rng`.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(cfg: GeneratorConfig, rng: Rng, dtype: DType, device: &Device) -> Result<Self> {
        let Stages { sides, channels } = cfg.stages()?;
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, rng, dtype, device);
        let last = sides.len() - 1;
        let base = (channels[last], sides[last]);
        let project = Linear::new(&mut b.scope("project"), cfg.noise, base.0 * base.1 * base.1)?;
        let conv = |b: &mut Builder<'_>, from, to, kernel, gain| {
            Conv2d::without_bias(b, from, to, kernel, Conv2dSpec::same(kernel), glorot(from, to, kernel, gain))
        };
        let mut blocks = Vec::new();
        for i in (0..last).rev() {
            let (from, to) = (channels[i + 1], channels[i]);
            let b = &mut b.scope(&format!("up{}", last - i));
            blocks.push(UpBlock {
                norms: [
                    ConditionalBatchNorm2d::new(&mut b.scope("norm0"), from, cfg.classes)?,
                    ConditionalBatchNorm2d::new(&mut b.scope("norm1"), to, cfg.classes)?,
                ],
                convs: [
                    conv(&mut b.scope("conv0"), from, to, 3, ROOT2)?,
                    conv(&mut b.scope("conv1"), to, to, 3, ROOT2)?,
                ],
                shortcut: conv(&mut b.scope("shortcut"), from, to, 1, 1.0)?,
                side: sides[i],
            });
        }
        let norm = ConditionalBatchNorm2d::new(&mut b.scope("norm"), channels[0], cfg.classes)?;
        let last = Conv2d::new(&mut b.scope("last"), channels[0], cfg.channels, 3, Conv2dSpec::same(3))?;
        Ok(Self { params, cfg, project, base, blocks, norm, last })
    }
}

impl Module for ResNetGenerator {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl Generator for ResNetGenerator {
    fn noise(&self) -> usize {
        self.cfg.noise
    }

    fn classes(&self) -> usize {
        self.cfg.classes
    }

    fn generate(&self, z: &Tensor, y: &Tensor, pass: Pass) -> Result<Tensor> {
        let (mode, (channels, side)) = (pass.mode(), self.base);
        let mut h = ops::reshape(&self.project.forward(z, mode)?, (z.dim(0)?, channels, side, side))?;
        for block in &self.blocks {
            h = block.forward(&h, y, pass)?;
        }
        let h = ops::relu(&self.norm.forward(&h, y, pass)?)?;
        ops::tanh(&self.last.forward(&h, mode)?)
    }

    fn range(&self) -> Option<Bounds> {
        Bounds::new(-1.0, 1.0).ok()
    }
}

#[derive(Clone, Debug)]
struct Block {
    convs: [SpectralConv; 2],
    shortcut: Option<SpectralConv>,
    /// The first block takes images: no ReLU before its first convolution, and its shortcut pools first.
    first: bool,
    halve: bool,
}

impl Block {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let pool = |h: Tensor| if self.halve { ops::avg_pool2d(&h, Pool2dSpec::default()) } else { Ok(h) };
        let h = if self.first { x.clone() } else { ops::relu(x)? };
        let h = pool(self.convs[1].forward(&self.convs[0].forward(&h, Some(0.0), mode)?, None, mode)?)?;
        let skip = pool(x.clone())?;
        // A 1x1 convolution and averages commute; this order costs a quarter.
        let skip = match &self.shortcut {
            Some(s) => s.forward(&skip, None, mode)?,
            None => skip,
        };
        Ok((h + skip)?)
    }
}

/// The residual discriminator of the SN-GAN with projection (Miyato and Koyama 2018, arXiv 1802.05637): residual blocks of two 3x3
/// convolutions with ReLU, of which those that halve the side end with average pooling; ReLU, the sum over positions, the head. The
/// configuration's blocks are the halvings, then the plain ones.
#[derive(Clone, Debug)]
pub struct ResNetDiscriminator {
    params: Params,
    cfg: DiscriminatorConfig,
    blocks: Vec<Block>,
    frozen: usize,
    head: Head,
}

impl ResNetDiscriminator {
    /// Makes the network with initial values from `rng`.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(cfg: DiscriminatorConfig, rng: Rng, dtype: DType, device: &Device) -> Result<Self> {
        let Stages { sides, channels } = cfg.stages()?;
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, rng, dtype, device);
        let conv = |b: &mut Builder<'_>, from, to, kernel, gain| {
            let init = glorot(from, to, kernel, gain);
            SpectralConv::new(b, (from, to, kernel), Conv2dSpec::same(kernel), init, cfg.spectral_norm)
        };
        let mut blocks = Vec::new();
        for i in 1..sides.len() {
            // The first block goes from the image to the channels of the full side.
            let from = if i == 1 { cfg.channels } else { channels[i - 2] };
            let to = channels[i - 1];
            let halve = sides[i] < sides[i - 1];
            let b = &mut b.scope(&format!("block{}", i - 1));
            blocks.push(Block {
                convs: [
                    conv(&mut b.scope("conv0"), from, to, 3, ROOT2)?,
                    conv(&mut b.scope("conv1"), to, to, 3, ROOT2)?,
                ],
                shortcut: if halve || from != to {
                    Some(conv(&mut b.scope("shortcut"), from, to, 1, 1.0)?)
                } else {
                    None
                },
                first: i == 1,
                halve,
            });
        }
        let features = channels[sides.len() - 2];
        let head = Head::new(&mut b.scope("head"), features, cfg.classes, cfg.conditioning, cfg.spectral_norm)?;
        Ok(Self { params, cfg, blocks, frozen: 0, head })
    }
}

impl Module for ResNetDiscriminator {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl Discriminator for ResNetDiscriminator {
    fn classes(&self) -> usize {
        self.cfg.classes
    }

    fn score(&self, x: &Tensor, y: &Tensor, mode: Mode) -> Result<Scores> {
        require_images(x, self.cfg.channels, self.cfg.side)?;
        let mut h = x.clone();
        for (i, block) in self.blocks.iter().enumerate() {
            h = block.forward(&h, if i < self.frozen { Mode::Frozen } else { mode })?;
        }
        self.head.forward(&sum_pool(&ops::relu(&h)?)?, y, mode)
    }

    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn freeze(&mut self, blocks: usize) -> Result<()> {
        self.frozen = checked_freeze(blocks, self.blocks.len())?;
        Ok(())
    }

    fn trainable(&self) -> Params {
        without_blocks(&self.params, self.frozen)
    }
}

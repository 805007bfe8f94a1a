//! Small networks of strided convolutions.

use super::config::Stages;
use super::head::Head;
use super::{ConditionalBatchNorm2d, Discriminator, DiscriminatorConfig, Generator, GeneratorConfig, Pass};
use super::{Scores, SpectralWeight};
use crate::Result;
use sconce_tensor_core::candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::nn::{Builder, Conv2d, Init, Linear};
use sconce_tensor_core::ops::{self, Conv2dSpec, ConvTranspose2dSpec};
use sconce_tensor_core::{Bounds, Error, Mode, Module, Params, Rng, Role, error::require};

/// The leaky ReLU's slope of the discriminator (chosen by us).
const SLOPE: f64 = 0.1;

/// A generator of DCGAN's kind (Radford et al. 2016, arXiv 1511.06434) with class-conditional batch norm: a linear map to the
/// smallest maps, then a 4x4 transposed convolution of stride 2 for each doubling of the side, each with batch norm and ReLU, then a
/// 3x3 convolution and tanh.
///
/// ```
/// use sconce_gan::nets::{DcganGenerator, Generator, GeneratorConfig, Pass};
/// use sconce_tensor_core::candle_core::{DType, Device, Tensor};
/// use sconce_tensor_core::Rng;
/// let cfg = GeneratorConfig { side: 14, classes: 5, width: 4, ..GeneratorConfig::default() };
/// let g = DcganGenerator::new(cfg, Rng::new(0), DType::F32, &Device::Cpu)?;
/// let z = Rng::new(1).normal((3, g.noise()), 0.0, 1.0, DType::F32, &Device::Cpu)?;
/// let y = Tensor::new(&[0u32, 4, 2], &Device::Cpu)?;
/// assert_eq!(g.generate(&z, &y, Pass::Train)?.dims(), [3, 1, 14, 14]);
/// # Ok::<(), sconce_gan::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DcganGenerator {
    params: Params,
    cfg: GeneratorConfig,
    project: Linear,
    base: (usize, usize),
    first: ConditionalBatchNorm2d,
    ups: Vec<Up>,
    last: Conv2d,
}

/// A transposed convolution with its norm.
#[derive(Clone, Debug)]
struct Up {
    weight: Var,
    spec: ConvTranspose2dSpec,
    norm: ConditionalBatchNorm2d,
}

impl DcganGenerator {
    /// Makes the network with initial values from `rng`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: GeneratorConfig, rng: Rng, dtype: DType, device: &Device) -> Result<Self> {
        let Stages { sides, channels } = cfg.stages()?;
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, rng, dtype, device);
        let last = sides.len() - 1;
        let base = (channels[last], sides[last]);
        let project = Linear::new(&mut b.scope("project"), cfg.noise, base.0 * base.1 * base.1)?;
        let first = ConditionalBatchNorm2d::new(&mut b.scope("norm0"), base.0, cfg.classes)?;
        let mut ups = Vec::new();
        for i in (0..last).rev() {
            let (from, to) = (channels[i + 1], channels[i]);
            // An odd side is one row longer than twice the one below it.
            let extra = sides[i] - 2 * sides[i + 1];
            let spec = ConvTranspose2dSpec {
                stride: (2, 2),
                padding: (1, 1),
                output_padding: (extra, extra),
                ..ConvTranspose2dSpec::default()
            };
            let k = last - i;
            let b = &mut b.scope(&format!("up{k}"));
            let weight = b.param("weight", Role::Kernel, (from, to, 4, 4), Init::fan_in(from * 16))?;
            ups.push(Up { weight, spec, norm: ConditionalBatchNorm2d::new(&mut b.scope("norm"), to, cfg.classes)? });
        }
        let last = Conv2d::new(&mut b.scope("last"), channels[0], cfg.channels, 3, Conv2dSpec::same(3))?;
        Ok(Self { params, cfg, project, base, first, ups, last })
    }
}

impl Module for DcganGenerator {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl Generator for DcganGenerator {
    fn noise(&self) -> usize {
        self.cfg.noise
    }

    fn classes(&self) -> usize {
        self.cfg.classes
    }

    fn generate(&self, z: &Tensor, y: &Tensor, pass: Pass) -> Result<Tensor> {
        let (mode, (channels, side)) = (pass.mode(), self.base);
        let n = z.dim(0)?;
        let mut h = ops::reshape(&self.project.forward(z, mode)?, (n, channels, side, side))?;
        h = ops::relu(&self.first.forward(&h, y, pass)?)?;
        for up in &self.ups {
            h = ops::conv_transpose2d(&h, &mode.tensor(&up.weight), None, up.spec)?;
            h = ops::relu(&up.norm.forward(&h, y, pass)?)?;
        }
        ops::tanh(&self.last.forward(&h, mode)?)
    }

    fn range(&self) -> Option<Bounds> {
        Bounds::new(-1.0, 1.0).ok()
    }
}

/// A convolution whose weight may be spectrally normalised.
#[derive(Clone, Debug)]
pub(super) struct SpectralConv {
    weight: SpectralWeight,
    bias: Var,
    spec: Conv2dSpec,
}

impl SpectralConv {
    pub(super) fn new(
        b: &mut Builder<'_>,
        (from, to, kernel): (usize, usize, usize),
        spec: Conv2dSpec,
        init: Init,
        spectral: bool,
    ) -> Result<Self> {
        let weight = SpectralWeight::new(b, Role::Kernel, (to, from, kernel, kernel), init, spectral)?;
        Ok(Self { weight, bias: b.param("bias", Role::Bias, to, Init::Constant(0.0))?, spec })
    }

    /// The convolution, then a leaky ReLU where there is a slope.
    pub(super) fn forward(&self, x: &Tensor, slope: Option<f64>, mode: Mode) -> Result<Tensor> {
        let (w, b) = (self.weight.tensor(mode)?, mode.tensor(&self.bias));
        match slope {
            Some(slope) => ops::conv2d_rectified(x, &w, Some(&b), self.spec, ops::Rectifier::leaky(slope)),
            None => ops::conv2d(x, &w, Some(&b), self.spec),
        }
    }
}

/// The sum over positions.
pub(super) fn sum_pool(h: &Tensor) -> Result<Tensor> {
    let (_, _, height, width) = h.dims4()?;
    Ok((ops::global_avg_pool2d(h)? * (height * width) as f64)?)
}

/// Checks the shape of images.
pub(super) fn require_images(x: &Tensor, channels: usize, side: usize) -> Result<()> {
    if x.rank() == 4 && x.dims()[1..] == [channels, side, side] {
        return Ok(());
    }
    Err(Error::shape("images", format!("(N, {channels}, {side}, {side})"), x.dims()))
}

/// A discriminator of DCGAN's kind without batch norm: a 3x3 convolution, a 4x4 convolution of stride 2 for each halving, 3x3
/// convolutions for plain blocks, each with leaky ReLU of slope 0.1; the sum over positions; the head. Block 0 is the first convolution.
#[derive(Clone, Debug)]
pub struct DcganDiscriminator {
    params: Params,
    cfg: DiscriminatorConfig,
    blocks: Vec<SpectralConv>,
    frozen: usize,
    head: Head,
}

impl DcganDiscriminator {
    /// Makes the network with initial values from `rng`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: DiscriminatorConfig, rng: Rng, dtype: DType, device: &Device) -> Result<Self> {
        let Stages { sides, channels } = cfg.stages()?;
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, rng, dtype, device);
        let mut blocks = Vec::new();
        for i in 0..sides.len() {
            let from = if i == 0 { cfg.channels } else { channels[i - 1] };
            let (kernel, spec) = if i > 0 && sides[i] < sides[i - 1] {
                (4, Conv2dSpec { stride: (2, 2), padding: (1, 1), ..Conv2dSpec::default() })
            } else {
                (3, Conv2dSpec::same(3))
            };
            let b = &mut b.scope(&format!("block{i}"));
            let init = Init::fan_in(from * kernel * kernel);
            blocks.push(SpectralConv::new(b, (from, channels[i], kernel), spec, init, cfg.spectral_norm)?);
        }
        let features = channels[channels.len() - 1];
        let head = Head::new(&mut b.scope("head"), features, cfg.classes, cfg.conditioning, cfg.spectral_norm)?;
        Ok(Self { params, cfg, blocks, frozen: 0, head })
    }
}

impl Module for DcganDiscriminator {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl Discriminator for DcganDiscriminator {
    fn classes(&self) -> usize {
        self.cfg.classes
    }

    fn score(&self, x: &Tensor, y: &Tensor, mode: Mode) -> Result<Scores> {
        require_images(x, self.cfg.channels, self.cfg.side)?;
        let mut h = x.clone();
        for (i, block) in self.blocks.iter().enumerate() {
            h = block.forward(&h, Some(SLOPE), if i < self.frozen { Mode::Frozen } else { mode })?;
        }
        self.head.forward(&sum_pool(&h)?, y, mode)
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

pub(super) fn checked_freeze(blocks: usize, all: usize) -> Result<usize> {
    require("Discriminator.freeze", blocks <= all, &format!("at most the {all} blocks"), blocks)?;
    Ok(blocks)
}

/// The parameters less those of the blocks below `frozen`.
pub(super) fn without_blocks(params: &Params, frozen: usize) -> Params {
    let block = |name: &str| name.strip_prefix("block")?.split('.').next()?.parse::<usize>().ok();
    params.subset(|p| block(p.name()).is_none_or(|i| i >= frozen))
}

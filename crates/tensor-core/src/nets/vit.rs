//! Vision transformers.

use super::unit::{entry, network};
use crate::nn::{Activation, Builder, Conv2d, Init, LayerNorm, Linear, Mode, Normalize, Values};
use crate::ops::{self, Conv2dSpec};
use crate::{Error, Params, Result, Rng, Role, error::require};
use candle_core::{DType, Device, Tensor, Var};

/// What the last layer of a [`Vit`] sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VitPooling {
    /// The class token, normalised.
    Token,
    /// The mean of the normalised patches.
    Mean,
    /// The mean of the patches, normalised.
    MeanBeforeNorm,
}

/// Configuration of a [`Vit`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `input` | (3, 32, 32) | channels, height, width of an image | sides are multiples of `patch` |
/// | `classes` | 10 | outputs | >= 2 |
/// | `patch` | 4 | side of a patch | >= 1 |
/// | `dim` | 192 | length of a patch's vector | a multiple of `heads` |
/// | `depth` | 6 | blocks | >= 1 |
/// | `heads` | 3 | attention heads | >= 1 |
/// | `hidden` | 768 | width of a block's hidden linear layer | >= 1 |
/// | `token` | true | a learned vector stands before those of the patches | |
/// | `pooling` | `Token` | what the last layer sees | `Token` needs `token` |
/// | `activation` | `Gelu` | of the hidden linear layers | |
/// | `normalize` | none | means and deviations of the channels, applied to the input | |
#[derive(Clone, Debug, PartialEq)]
pub struct VitConfig {
    /// Channels, height and width of an image.
    pub input: (usize, usize, usize),
    /// Number of classes.
    pub classes: usize,
    /// Side of a patch.
    pub patch: usize,
    /// Length of a patch's vector.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the hidden layers.
    pub hidden: usize,
    /// Whether there is a class token.
    pub token: bool,
    /// What the last layer sees.
    pub pooling: VitPooling,
    /// The nonlinearity.
    pub activation: Activation,
    /// Normalisation of the input.
    pub normalize: Option<Normalize>,
}

impl Default for VitConfig {
    fn default() -> Self {
        Self {
            input: (3, 32, 32),
            classes: 10,
            patch: 4,
            dim: 192,
            depth: 6,
            heads: 3,
            hidden: 768,
            token: true,
            pooling: VitPooling::Token,
            activation: Activation::Gelu,
            normalize: None,
        }
    }
}

/// `eps` of the layer norms, as in timm and torchvision.
const EPS: f64 = 1e-6;

/// The standard deviation of the initial token and positions.
const STD: f64 = 0.02;

#[derive(Clone, Debug)]
struct Block {
    norms: [LayerNorm; 2],
    qkv: Linear,
    proj: Linear,
    fc: [Linear; 2],
}

impl Block {
    fn new(b: &mut Builder<'_>, cfg: &VitConfig) -> Result<Self> {
        let dim = cfg.dim;
        let norm1 = LayerNorm::new(&mut b.scope("norm1"), dim, EPS)?;
        let qkv = Linear::new(&mut b.scope("attn.qkv"), dim, 3 * dim)?;
        let proj = Linear::new(&mut b.scope("attn.proj"), dim, dim)?;
        let norm2 = LayerNorm::new(&mut b.scope("norm2"), dim, EPS)?;
        let fc1 = Linear::new(&mut b.scope("mlp.fc1"), dim, cfg.hidden)?;
        let fc2 = Linear::new(&mut b.scope("mlp.fc2"), cfg.hidden, dim)?;
        Ok(Self { norms: [norm1, norm2], qkv, proj, fc: [fc1, fc2] })
    }

    /// (N, T, D) -> (N, T, D): `softmax(q k^T / sqrt(D / heads)) v` for each head.
    fn attention(&self, x: &Tensor, heads: usize, mode: Mode) -> Result<Tensor> {
        let (n, t, dim) = x.dims3()?;
        let size = dim / heads;
        let qkv = self.qkv.forward(x, mode)?.reshape((n, t, 3, heads, size))?.permute((2, 0, 3, 1, 4))?;
        let part = |i: usize| qkv.get(i)?.contiguous()?.reshape((n * heads, t, size));
        let (q, k, v) = ((part(0)? * (1.0 / (size as f64).sqrt()))?, part(1)?, part(2)?);
        let weights = ops::softmax(&ops::batched_matmul(&q, &k.transpose(1, 2)?)?)?;
        let mixed = ops::batched_matmul(&weights, &v)?.reshape((n, heads, t, size))?;
        self.proj.forward(&mixed.transpose(1, 2)?.contiguous()?.reshape((n, t, dim))?, mode)
    }

    fn forward(&self, x: &Tensor, cfg: &VitConfig, mode: Mode) -> Result<Tensor> {
        let x = ops::add(x, &self.attention(&self.norms[0].forward(x, mode)?, cfg.heads, mode)?)?;
        let inner = cfg.activation.forward(&self.fc[0].forward(&self.norms[1].forward(&x, mode)?, mode)?)?;
        ops::add(&x, &self.fc[1].forward(&inner, mode)?)
    }
}

/// A vision transformer with normalisation before each part of a block (Dosovitskiy et al. 2021), without dropout.
#[derive(Clone, Debug)]
pub struct Vit {
    params: Params,
    cfg: VitConfig,
    patches: Conv2d,
    token: Option<Var>,
    positions: Var,
    blocks: Vec<Block>,
    norm: LayerNorm,
    last: Linear,
}

impl Vit {
    /// Makes the network with initial values from `rng`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: VitConfig, rng: Rng, dtype: DType, device: &Device) -> Result<Self> {
        Self::make(cfg, Values::Drawn(rng), dtype, device)
    }

    pub(crate) fn make(cfg: VitConfig, values: Values<'_>, dtype: DType, device: &Device) -> Result<Self> {
        let (c, h, w) = cfg.input;
        require("VitConfig.patch", cfg.patch >= 1, "at least 1", cfg.patch)?;
        let whole = c >= 1 && h >= 1 && w >= 1 && h.is_multiple_of(cfg.patch) && w.is_multiple_of(cfg.patch);
        let must = format!("channels and sides that are multiples of the patch, {}", cfg.patch);
        require("VitConfig.input", whole, &must, format!("{c}x{h}x{w}"))?;
        require("VitConfig.classes", cfg.classes >= 2, "at least 2", cfg.classes)?;
        require("VitConfig.depth", cfg.depth >= 1, "at least 1", cfg.depth)?;
        let ok = cfg.dim >= 1 && cfg.heads >= 1 && cfg.dim.is_multiple_of(cfg.heads);
        require("VitConfig.heads", ok, &format!("a divisor of {}", cfg.dim), cfg.heads)?;
        require("VitConfig.hidden", cfg.hidden >= 1, "at least 1", cfg.hidden)?;
        let ok = cfg.token || cfg.pooling != VitPooling::Token;
        require("VitConfig.pooling", ok, "a mean where there is no class token", "Token")?;

        let mut params = Params::new();
        let mut b = Builder::with(&mut params, values, dtype, device);
        let spec = Conv2dSpec { stride: (cfg.patch, cfg.patch), ..Conv2dSpec::default() };
        let token =
            if cfg.token { Some(b.param("cls_token", Role::Bias, (1, 1, cfg.dim), Init::Normal(STD))?) } else { None };
        let count = (h / cfg.patch) * (w / cfg.patch) + usize::from(cfg.token);
        let positions = b.param("pos_embed", Role::Bias, (1, count, cfg.dim), Init::Normal(STD))?;
        let patches = Conv2d::new(&mut b.scope("patch_embed.proj"), c, cfg.dim, cfg.patch, spec)?;
        let blocks = (0..cfg.depth).map(|i| Block::new(&mut b.scope(&format!("blocks.{i}")), &cfg));
        let blocks = blocks.collect::<Result<_>>()?;
        let name = if cfg.pooling == VitPooling::MeanBeforeNorm { "fc_norm" } else { "norm" };
        let norm = LayerNorm::new(&mut b.scope(name), cfg.dim, EPS)?;
        let last = Linear::new(&mut b.scope("head"), cfg.dim, cfg.classes)?;
        Ok(Self { params, cfg, patches, token, positions, blocks, norm, last })
    }

    /// (N, C, H, W) -> (N, D): all layers but the last.
    fn body(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let (c, h, w) = self.cfg.input;
        if x.rank() != 4 || x.dims()[1..] != [c, h, w] {
            return Err(Error::shape("input", format!("(N, {c}, {h}, {w})"), x.dims()));
        }
        let (n, dim) = (x.dim(0)?, self.cfg.dim);
        let x = self.patches.forward(&entry(x, c, self.cfg.normalize.as_ref())?, mode)?;
        let mut x = x.flatten_from(2)?.transpose(1, 2)?.contiguous()?;
        if let Some(token) = &self.token {
            x = Tensor::cat(&[mode.tensor(token).broadcast_as((n, 1, dim))?.contiguous()?, x], 1)?;
        }
        x = x.broadcast_add(&mode.tensor(&self.positions))?;
        for block in &self.blocks {
            x = block.forward(&x, &self.cfg, mode)?;
        }
        let skip = usize::from(self.cfg.token);
        let mean = |x: &Tensor| -> Result<Tensor> {
            let count = x.dim(1)? - skip;
            Ok((x.narrow(1, skip, count)?.sum(1)? / count as f64)?)
        };
        match self.cfg.pooling {
            VitPooling::Token => self.norm.forward(&x.narrow(1, 0, 1)?.contiguous()?.reshape((n, dim))?, mode),
            VitPooling::Mean => mean(&self.norm.forward(&x, mode)?),
            VitPooling::MeanBeforeNorm => self.norm.forward(&mean(&x)?, mode),
        }
    }
}

network!(Vit);

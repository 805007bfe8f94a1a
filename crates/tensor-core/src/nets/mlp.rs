//! Multi-layer perceptrons.

use super::unit::{entry, network};
use crate::nn::{Activation, Builder, Linear, Mode, Normalize, Values};
use crate::{Error, Params, Result, Rng, error::require};
use candle_core::{DType, Device, Tensor};

/// Configuration of an [`Mlp`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `input` | (1, 28, 28) | channels, height, width of an image | each >= 1 |
/// | `classes` | 10 | outputs | >= 2 |
/// | `hidden` | [256, 256] | widths of the hidden layers | each >= 1 |
/// | `activation` | `Relu` | after each hidden layer | |
/// | `normalize` | none | means and deviations of the channels, applied to the input | |
#[derive(Clone, Debug, PartialEq)]
pub struct MlpConfig {
    /// Channels, height and width of an image.
    pub input: (usize, usize, usize),
    /// Number of classes.
    pub classes: usize,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// The nonlinearity.
    pub activation: Activation,
    /// Normalisation of the input.
    pub normalize: Option<Normalize>,
}

impl Default for MlpConfig {
    fn default() -> Self {
        Self { input: (1, 28, 28), classes: 10, hidden: vec![256; 2], activation: Activation::Relu, normalize: None }
    }
}

/// Linear layers with an activation between them, on the elements of an image in the order of its channels, rows and columns.
#[derive(Clone, Debug)]
pub struct Mlp {
    params: Params,
    cfg: MlpConfig,
    hidden: Vec<Linear>,
    last: Linear,
}

impl Mlp {
    /// Makes the network with initial values from `rng`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: MlpConfig, rng: Rng, dtype: DType, device: &Device) -> Result<Self> {
        Self::make(cfg, Values::Drawn(rng), dtype, device)
    }

    pub(crate) fn make(cfg: MlpConfig, values: Values<'_>, dtype: DType, device: &Device) -> Result<Self> {
        let (c, h, w) = cfg.input;
        require("MlpConfig.input", c >= 1 && h >= 1 && w >= 1, "at least 1x1x1", format!("{c}x{h}x{w}"))?;
        require("MlpConfig.classes", cfg.classes >= 2, "at least 2", cfg.classes)?;
        let ok = cfg.hidden.iter().all(|w| *w >= 1);
        require("MlpConfig.hidden", ok, "at least 1", format!("{:?}", cfg.hidden))?;

        let mut params = Params::new();
        let mut b = Builder::with(&mut params, values, dtype, device);
        let (mut hidden, mut from) = (Vec::new(), c * h * w);
        for (i, &to) in cfg.hidden.iter().enumerate() {
            hidden.push(Linear::new(&mut b.scope(&format!("layers.{i}")), from, to)?);
            from = to;
        }
        let last = Linear::new(&mut b.scope(&format!("layers.{}", hidden.len())), from, cfg.classes)?;
        Ok(Self { params, cfg, hidden, last })
    }

    /// (N, C, H, W) -> (N, D): all layers but the last.
    fn body(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let (c, h, w) = self.cfg.input;
        if x.rank() != 4 || x.dims()[1..] != [c, h, w] {
            return Err(Error::shape("input", format!("(N, {c}, {h}, {w})"), x.dims()));
        }
        let mut x = entry(x, c, self.cfg.normalize.as_ref())?.flatten_from(1)?;
        for layer in &self.hidden {
            x = self.cfg.activation.forward(&layer.forward(&x, mode)?)?;
        }
        Ok(x)
    }
}

network!(Mlp);

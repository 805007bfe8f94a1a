//! VGG networks.

use super::unit::{Unit, entry, network, strided};
use crate::nn::{Activation, Builder, Conv2d, Linear, Mode, Normalize, Values};
use crate::ops::{self, Pool2dSpec};
use crate::{Params, Result, Rng, error::require};
use candle_core::{DType, Device, Tensor};

/// Configuration of a [`Vgg`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `channels` | 3 | channels of the images | >= 1 |
/// | `classes` | 10 | outputs | >= 2 |
/// | `stages` | those of VGG-16 | outputs of the 3x3 convolutions of each stage; 2x2 max-pooling ends a stage | no empty stage, each >= 1 |
/// | `batch_norm` | true | normalise after each convolution | |
/// | `side` | 1 | the maps are averaged to this height and width before the linear layers | >= 1 |
/// | `hidden` | none | widths of the linear layers before the last | each >= 1 |
/// | `activation` | `Relu` | after each layer but the last | |
/// | `normalize` | none | means and deviations of the channels, applied to the input | |
#[derive(Clone, Debug, PartialEq)]
pub struct VggConfig {
    /// Channels of the images.
    pub channels: usize,
    /// Number of classes.
    pub classes: usize,
    /// Outputs of the convolutions of each stage.
    pub stages: Vec<Vec<usize>>,
    /// Whether batch normalisation follows each convolution.
    pub batch_norm: bool,
    /// Height and width of the maps before the linear layers.
    pub side: usize,
    /// Widths of the hidden linear layers.
    pub hidden: Vec<usize>,
    /// The nonlinearity.
    pub activation: Activation,
    /// Normalisation of the input.
    pub normalize: Option<Normalize>,
}

impl Default for VggConfig {
    fn default() -> Self {
        Self {
            channels: 3,
            classes: 10,
            stages: vec![vec![64; 2], vec![128; 2], vec![256; 3], vec![512; 3], vec![512; 3]],
            batch_norm: true,
            side: 1,
            hidden: Vec::new(),
            activation: Activation::Relu,
            normalize: None,
        }
    }
}

#[derive(Clone, Debug)]
enum Layer {
    Plain(Conv2d),
    Normed(Unit),
}

impl Layer {
    fn forward(&self, x: &Tensor, activation: Activation, mode: Mode) -> Result<Tensor> {
        match (self, activation) {
            (Self::Normed(unit), _) => unit.forward(x, None, Some(activation), mode),
            (Self::Plain(conv), Activation::Relu) => conv.forward_relu(x, mode),
            (Self::Plain(conv), _) => activation.forward(&conv.forward(x, mode)?),
        }
    }
}

/// Stages of 3x3 convolutions, each with 2x2 max-pooling behind it, then linear layers (Simonyan and Zisserman 2015), without dropout. With three
/// linear layers and maps of 7x7 it is torchvision's network, with one and maps of 1x1 the usual one for CIFAR.
#[derive(Clone, Debug)]
pub struct Vgg {
    params: Params,
    cfg: VggConfig,
    stages: Vec<Vec<Layer>>,
    hidden: Vec<Linear>,
    last: Linear,
}

impl Vgg {
    /// Makes the network with initial values from `rng`.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(cfg: VggConfig, rng: Rng, dtype: DType, device: &Device) -> Result<Self> {
        Self::make(cfg, Values::Drawn(rng), dtype, device)
    }

    pub(crate) fn make(cfg: VggConfig, values: Values<'_>, dtype: DType, device: &Device) -> Result<Self> {
        require("VggConfig.channels", cfg.channels >= 1, "at least 1", cfg.channels)?;
        require("VggConfig.classes", cfg.classes >= 2, "at least 2", cfg.classes)?;
        let ok = !cfg.stages.is_empty() && cfg.stages.iter().all(|s| !s.is_empty() && s.iter().all(|c| *c >= 1));
        require("VggConfig.stages", ok, "stages of at least one convolution", format!("{:?}", cfg.stages))?;
        require("VggConfig.side", (1..=4096).contains(&cfg.side), "1 to 4096", cfg.side)?;
        let ok = cfg.hidden.iter().all(|w| *w >= 1);
        require("VggConfig.hidden", ok, "at least 1", format!("{:?}", cfg.hidden))?;

        let mut params = Params::new();
        let mut b = Builder::with(&mut params, values, dtype, device);
        let (mut stages, mut from, mut at) = (Vec::new(), cfg.channels, 0);
        for outputs in &cfg.stages {
            let mut layers = Vec::new();
            for &to in outputs {
                let name = format!("features.{at}");
                let layer = if cfg.batch_norm {
                    let norm = format!("features.{}", at + 1);
                    Layer::Normed(Unit::biased(&mut b, (&name, &norm), (from, to), 3, strided(3, 1))?)
                } else {
                    Layer::Plain(Conv2d::new(&mut b.scope(&name), from, to, 3, strided(3, 1))?)
                };
                layers.push(layer);
                at += if cfg.batch_norm { 3 } else { 2 };
                from = to;
            }
            // The pooling.
            at += 1;
            stages.push(layers);
        }
        let mut from = from * cfg.side * cfg.side;
        let mut hidden = Vec::new();
        // An activation and a dropout stand between two linear layers.
        for (i, &to) in cfg.hidden.iter().enumerate() {
            hidden.push(Linear::new(&mut b.scope(&format!("classifier.{}", 3 * i)), from, to)?);
            from = to;
        }
        let name = match hidden.len() {
            0 => "classifier".to_owned(),
            n => format!("classifier.{}", 3 * n),
        };
        let last = Linear::new(&mut b.scope(&name), from, cfg.classes)?;
        Ok(Self { params, cfg, stages, hidden, last })
    }

    /// (N, C, H, W) -> (N, D): all layers but the last.
    fn body(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut x = entry(x, self.cfg.channels, self.cfg.normalize.as_ref())?;
        for layers in &self.stages {
            for layer in layers {
                x = layer.forward(&x, self.cfg.activation, mode)?;
            }
            x = ops::max_pool2d(&x, Pool2dSpec::default())?;
        }
        let side = self.cfg.side;
        if x.dims()[2..] != [side, side] {
            x = ops::adaptive_avg_pool2d(&x, (side, side))?;
        }
        let mut x = ops::reshape(&x, (x.dim(0)?, ()))?;
        for layer in &self.hidden {
            x = self.cfg.activation.forward(&layer.forward(&x, mode)?)?;
        }
        Ok(x)
    }
}

network!(Vgg);

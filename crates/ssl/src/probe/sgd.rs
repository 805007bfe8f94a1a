//! Linear probes trained by SGD for a number of epochs, as the papers have them.

use super::head::{LinearHead, Standardizer, rows};
use sconce_tensor_core::candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::error::require;
use sconce_tensor_core::nn::{BatchNorm2d, Builder, Init};
use sconce_tensor_core::optim::{Schedule, Sgd, SgdConfig};
use sconce_tensor_core::params::Role;
use sconce_tensor_core::train::{CrossEntropy, TrainConfig, Trainer};
use sconce_tensor_core::{Error, Mode, Module, Network, Params, Result, Rng, ops};

/// The initial values of the head of an [`SgdProbe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SgdStart {
    /// Weights normal with variance `2 / K` for K classes, biases 0.
    HeFanOut,
    /// PyTorch's default: uniform with bound `1 / sqrt(D)` for D features.
    FanIn,
}

/// Configuration of [`SgdProbe`]; [`SgdProbeConfig::rotnet`] and [`SgdProbeConfig::deep_cluster`] are the known ones.
///
/// | Name | Purpose | Range |
/// |---|---|---|
/// | `normalize` | batch normalisation of each channel, without scale and shift, before the linear map | |
/// | `start` | initial values | |
/// | `epochs` | passes over the training part | >= 1 |
/// | `batch_size` | examples a step | >= 1, >= 2 with `normalize` |
/// | `sgd` | rate, momentum, weight decay | as [`SgdConfig`] |
/// | `schedule` | factor on the rate | as [`Schedule`] |
#[derive(Clone, Debug, PartialEq)]
pub struct SgdProbeConfig {
    /// Whether the features are batch-normalised.
    pub normalize: bool,
    /// Initial values.
    pub start: SgdStart,
    /// Passes over the training part.
    pub epochs: usize,
    /// Examples a step.
    pub batch_size: usize,
    /// The optimizer.
    pub sgd: SgdConfig,
    /// The factor on its rate.
    pub schedule: Schedule,
}

impl SgdProbeConfig {
    /// RotNet's linear probe, as in its released code (`FeatureLearningRotNet`): batch normalisation without scale and shift, weights
    /// N(0, 2 / K), SGD with Nesterov momentum 0.9, weight decay 5e-4, batches of 192, 35 epochs with the rate 0.01, and a fifth of it
    /// after 5, 15 and 25 of them. Its pooling is [`super::Pooling::ROTNET_ALEXNET`].
    pub fn rotnet() -> Self {
        Self {
            normalize: true,
            start: SgdStart::HeFanOut,
            epochs: 35,
            batch_size: 192,
            sgd: SgdConfig { lr: 0.01, momentum: 0.9, nesterov: true, weight_decay: 5e-4, ..Default::default() },
            schedule: Schedule::Step { at: vec![5.0 / 35.0, 15.0 / 35.0, 25.0 / 35.0], gamma: 0.2 },
        }
    }

    /// DeepCluster's linear probe, as far as it is known to us from its released code (`eval_linear.py`): SGD with momentum 0.9, weight
    /// decay 1e-4, rate 0.01, batches of 256, 90 epochs. The initial values and the constant rate are chosen by us. Its pooling is
    /// [`super::Pooling::DEEP_CLUSTER_ALEXNET`].
    pub fn deep_cluster() -> Self {
        Self {
            normalize: false,
            start: SgdStart::FanIn,
            epochs: 90,
            batch_size: 256,
            sgd: SgdConfig { lr: 0.01, momentum: 0.9, nesterov: false, weight_decay: 1e-4, ..Default::default() },
            schedule: Schedule::Constant,
        }
    }
}

/// A linear classifier of pooled feature maps that is trained by SGD. Its result depends on rate, schedule and epochs; use
/// [`super::LinearProbe`] unless a paper's protocol asks for this one.
///
/// The features of each image are computed once; the released codes draw a random crop and flip of each image in each epoch.
#[derive(Clone, Debug)]
pub struct SgdProbe(SgdProbeConfig);

impl SgdProbe {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: SgdProbeConfig) -> Result<Self> {
        let least = if cfg.normalize { 2 } else { 1 };
        require("SgdProbeConfig.batch_size", cfg.batch_size >= least, &format!("at least {least}"), cfg.batch_size)?;
        require("SgdProbeConfig.epochs", cfg.epochs >= 1, "at least 1", cfg.epochs)?;
        cfg.schedule.validate()?;
        Sgd::new(cfg.sgd)?;
        Ok(Self(cfg))
    }

    /// Trains a head on features (N, C, h, w) or (N, D). The result depends on `rng` (initial values, order of the examples), not on the
    /// number of threads.
    ///
    /// # Errors
    /// Features of another rank; [`Error::NotFinite`] where training diverges.
    pub fn fit(&self, train: &Labelled, rng: &Rng) -> Result<LinearHead> {
        let cfg = &self.0;
        let head = Head::new(cfg, train, rng)?;
        let training = TrainConfig {
            epochs: cfg.epochs,
            batch_size: cfg.batch_size,
            schedule: cfg.schedule.clone(),
            ..Default::default()
        };
        Trainer::new(training, &CrossEntropy)?.fit(&head, train, &mut Sgd::new(cfg.sgd)?, rng)?;
        head.folded()
    }
}

/// Batch normalisation without scale and shift, then a linear map.
struct Head {
    /// Without the normalisation's scale and shift, which stay 1 and 0.
    params: Params,
    norm: Option<BatchNorm2d>,
    weight: Var,
    bias: Var,
    /// Channels and positions in each.
    channels: usize,
    positions: usize,
}

impl Head {
    fn new(cfg: &SgdProbeConfig, train: &Labelled, rng: &Rng) -> Result<Self> {
        let (x, k) = (train.x(), train.classes());
        let (channels, positions) = match *x.dims() {
            [_, c, h, w] => (c, h * w),
            [_, d] => (d, 1),
            ref got => return Err(Error::shape("features", "(N, C, h, w) or (N, D)", got)),
        };
        let d = channels * positions;
        let mut params = Params::new();
        let mut build = Builder::new(&mut params, *rng, x.dtype(), x.device());
        let norm = if cfg.normalize { Some(BatchNorm2d::new(&mut build.scope("norm"), channels)?) } else { None };
        let (weights, biases) = match cfg.start {
            SgdStart::HeFanOut => (Init::he_fan_out(k), Init::Constant(0.0)),
            SgdStart::FanIn => (Init::fan_in(d), Init::fan_in(d)),
        };
        let mut linear = build.scope("linear");
        let weight = linear.param("weight", Role::Weight, (k, d), weights)?;
        let bias = linear.param("bias", Role::Bias, k, biases)?;
        let params = params.subset(|p| !matches!(p.role(), Role::Scale | Role::Shift));
        Ok(Self { params, norm, weight, bias, channels, positions })
    }

    /// The trained map, with the running statistics folded in.
    fn folded(&self) -> Result<LinearHead> {
        let d = self.channels * self.positions;
        let host = |t: &Tensor| Ok::<_, Error>(t.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?);
        // A value of each channel at all of its positions.
        let spread = |name: &str, otherwise: f64| match self.params.get(name) {
            Some(p) => {
                let v = host(p.var().as_tensor())?.unsqueeze(1)?;
                Ok::<_, Error>(v.broadcast_as((self.channels, self.positions))?.flatten_all()?)
            }
            None => Ok(Tensor::full(otherwise, d, &Device::Cpu)?),
        };
        let var = spread("norm.running_var", 1.0)?;
        // The layer's constant, which keeps the deviation above 0.
        let var = if self.norm.is_some() { (var + 1e-5)? } else { var };
        let by = Standardizer { mean: spread("norm.running_mean", 0.0)?, scale: var.sqrt()?.recip()? };
        LinearHead::fold(&rows(self.weight.as_tensor())?, &host(self.bias.as_tensor())?, &by)
    }
}

impl Module for Head {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl Network for Head {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let maps = if x.rank() == 2 { x.unsqueeze(2)?.unsqueeze(3)? } else { x.clone() };
        let maps = match &self.norm {
            Some(norm) => norm.forward(&maps, mode)?,
            None => maps,
        };
        ops::linear(&maps.flatten_from(1)?, &mode.tensor(&self.weight), Some(&mode.tensor(&self.bias)))
    }

    fn outputs(&self) -> usize {
        self.bias.elem_count()
    }
}

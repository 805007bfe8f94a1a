//! Networks of a recipe.

use super::data::Parts;
use anyhow::Result;
use candle_core::DType;
use sconce_tensor_core::nets::{ResNet, ResNetConfig, SmallCnn, SmallCnnConfig};
use sconce_tensor_core::nn::Normalize;
use sconce_tensor_core::{Device, Network, Rng};
use serde::{Deserialize, Serialize};

/// A network by its kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Net {
    /// Two convolutions and two dense layers.
    SmallCnn(SmallNet),
    /// A residual network.
    Resnet(ResidualNet),
}

/// Sizes of the small network.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmallNet {
    /// Channels of both convolutions.
    pub channels: (usize, usize),
    /// Side of their kernels.
    pub kernel: usize,
    /// Units of the dense layer.
    pub hidden: usize,
    /// Whether each convolution has a batch norm.
    pub batch_norm: bool,
}

/// Sizes of a residual network.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualNet {
    /// Channels of the first stage.
    pub width: usize,
    /// Blocks of each stage.
    pub blocks: Vec<usize>,
    /// Of the inputs, channel by channel.
    pub mean: Vec<f64>,
    /// Of the inputs, channel by channel.
    pub std: Vec<f64>,
}

impl Net {
    /// The network with its first values for a seed: the same for all arms.
    pub fn build(&self, parts: &Parts, seed: u64, device: &Device) -> Result<Box<dyn Network>> {
        self.build_as(parts, seed, DType::F32, device)
    }

    /// The same in another type.
    pub fn build_as(&self, parts: &Parts, seed: u64, dtype: DType, device: &Device) -> Result<Box<dyn Network>> {
        let (_, c, h, w) = parts.train.x().dims4()?;
        let classes = parts.train.classes();
        Ok(match self {
            Net::SmallCnn(n) => Box::new(SmallCnn::new(
                SmallCnnConfig {
                    input: (c, h, w),
                    classes,
                    channels: n.channels,
                    kernel: n.kernel,
                    hidden: n.hidden,
                    batch_norm: n.batch_norm,
                    normalize: None,
                },
                Rng::new(seed),
                dtype,
                device,
            )?),
            Net::Resnet(n) => Box::new(ResNet::new(
                ResNetConfig {
                    channels: c,
                    classes,
                    width: n.width,
                    blocks: n.blocks.clone(),
                    normalize: Some(Normalize::new(n.mean.clone(), n.std.clone())?),
                    ..ResNetConfig::default()
                },
                Rng::new(seed),
                dtype,
                device,
            )?),
        })
    }
}

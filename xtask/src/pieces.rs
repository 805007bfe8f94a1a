//! The pieces that recipes share: data, networks, training.

use crate::run::{Run, Stage};
use anyhow::{Result, bail};
use candle_core::DType;
use sconce_datasets::{Images, Lookup, Split, catalog, embedded};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::nets::{ResNet, ResNetConfig, SmallCnn, SmallCnnConfig};
use sconce_tensor_core::nn::Normalize;
use sconce_tensor_core::optim::{Schedule, Sgd, SgdConfig};
use sconce_tensor_core::train::{Checkpoint, Observer, Progress, Report, TrainConfig};
use sconce_tensor_core::{Device, Network, Rng};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    pub name: String,
    pub source: Source,
    pub train: usize,
    pub validation: usize,
    pub test: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    Embedded,
    Files,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Net {
    SmallCnn(SmallNet),
    Resnet(ResidualNet),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmallNet {
    pub channels: (usize, usize),
    pub kernel: usize,
    pub hidden: usize,
    pub batch_norm: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualNet {
    pub width: usize,
    pub blocks: Vec<usize>,
    pub mean: Vec<f64>,
    pub std: Vec<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    pub epochs: usize,
    pub batch_size: usize,
    pub lr: f64,
    pub momentum: f64,
    pub nesterov: bool,
    pub weight_decay: f64,
    pub schedule: Schedule,
}

impl Train {
    pub fn sgd(&self) -> Result<Sgd> {
        let Self { lr, momentum, nesterov, weight_decay, .. } = *self;
        Ok(Sgd::new(SgdConfig { lr, momentum, nesterov, weight_decay, ..SgdConfig::default() })?)
    }

    pub fn config(&self, epochs: usize) -> TrainConfig {
        TrainConfig { epochs, batch_size: self.batch_size, schedule: self.schedule.clone(), ..TrainConfig::default() }
    }
}

/// Trains a network as a stage of a run. `fit` trains with the checkpoint and the observer that it is given; where the stage was done
/// before, that puts the network in its final state without a step.
pub fn train_stage(
    run: &Run,
    name: &str,
    units: f64,
    fit: impl Fn(Checkpoint, &mut dyn Observer) -> Result<Report>,
) -> Result<Stage<Report>> {
    let print = run.fingerprint().clone().with("network", name);
    let checkpoint = || Checkpoint::new(run.path(&format!("{name}.safetensors")), print.clone());
    let fit = |checkpoint: Checkpoint, observer: &mut dyn Observer| {
        fit(checkpoint, observer).map_err(|e| match e.downcast_ref() {
            Some(sconce_tensor_core::Error::Checkpoint { .. }) => {
                e.context("start again with --fresh, or delete that file")
            }
            _ => e,
        })
    };
    let stage = run
        .stage(&format!("train {name}"), units, |bar| fit(checkpoint(), &mut |p: &Progress| bar.at(p.step, p.total)))?;
    if !stage.fresh {
        fit(checkpoint(), &mut |_: &Progress| ())?;
    }
    Ok(stage)
}

/// The three parts that a setting works on.
pub struct Parts {
    pub train: Labelled,
    pub validation: Labelled,
    pub test: Labelled,
}

impl Data {
    pub fn load(&self, lookup: &Lookup, device: &Device) -> Result<Parts> {
        let read = |split| -> Result<Images> {
            Ok(match (self.source, self.name.as_str()) {
                (Source::Embedded, "fashion-mnist") => embedded::fashion_mnist(split)?,
                (Source::Embedded, other) => bail!("data.source: only fashion-mnist is embedded, not `{other}`"),
                (Source::Files, name) => lookup.load(&catalog::get(name)?, split)?,
            })
        };
        let all = read(Split::Train)?.to_labelled(device)?;
        Ok(Parts {
            train: all.slice(0, self.train)?,
            validation: all.slice(self.train, self.validation)?,
            test: read(Split::Test)?.to_labelled(device)?.slice(0, self.test)?,
        })
    }
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
                },
                Rng::new(seed),
                dtype,
                device,
            )?),
        })
    }
}

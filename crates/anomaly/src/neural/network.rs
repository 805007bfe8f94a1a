//! Fully connected networks and their training.

use crate::rows::Rows;
use crate::{Error, Loaded, Result, TrainingRows};
use candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::error::require;
use sconce_tensor_core::nn::{Builder, Init};
use sconce_tensor_core::optim::{Adam, AdamConfig, UpdateConfig};
use sconce_tensor_core::store::Fingerprint;
use sconce_tensor_core::train::{Checkpoint, Engine, KeepBest, LossTask};
use sconce_tensor_core::{Mode, Params, Rng, Role, ops};
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// What stands behind each hidden layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// Hyperbolic tangent.
    #[default]
    Tanh,
    /// `max(x, 0)`.
    Relu,
}

/// Sizes and training of a network.
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `hidden` | 300, 100, 20 | units of the hidden layers; of an autoencoder those down to its code, the way back is their mirror | >= 1 each |
/// | `activation` | tanh | behind each hidden layer; the last layer has none | |
/// | `epochs` | 50 | passes over the examples | >= 1 |
/// | `batch` | 100 | examples of a step | >= 1 |
/// | `lr` | 1e-3 | Adam's rate | > 0 |
/// | `clip` | none | largest norm of a gradient | > 0 |
/// | `held_out` | 0 | share of the examples that training does not see: the epoch with the lowest loss on them is kept; 0: the last | [0, 1) |
///
/// 300 and 100 with tanh, Adam and batches of 100 are what two public repetitions of arXiv 1903.10709 share; the rest is
/// chosen by us.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Units of the hidden layers.
    pub hidden: Vec<usize>,
    /// Behind each of them.
    pub activation: Activation,
    /// Passes over the examples.
    pub epochs: usize,
    /// Examples of a step.
    pub batch: usize,
    /// Adam's rate.
    pub lr: f64,
    /// Largest norm of a gradient.
    pub clip: Option<f64>,
    /// Share of the examples that choose the epoch.
    pub held_out: f64,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            hidden: vec![300, 100, 20],
            activation: Activation::Tanh,
            epochs: 50,
            batch: 100,
            lr: 1e-3,
            clip: None,
            held_out: 0.0,
        }
    }
}

impl NetworkConfig {
    pub(super) fn validate(&self) -> Result<()> {
        let hidden = format!("{:?}", self.hidden);
        let sizes = !self.hidden.is_empty() && self.hidden.iter().all(|h| *h > 0);
        require("NetworkConfig.hidden", sizes, "at least one layer of at least one unit", hidden)?;
        require("NetworkConfig.epochs", self.epochs >= 1, "at least 1", self.epochs)?;
        require("NetworkConfig.batch", self.batch >= 1, "at least 1", self.batch)?;
        require("NetworkConfig.lr", self.lr.is_finite() && self.lr > 0.0, "finite and > 0", self.lr)?;
        let clip = self.clip.unwrap_or(1.0);
        require("NetworkConfig.clip", clip.is_finite() && clip > 0.0, "finite and > 0", clip)?;
        require("NetworkConfig.held_out", (0.0..1.0).contains(&self.held_out), "in [0, 1)", self.held_out)
    }
}

/// Fully connected layers, the activation between them.
#[derive(Debug)]
pub(super) struct Layers {
    layers: Vec<Layer>,
    activation: Activation,
}

#[derive(Debug)]
struct Layer {
    weight: Var,
    bias: Option<Var>,
}

impl Layers {
    /// Layers of the given widths, inputs first, with PyTorch's default first values.
    pub(super) fn new(widths: &[usize], biased: bool, activation: Activation, mut b: Builder<'_>) -> Result<Self> {
        let layer = |(i, w): (usize, &[usize])| -> Result<Layer> {
            let mut b = b.scope(&format!("layer{i}"));
            let init = Init::fan_in(w[0]);
            let weight = b.param("weight", Role::Weight, (w[1], w[0]), init)?;
            Ok(Layer { weight, bias: biased.then(|| b.param("bias", Role::Bias, w[1], init)).transpose()? })
        };
        let layers = widths.windows(2).enumerate().map(layer).collect::<Result<_>>()?;
        Ok(Self { layers, activation })
    }

    pub(super) fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut h = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            let bias = layer.bias.as_ref().map(|b| mode.tensor(b));
            h = ops::linear(&h, &mode.tensor(&layer.weight), bias.as_ref())?;
            if i + 1 < self.layers.len() {
                h = match self.activation {
                    Activation::Tanh => ops::tanh(&h)?,
                    Activation::Relu => ops::relu(&h)?,
                };
            }
        }
        Ok(h)
    }
}

/// Layers with their parameters.
#[derive(Debug)]
pub(super) struct Mlp {
    pub(super) params: Params,
    layers: Layers,
}

impl Mlp {
    /// Layers of the given widths, inputs first.
    pub(super) fn new(widths: &[usize], activation: Activation, rng: &Rng, device: &Device) -> Result<Self> {
        Self::build(widths, true, activation, rng, device)
    }

    /// The same without biases.
    pub(super) fn unbiased(widths: &[usize], activation: Activation, rng: &Rng, device: &Device) -> Result<Self> {
        Self::build(widths, false, activation, rng, device)
    }

    /// One output behind all hidden layers.
    pub(super) fn scalar(width: usize, cfg: &NetworkConfig, rng: &Rng, device: &Device) -> Result<Self> {
        let widths: Vec<usize> = std::iter::once(width).chain(cfg.hidden.iter().copied()).chain([1]).collect();
        Self::new(&widths, cfg.activation, rng, device)
    }

    fn build(widths: &[usize], biased: bool, activation: Activation, rng: &Rng, device: &Device) -> Result<Self> {
        let mut params = Params::new();
        let layers = Layers::new(widths, biased, activation, Builder::new(&mut params, *rng, DType::F32, device))?;
        Ok(Self { params, layers })
    }

    pub(super) fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.layers.forward(x, mode)
    }

    /// The saved weights back in place.
    pub(super) fn restore(&self, from: &Loaded) -> Result<()> {
        self.params.restore(from.tensors())
    }
}

/// What a network is trained on.
pub(super) struct Examples {
    /// (N, D) in f32.
    pub(super) x: Tensor,
    /// (N,) in f32: 1 for known anomalies.
    pub(super) known: Tensor,
    checkpoint: Option<Checkpoint>,
    /// The method with its configuration, for the checkpoint's fingerprint.
    method: String,
}

/// The examples in f32 and the labels in numbers, checked.
pub(super) fn examples(train: &TrainingRows<'_>, method: &dyn Debug) -> Result<Examples> {
    let rows = Rows::of(train.x)?;
    let n = rows.len();
    let known = match train.known {
        None => vec![0f32; n],
        Some(known) if known.len() == n => known.iter().map(|k| f32::from(u8::from(*k))).collect(),
        Some(known) => {
            return Err(Error::shape(
                "examples",
                format!("({}, D), to go with the labels", known.len()),
                train.x.dims(),
            ));
        }
    };
    if known.iter().all(|k| *k > 0.5) {
        return Err(Error::value("labels", format!("all {n} examples are anomalies")));
    }
    let known = Tensor::from_vec(known, n, train.x.device())?;
    let x = train.x.to_dtype(DType::F32)?.contiguous()?;
    Ok(Examples { x, known, checkpoint: train.checkpoint.cloned(), method: format!("{method:?}") })
}

/// Refuses labels without an anomaly for a method that requires one.
pub(super) fn require_known(known: &Tensor, method: &str) -> Result<()> {
    match known.max_all()?.to_scalar::<f32>()? > 0.5 {
        true => Ok(()),
        false => Err(Error::value("labels", format!("{method} needs known anomalies, and the labels name none"))),
    }
}

/// How an epoch's batches are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Batches {
    /// All examples in a new order.
    Shuffled,
    /// Normal examples in a new order fill half of each batch; the other half are known anomalies, drawn with replacement for each batch.
    Balanced,
}

impl Batches {
    fn of(self, known: &[f32], size: usize, rng: &Rng) -> Vec<Vec<u32>> {
        let part = |want: bool| (0..known.len() as u32).filter(move |i| (known[*i as usize] > 0.5) == want);
        match self {
            Self::Shuffled => {
                let order = rng.permutation(known.len());
                order.chunks(size).map(|b| b.iter().map(|i| *i as u32).collect()).collect()
            }
            Self::Balanced => {
                let (normals, strange): (Vec<u32>, Vec<u32>) = (part(false).collect(), part(true).collect());
                if strange.is_empty() {
                    return Self::Shuffled.of(known, size, rng);
                }
                let order = rng.permutation(normals.len());
                let batch = |(b, chunk): (usize, &[usize])| {
                    let drawn = rng.stream("anomalies").at(b as u64).below(chunk.len(), strange.len() as u64);
                    let first = chunk.iter().map(|i| normals[*i]);
                    first.chain(drawn.into_iter().map(|i| strange[i as usize])).collect()
                };
                order.chunks(size.div_ceil(2)).enumerate().map(batch).collect()
            }
        }
    }
}

/// Trains by Adam on the mean of `loss(batch, labels, batch's rng)`, which gives one number an example.
pub(super) fn fit(
    params: &Params,
    examples: &Examples,
    cfg: &NetworkConfig,
    rng: &Rng,
    loss: impl Fn(&Tensor, &Tensor, &Rng) -> Result<Tensor>,
) -> Result<()> {
    fit_on(Batches::Shuffled, params, examples, cfg, rng, loss)
}

/// [`fit`] on batches of a kind.
pub(super) fn fit_on(
    batches: Batches,
    params: &Params,
    examples: &Examples,
    cfg: &NetworkConfig,
    rng: &Rng,
    loss: impl Fn(&Tensor, &Tensor, &Rng) -> Result<Tensor>,
) -> Result<()> {
    let (Examples { x, known, checkpoint, method }, loss) = (examples, &loss);
    let (held_out, seen) = crate::protocol::random_split(x.dim(0)?, cfg.held_out, &rng.stream("held out"))?;
    let part = |rows: &[u32]| -> Result<(Tensor, Tensor)> {
        let at = Tensor::new(rows, x.device())?;
        Ok((x.index_select(&at, 0)?, known.index_select(&at, 0)?))
    };
    let (x, known) = if held_out.is_empty() { (x.clone(), known.clone()) } else { part(&seen)? };
    let labels = known.to_vec1::<f32>()?;
    let epochs = |epoch: usize, rng: &Rng| {
        let all = batches.of(&labels, cfg.batch, &rng.stream("shuffle").at(epoch as u64));
        Ok(all.into_iter().map(|b| b.into_iter().map(|i| i as usize).collect()).collect())
    };
    let adam = Adam::new(AdamConfig { lr: cfg.lr, ..AdamConfig::default() })?;
    let mut task = LossTask::batched(params, adam, epochs, |at| {
        let rows = Tensor::from_iter(at.examples.iter().map(|i| *i as u32), x.device())?;
        let noise = at.rng.stream("noise").at(at.step as u64);
        Ok(loss(&x.index_select(&rows, 0)?, &known.index_select(&rows, 0)?, &noise)?.mean_all()?)
    })?
    .updated_with(UpdateConfig { clip: cfg.clip, ..UpdateConfig::default() })?
    .described_by(
        Fingerprint::new().with("method", method).with("rows", x.dims()).with("batches", format!("{batches:?}")),
    );
    if !held_out.is_empty() {
        let (x, known) = part(&held_out)?;
        let measure = move |_: &Params| -> Result<Vec<(String, f64)>> {
            let mean = loss_value(&loss(&x, &known, &rng.stream("held out"))?)?;
            Ok(vec![(HELD_OUT.to_owned(), mean)])
        };
        task = task.measured_by(measure).keeping(KeepBest::lowest(HELD_OUT));
    }
    Engine::new(cfg.epochs)?.resuming(checkpoint.clone()).run(&mut task, rng)?;
    Ok(())
}

/// The metric that chooses the epoch.
const HELD_OUT: &str = "held-out loss";

/// The mean of the losses as a number.
fn loss_value(each: &Tensor) -> Result<f64> {
    Ok(each.mean_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?)
}

/// Scores of blocks of rows, in f64.
pub(super) fn score(
    x: &Tensor,
    width: usize,
    params: &Params,
    f: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    const BLOCK: usize = 4096;
    let device = params.iter().next().map_or(Device::Cpu, |p| p.var().device().clone());
    let mut parts = Vec::new();
    for block in Rows::blocks(x, BLOCK)? {
        let (from, rows) = block?;
        rows.require_width(width)?;
        let x = x.narrow(0, from, rows.len())?.to_dtype(DType::F32)?.to_device(&device)?.contiguous()?;
        parts.push(f(&x)?.to_dtype(DType::F64)?);
    }
    Ok(Tensor::cat(&parts, 0)?.to_device(&Device::Cpu)?)
}

//! The body of the language model: embeddings and a stack of LSTMs with the dropout of AWD-LSTM.

use crate::Result;
use candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::error::require;
use sconce_tensor_core::nn::{Builder, Init};
use sconce_tensor_core::ops::{self, LstmWeights};
use sconce_tensor_core::{Error, Mode, Rng, Role};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Dropout rates, each in [0, 1). The defaults are those of the authors' code.
///
/// | Name | Default | What is dropped |
/// |---|---|---|
/// | `embedding` | 0.1 | whole words of the embedding table, at all their positions in the batch |
/// | `input` | 0.65 | elements of the embedded words, with the same mask at all steps (variational dropout) |
/// | `hidden` | 0.3 | elements between LSTM layers, with the same mask at all steps |
/// | `output` | 0.4 | elements after the last LSTM layer, with the same mask at all steps |
/// | `weight` | 0.5 | recurrent weights (DropConnect), with the same mask at all steps |
/// | `latent` | 0.29 | elements of a mixture's component vectors, with the same mask at all steps |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// Rate for whole words.
    pub embedding: f64,
    /// Rate for embedded words.
    pub input: f64,
    /// Rate between layers.
    pub hidden: f64,
    /// Rate after the last layer.
    pub output: f64,
    /// Rate for recurrent weights.
    pub weight: f64,
    /// Rate for a mixture's component vectors.
    pub latent: f64,
}

impl Default for Dropout {
    fn default() -> Self {
        Self { embedding: 0.1, input: 0.65, hidden: 0.3, output: 0.4, weight: 0.5, latent: 0.29 }
    }
}

/// Sizes and dropout of the body.
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `vocabulary` | 10,000 | number of words | >= 1 |
/// | `embedding` | 400 | dimension of the word embedding | >= 1 |
/// | `hidden` | 1150 | units of each LSTM except the last | >= 1 |
/// | `layers` | 3 | number of LSTMs | >= 1 |
/// | `output` | 400 | units of the last LSTM; with tied weights equal to `embedding` | >= 1 |
/// | `dropout` | see [`Dropout`] | | |
///
/// Source: Merity, Keskar, Socher (arXiv 1708.02182); the defaults are those of its Penn Treebank model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwdLstmConfig {
    /// Number of words.
    pub vocabulary: usize,
    /// Dimension of the word embedding.
    pub embedding: usize,
    /// Units of each LSTM except the last.
    pub hidden: usize,
    /// Number of LSTMs.
    pub layers: usize,
    /// Units of the last LSTM.
    pub output: usize,
    /// Dropout rates.
    pub dropout: Dropout,
}

impl Default for AwdLstmConfig {
    fn default() -> Self {
        let dropout = Dropout::default();
        Self { vocabulary: 10_000, embedding: 400, hidden: 1150, layers: 3, output: 400, dropout }
    }
}

impl AwdLstmConfig {
    fn validate(&self) -> Result<()> {
        let Self { vocabulary, embedding, hidden, layers, output, dropout } = *self;
        let sizes = [vocabulary, embedding, hidden, layers, output];
        require("AwdLstmConfig.sizes", sizes.iter().all(|s| *s > 0), "at least 1", format!("{sizes:?}"))?;
        let Dropout { embedding, input, hidden, output, weight, latent } = dropout;
        let rates = [embedding, input, hidden, output, weight, latent];
        require("Dropout", rates.iter().all(|p| (0.0..1.0).contains(p)), "in [0, 1)", format!("{rates:?}"))
    }
}

/// The recurrent state: h and c of each layer, (N, units), which is carried from one window of the text to the next.
#[derive(Clone, Debug)]
pub struct State(Vec<(Tensor, Tensor)>);

impl State {
    /// All tensors, named.
    pub(super) fn tensors(&self) -> Vec<(String, Tensor)> {
        let named =
            |(i, (h, c)): (usize, &(Tensor, Tensor))| [(format!("h{i}"), h.clone()), (format!("c{i}"), c.clone())];
        self.0.iter().enumerate().flat_map(named).collect()
    }

    /// Takes back what [`State::tensors`] gave.
    pub(super) fn restore(&mut self, mut tensors: HashMap<String, Tensor>) -> Result<()> {
        for (i, layer) in self.0.iter_mut().enumerate() {
            for (name, to) in [(format!("h{i}"), &mut layer.0), (format!("c{i}"), &mut layer.1)] {
                match tensors.remove(&name) {
                    Some(t) if t.shape() == to.shape() => *to = t.to_device(to.device())?,
                    _ => return Err(Error::value("state", format!("no `{name}` of shape {:?}", to.dims()))),
                }
            }
        }
        Ok(())
    }
}

/// The outputs of the body for a window.
#[derive(Clone, Debug)]
pub struct Hidden {
    /// The h of the last layer at each step, (T, N, D).
    pub raw: Tensor,
    /// `raw` with output dropout; outside training the same tensor.
    pub dropped: Tensor,
    /// The state after the window, detached from the graph.
    pub state: State,
}

struct Layer {
    input: Var,
    recurrent: Var,
    bias: Var,
}

/// Embeddings and LSTMs.
pub(super) struct AwdLstm {
    cfg: AwdLstmConfig,
    pub(super) embedding: Var,
    layers: Vec<Layer>,
}

impl AwdLstm {
    /// Initial values as in the authors' code: the embedding table is uniform in +-0.1, the LSTMs in +-1/sqrt(units). There is
    /// one bias, where PyTorch adds two.
    pub(super) fn new(b: &mut Builder<'_>, cfg: AwdLstmConfig) -> Result<Self> {
        cfg.validate()?;
        let table = (cfg.vocabulary, cfg.embedding);
        let embedding = b.scope("embedding").param("weight", Role::Weight, table, Init::Uniform(0.1))?;
        let mut layers = Vec::with_capacity(cfg.layers);
        let mut inputs = cfg.embedding;
        for i in 0..cfg.layers {
            let units = cfg.units(i);
            let mut b = b.scope(&format!("lstm{i}"));
            layers.push(Layer {
                input: b.param("input", Role::Weight, (4 * units, inputs), Init::fan_in(units))?,
                recurrent: b.param("recurrent", Role::Weight, (4 * units, units), Init::fan_in(units))?,
                bias: b.param("bias", Role::Bias, 4 * units, Init::fan_in(units))?,
            });
            inputs = units;
        }
        Ok(Self { cfg, embedding, layers })
    }

    /// A zero state for `rows` streams.
    pub(super) fn state(&self, rows: usize) -> Result<State> {
        let (dtype, device) = (self.embedding.dtype(), self.embedding.device());
        let zero = |i| Tensor::zeros((rows, self.cfg.units(i)), dtype, device);
        (0..self.cfg.layers).map(|i| Ok((zero(i)?, zero(i)?))).collect::<Result<_>>().map(State)
    }

    /// Runs word indices (T, N) through all layers; `rng` belongs to the window.
    pub(super) fn forward(&self, ids: &Tensor, state: &State, mode: Mode, rng: &Rng) -> Result<Hidden> {
        let &[_, rows] = ids.dims() else {
            return Err(Error::shape("word indices", "(T, N)", ids.dims()));
        };
        if state.0.len() != self.layers.len() || state.0.iter().any(|s| s.0.dims().first() != Some(&rows)) {
            let got: Vec<usize> = state.0.iter().flat_map(|s| s.0.dims().first().copied()).collect();
            return Err(Error::shape("state", format!("{} layers of {rows} rows", self.layers.len()), &got));
        }
        let p = self.cfg.dropout;
        let noise = Noise { mode, rng: *rng, dtype: self.embedding.dtype(), device: self.embedding.device() };
        let mut x = ops::embedding(&mode.tensor(&self.embedding), ids)?;
        if let Some(mask) = noise.mask("embedding", &[self.cfg.vocabulary], p.embedding)? {
            let of_words = mask.index_select(&ids.flatten_all()?, 0)?.reshape((ids.elem_count(), 1))?;
            x = ops::masked(&x, &of_words.broadcast_as((ids.elem_count(), self.cfg.embedding))?.reshape(x.shape())?)?;
        }
        x = noise.locked("input", x, p.input)?;
        let mut after = Vec::with_capacity(self.layers.len());
        let mut raw = x.clone();
        for (i, (layer, (h, c))) in self.layers.iter().zip(&state.0).enumerate() {
            if i > 0 {
                x = noise.locked(&format!("hidden {i}"), x, p.hidden)?;
            }
            let recurrent = mode.tensor(&layer.recurrent);
            let recurrent = match noise.mask(&format!("weight {i}"), recurrent.dims(), p.weight)? {
                Some(mask) => ops::masked(&recurrent, &mask)?,
                None => recurrent,
            };
            let (input, bias) = (mode.tensor(&layer.input), mode.tensor(&layer.bias));
            let weights = LstmWeights { input: &input, recurrent: &recurrent, bias: Some(&bias) };
            let out = ops::lstm(&x, h, c, weights, None)?;
            after.push((out.hidden.detach().contiguous()?, out.cell.detach().contiguous()?));
            raw = out.outputs.clone();
            x = out.outputs;
        }
        let dropped = noise.locked("output", x, p.output)?;
        Ok(Hidden { raw, dropped, state: State(after) })
    }
}

impl AwdLstmConfig {
    fn units(&self, layer: usize) -> usize {
        if layer + 1 == self.layers { self.output } else { self.hidden }
    }
}

/// The dropout masks of one window.
pub(super) struct Noise<'a> {
    pub(super) mode: Mode,
    pub(super) rng: Rng,
    pub(super) dtype: DType,
    pub(super) device: &'a Device,
}

impl Noise<'_> {
    fn mask(&self, what: &str, shape: &[usize], p: f64) -> Result<Option<Tensor>> {
        if self.mode != Mode::Train || p == 0.0 {
            return Ok(None);
        }
        ops::dropout_mask(shape, p, &self.rng.stream(what), self.dtype, self.device).map(Some)
    }

    /// Dropout with one mask for all steps.
    pub(super) fn locked(&self, what: &str, x: Tensor, p: f64) -> Result<Tensor> {
        match self.mask(what, &x.dims()[1..], p)? {
            Some(mask) => ops::masked(&x, &mask),
            None => Ok(x),
        }
    }
}

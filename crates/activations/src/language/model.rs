//! The language model: body, decoder and output function.

use super::awd_lstm::{AwdLstm, AwdLstmConfig, Hidden, Noise, State};
use crate::{Decoder, Mixture, MixtureConfig, OutputFunction, Result};
use candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::nn::{Builder, Init};
use sconce_tensor_core::store::{self, Fingerprint, Kept};
use sconce_tensor_core::{Error, Mode, Params, Rng, Role};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// The head between the body and the decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Head {
    /// A single output function.
    #[default]
    Single,
    /// A [`Mixture`] of output functions.
    Mixture {
        /// Number of components.
        components: usize,
    },
}

/// Configuration of a [`LanguageModel`].
///
/// | Name | Default | Purpose |
/// |---|---|---|
/// | `body` | [`AwdLstmConfig`] | embeddings and LSTMs |
/// | `head` | single | a single output function or a mixture |
/// | `tied` | true | the decoder's weight is the embedding table (Inan et al.; Press and Wolf) |
/// | `bias` | true | whether the decoder has a bias |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageModelConfig {
    /// Embeddings and LSTMs.
    pub body: AwdLstmConfig,
    /// One output function or a mixture.
    pub head: Head,
    /// Whether the decoder's weight is the embedding table.
    pub tied: bool,
    /// Whether the decoder has a bias.
    pub bias: bool,
}

impl Default for LanguageModelConfig {
    fn default() -> Self {
        Self { body: AwdLstmConfig::default(), head: Head::Single, tied: true, bias: true }
    }
}

/// AWD-LSTM with any output function, or a mixture of them.
pub struct LanguageModel {
    cfg: LanguageModelConfig,
    params: Params,
    body: AwdLstm,
    weight: Var,
    bias: Option<Var>,
    mixture: Option<Mixture>,
    output: Arc<dyn OutputFunction>,
}

/// The fact of a file that says that it holds a language model, by its output function.
const OUTPUT: &str = "output function of a language model";
/// The digest of the vocabulary.
const VOCABULARY: &str = "vocabulary";

impl LanguageModel {
    /// A model with initial values. Two models with the same `rng` have the same initial values, whatever their output
    /// function.
    ///
    /// # Errors
    /// Sizes of 0; dropout rates outside [0, 1); with tied weights and a single head, an embedding size that differs from the
    /// output size of the last layer.
    pub fn new(
        cfg: LanguageModelConfig,
        output: Arc<dyn OutputFunction>,
        rng: Rng,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, rng, dtype, device);
        let body = AwdLstm::new(&mut b, cfg.body)?;
        // The input of the decoder is a component's vector if there is a mixture, otherwise the output of the last layer.
        let width = match cfg.head {
            Head::Single if cfg.tied && cfg.body.output != cfg.body.embedding => {
                let reason = format!(
                    "must be {}, the size of the embedding, for tied weights without a mixture, got {}",
                    cfg.body.embedding, cfg.body.output
                );
                return Err(Error::config("AwdLstmConfig.output", reason));
            }
            Head::Single => cfg.body.output,
            Head::Mixture { .. } => cfg.body.embedding,
        };
        let mixture = match cfg.head {
            Head::Single => None,
            Head::Mixture { components } => Some(Mixture::new(
                &mut b.scope("mixture"),
                MixtureConfig { inputs: cfg.body.output, width, components },
            )?),
        };
        let mut decoder = b.scope("decoder");
        let size = cfg.body.vocabulary;
        let weight = match cfg.tied {
            true => body.embedding.clone(),
            false => decoder.param("weight", Role::Weight, (size, width), Init::Uniform(0.1))?,
        };
        let bias = cfg.bias.then(|| decoder.param("bias", Role::Bias, size, Init::Constant(0.0))).transpose()?;
        Ok(Self { cfg, params, body, weight, bias, mixture, output })
    }

    /// The configuration.
    pub fn config(&self) -> &LanguageModelConfig {
        &self.cfg
    }

    /// The parameters, in order.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The output function.
    pub fn output(&self) -> &dyn OutputFunction {
        &*self.output
    }

    /// A state of zeros for `rows` streams of text.
    ///
    /// # Errors
    /// candle's only.
    pub fn state(&self, rows: usize) -> Result<State> {
        self.body.state(rows)
    }

    /// Runs the body over a window; `rng` belongs to the window and is used in training mode only.
    ///
    /// # Shapes
    /// `ids` (T, N) of u32.
    ///
    /// # Errors
    /// A word index that is not below the vocabulary size; a state with a different number of rows.
    pub fn hidden(&self, ids: &Tensor, state: &State, mode: Mode, rng: &Rng) -> Result<Hidden> {
        self.body.forward(ids, state, mode, rng)
    }

    fn decoder(&self, mode: Mode) -> (Tensor, Option<Tensor>) {
        (mode.tensor(&self.weight), self.bias.as_ref().map(|b| mode.tensor(b)))
    }

    /// The negative log-likelihood of the next words.
    ///
    /// # Shapes
    /// `hidden` (T, N, D), `next` (T N,) of u32 -> (T N,).
    ///
    /// # Errors
    /// Shapes that do not match; a word index that is not below the vocabulary size.
    pub fn nll(&self, hidden: &Tensor, next: &Tensor, mode: Mode, rng: &Rng) -> Result<Tensor> {
        let (steps, rows, d) = hidden.dims3()?;
        let h = hidden.reshape((steps * rows, d))?;
        let (weight, bias) = self.decoder(mode);
        let Some(mixture) = &self.mixture else {
            return self.output.linear_nll(&h, &weight, bias.as_ref(), next);
        };
        let latent = mixture.latent(&h, mode)?;
        let noise = Noise { mode, rng: *rng, dtype: h.dtype(), device: h.device() };
        let latent = noise
            .locked("latent", latent.reshape((steps, rows, ()))?, self.cfg.body.dropout.latent)?
            .reshape(latent.shape())?;
        let decoder = Decoder { weight: &weight, bias: bias.as_ref() };
        mixture.nll(&*self.output, &h, &latent, decoder, next, mode)
    }

    /// The log-probabilities of all words for hidden vectors of the body, without a graph.
    ///
    /// # Shapes
    /// (R, D) -> (R, vocabulary).
    ///
    /// # Errors
    /// A shape that does not match.
    pub fn log_prob(&self, h: &Tensor) -> Result<Tensor> {
        let (weight, bias) = self.decoder(Mode::Frozen);
        match &self.mixture {
            Some(m) => {
                let decoder = Decoder { weight: &weight, bias: bias.as_ref() };
                m.log_prob(&*self.output, h, decoder, Mode::Frozen)
            }
            None => self.output.log_prob(&sconce_tensor_core::ops::linear(h, &weight, bias.as_ref())?),
        }
    }

    /// A copy of the model in another dtype, for instance f64 for ranks.
    ///
    /// # Errors
    /// candle's only.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        let other = Self::new(self.cfg, self.output.clone(), Rng::new(0), dtype, self.weight.device())?;
        other.params.restore(&self.params.snapshot()?.into_iter().collect())?;
        Ok(other)
    }

    /// Saves weights, configuration and the digest of the vocabulary atomically.
    ///
    /// # Errors
    /// [`Error::Io`] with the path.
    pub fn save(&self, path: &Path, vocabulary: &str) -> Result<()> {
        let fingerprint = Fingerprint::new().with(OUTPUT, self.output.name()).with(VOCABULARY, vocabulary);
        Kept::new(fingerprint, store::State::of(&self.cfg, &self.params)?).save(path)
    }

    /// Loads a model that [`LanguageModel::save`] wrote. `output` returns the output function of a name ([`crate::output_of`]
    /// knows those of this crate); `vocabulary` is the digest of the vocabulary that word indices refer to.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] with the path: a broken file, a different vocabulary, an unknown output function.
    pub fn load(
        path: &Path,
        vocabulary: &str,
        output: impl FnOnce(&str) -> Result<Arc<dyn OutputFunction>>,
        device: &Device,
    ) -> Result<Self> {
        let refuse = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
        let Kept { fingerprint, value } = Kept::<store::State>::open(path)?;
        let fact = |key: &str| fingerprint.text(key).ok_or_else(|| refuse("not a language model".to_owned()));
        let (name, found) = (fact(OUTPUT)?, fact(VOCABULARY)?);
        let config: LanguageModelConfig = value.values().map_err(|e| refuse(e.to_string()))?;
        if found != vocabulary {
            let short = |d: &str| d.chars().take(12).collect::<String>();
            return Err(refuse(format!(
                "its vocabulary (digest {}..., {} words) is not the one given ({}...)",
                short(found),
                config.body.vocabulary,
                short(vocabulary)
            )));
        }
        let output = output(name).map_err(|e| refuse(e.to_string()))?;
        let tensors = value.into_tensors();
        let dtype = tensors.values().next().map_or(DType::F32, Tensor::dtype);
        let model = Self::new(config, output, Rng::new(0), dtype, device)?;
        model.params.restore(&tensors).map_err(|e| refuse(e.to_string()))?;
        Ok(model)
    }
}

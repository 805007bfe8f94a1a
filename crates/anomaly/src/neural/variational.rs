//! The variational autoencoder.

use super::network::{Layers, NetworkConfig, examples, fit, score};
use crate::{Detector, Loaded, Method, Result, State, TrainingRows};
use candle_core::{D, DType, Device, Tensor};
use sconce_tensor_core::error::require;
use sconce_tensor_core::nn::Builder;
use sconce_tensor_core::{Mode, Params, Rng};
use serde::{Deserialize, Serialize};

/// Configuration of [`Variational`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `network` | [`NetworkConfig`] | sizes and training; the last of `hidden` is the code | |
/// | `beta` | 1 | weight of the KL divergence from the prior | finite, >= 0 |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariationalConfig {
    /// Sizes and training.
    pub network: NetworkConfig,
    /// Weight of the KL divergence.
    pub beta: f64,
}

impl Default for VariationalConfig {
    fn default() -> Self {
        Self { network: NetworkConfig::default(), beta: 1.0 }
    }
}

/// A variational autoencoder: the encoder gives the mean m and the variance v of a normal distribution of the code. With the
/// reconstruction y of a code drawn from it, training minimises
///
/// `norm(x - y)^2 / 2 + beta sum(m^2 + v - log v - 1) / 2`,
///
/// the negative evidence lower bound for a decoder of unit variance, up to a constant. The score is the same expression with
/// the code at its mean, so that scores are deterministic. Known anomalies are excluded.
///
/// Source: Kingma and Welling (arXiv 1312.6114); `beta` as in Higgins et al. (2017); the score is chosen by us.
#[derive(Clone, Debug)]
pub struct Variational {
    cfg: VariationalConfig,
}

impl Variational {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(cfg: VariationalConfig) -> Result<Self> {
        cfg.network.validate()?;
        require("VariationalConfig.beta", cfg.beta.is_finite() && cfg.beta >= 0.0, "finite and >= 0", cfg.beta)?;
        Ok(Self { cfg })
    }
}

#[derive(Debug)]
struct Fitted {
    values: Values,
    net: Coder,
}

/// Encoder and decoder; the outputs of the encoder are the means, then the log-variances.
#[derive(Debug)]
struct Coder {
    encoder: Layers,
    decoder: Layers,
    params: Params,
    beta: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Values {
    cfg: VariationalConfig,
    width: usize,
}

impl Values {
    fn net(&self, rng: &Rng, device: &Device) -> Result<Coder> {
        let NetworkConfig { hidden, activation, .. } = &self.cfg.network;
        let mut down: Vec<usize> = std::iter::once(self.width).chain(hidden.iter().copied()).collect();
        let up: Vec<usize> = down.iter().rev().copied().collect();
        if let Some(code) = down.last_mut() {
            *code *= 2;
        }
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, *rng, DType::F32, device);
        let encoder = Layers::new(&down, true, *activation, b.scope("encoder"))?;
        let decoder = Layers::new(&up, true, *activation, b.scope("decoder"))?;
        Ok(Coder { encoder, decoder, params, beta: self.cfg.beta })
    }
}

impl Coder {
    /// The reconstruction and the weighted KL divergence; the code is drawn if there is an `rng`, otherwise it is the mean.
    fn forward(&self, x: &Tensor, mode: Mode, rng: Option<&Rng>) -> Result<(Tensor, Tensor)> {
        let both = self.encoder.forward(x, mode)?.chunk(2, 1)?;
        let (mean, log_variance) = (&both[0], &both[1]);
        let code = match rng {
            None => mean.clone(),
            Some(rng) => {
                let noise = rng.normal(mean.dims(), 0.0, 1.0, DType::F32, x.device())?;
                (mean + (log_variance * 0.5)?.exp()? * noise)?
            }
        };
        let divergence = (((mean.sqr()? + log_variance.exp()?)? - log_variance)? - 1.0)?.sum(D::Minus1)?;
        Ok((self.decoder.forward(&code, mode)?, (divergence * (0.5 * self.beta))?))
    }

    /// The negative evidence lower bound of each row.
    fn bound(&self, x: &Tensor, mode: Mode, rng: Option<&Rng>) -> Result<Tensor> {
        let (y, divergence) = self.forward(x, mode, rng)?;
        Ok(((x - y)?.sqr()?.sum(D::Minus1)? * 0.5 + divergence)?)
    }
}

impl Method for Variational {
    fn fit(&self, train: &TrainingRows<'_>, rng: &Rng) -> Result<Box<dyn Detector>> {
        let rows = examples(&train.with_rows(&train.normals()?, None), self)?;
        let values = Values { cfg: self.cfg.clone(), width: rows.x.dim(1)? };
        let net = values.net(rng, rows.x.device())?;
        fit(&net.params, &rows, &self.cfg.network, rng, |x, _, rng| net.bound(x, Mode::Train, Some(rng)))?;
        Ok(Box::new(Fitted { values, net }))
    }
}

pub(crate) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    let values: Values = from.values()?;
    let net = values.net(&Rng::new(0), from.device())?;
    net.params.restore(from.tensors())?;
    Ok(Box::new(Fitted { values, net }))
}

impl Detector for Fitted {
    fn name(&self) -> &'static str {
        "vae"
    }

    fn features(&self) -> usize {
        self.values.width
    }

    fn score(&self, x: &Tensor) -> Result<Tensor> {
        score(x, self.values.width, &self.net.params, |x| self.net.bound(x, Mode::Frozen, None))
    }

    fn contributions(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let each = |x: &Tensor| Ok((self.net.forward(x, Mode::Frozen, None)?.0 - x)?.sqr()?);
        score(x, self.values.width, &self.net.params, each).map(Some)
    }

    fn state(&self) -> Result<State> {
        State::of(&self.values, &self.net.params)
    }
}

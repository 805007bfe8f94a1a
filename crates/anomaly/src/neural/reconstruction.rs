//! Detectors that reconstruct: autoencoder, denoising autoencoder, LRC and ABC.

use super::network::{Mlp, NetworkConfig, examples, fit, score};
use super::residual::{Residual, abc_loss, lrc_loss};
use crate::{Detector, Error, Loaded, Method, Result, State, TrainingRows};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Mode, Rng};
use serde::{Deserialize, Serialize};

/// The training objective of [`Reconstruction`]: how it uses known anomalies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReconstructionObjective {
    /// Known anomalies are excluded; the residual of the other examples is minimised.
    Autoencoder,
    /// Limiting reconstruction capability: the residual of known anomalies is maximised without bound, so clip the gradient.
    Lrc,
    /// Autoencoding binary classifier: the residual of known anomalies is raised until they are classified as anomalies.
    #[default]
    Abc,
}

/// Configuration of [`Reconstruction`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `network` | [`NetworkConfig`] | sizes and training | |
/// | `residual` | root mean square | the residual r, used in the loss and as the score | |
/// | `noise` | 0 | standard deviation of the noise on training inputs; above 0 it is a denoising autoencoder | finite, >= 0 |
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconstructionConfig {
    /// Sizes and training.
    pub network: NetworkConfig,
    /// The residual r.
    pub residual: Residual,
    /// Noise on training inputs.
    pub noise: f64,
}

/// An autoencoder with the residual as the score, trained with a [`ReconstructionObjective`]. Features are not scaled: use
/// [`crate::Scaled`] if their scales differ.
///
/// Source: Yamanaka, Iwata, Takahashi, Yamada, Kanai (arXiv 1903.10709) for ABC, whose loss is [`super::abc_loss`].
#[derive(Clone, Debug)]
pub struct Reconstruction {
    objective: ReconstructionObjective,
    cfg: ReconstructionConfig,
}

impl Reconstruction {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(objective: ReconstructionObjective, cfg: ReconstructionConfig) -> Result<Self> {
        cfg.network.validate()?;
        let good = cfg.noise.is_finite() && cfg.noise >= 0.0;
        require("ReconstructionConfig.noise", good, "finite and >= 0", cfg.noise)?;
        Ok(Self { objective, cfg })
    }
}

#[derive(Debug)]
struct Fitted {
    values: Values,
    net: Mlp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Values {
    cfg: ReconstructionConfig,
    objective: ReconstructionObjective,
    width: usize,
}

impl Values {
    /// The encoder down to the code, and the mirrored decoder.
    fn net(&self, rng: &Rng, device: &Device) -> Result<Mlp> {
        let down = std::iter::once(self.width).chain(self.cfg.network.hidden.iter().copied());
        let mut widths: Vec<usize> = down.collect();
        widths.extend(widths.clone().iter().rev().skip(1));
        Mlp::new(&widths, self.cfg.network.activation, rng, device)
    }
}

impl Method for Reconstruction {
    fn fit(&self, train: &TrainingRows<'_>, rng: &Rng) -> Result<Box<dyn Detector>> {
        let x;
        // Known anomalies are removed here, so that they do not affect the shuffling either.
        let train = match self.objective {
            ReconstructionObjective::Autoencoder => {
                x = train.normals()?;
                &train.with_rows(&x, None)
            }
            _ => train,
        };
        let rows = examples(train, self)?;
        let values = Values { cfg: self.cfg.clone(), objective: self.objective, width: rows.x.dim(1)? };
        let net = values.net(rng, rows.x.device())?;
        let ReconstructionConfig { network, residual, noise } = &self.cfg;
        fit(&net.params, &rows, network, rng, |x, known, rng| {
            let input = match *noise > 0.0 {
                true => (x + rng.normal(x.dims(), 0.0, *noise, DType::F32, x.device())?)?,
                false => x.clone(),
            };
            let r = residual.of(&net.forward(&input, Mode::Train)?, x)?;
            match self.objective {
                ReconstructionObjective::Autoencoder => Ok(r),
                ReconstructionObjective::Lrc => lrc_loss(&r, known),
                ReconstructionObjective::Abc => abc_loss(&r, known),
            }
        })?;
        Ok(Box::new(Fitted { values, net }))
    }
}

impl ReconstructionObjective {
    /// The detector's name in files.
    fn name(self) -> &'static str {
        match self {
            Self::Autoencoder => "autoencoder",
            Self::Lrc => "lrc",
            Self::Abc => "abc",
        }
    }
}

pub(crate) fn restore(objective: ReconstructionObjective, from: &Loaded) -> Result<Box<dyn Detector>> {
    let values: Values = from.values()?;
    if values.objective != objective {
        let reason = format!("`{}` was saved with the objective {:?}", objective.name(), values.objective);
        return Err(Error::value("detector", reason));
    }
    let net = values.net(&Rng::new(0), from.device())?;
    net.restore(from)?;
    Ok(Box::new(Fitted { values, net }))
}

impl Detector for Fitted {
    fn name(&self) -> &'static str {
        self.values.objective.name()
    }

    fn features(&self) -> usize {
        self.values.width
    }

    fn score(&self, x: &Tensor) -> Result<Tensor> {
        score(x, self.values.width, &self.net.params, |x| {
            self.values.cfg.residual.of(&self.net.forward(x, Mode::Frozen)?, x)
        })
    }

    fn contributions(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let width = self.values.width;
        let each = |x: &Tensor| Ok((self.net.forward(x, Mode::Frozen)? - x)?.sqr()?);
        score(x, width, &self.net.params, each).map(Some)
    }

    fn state(&self) -> Result<State> {
        State::of(&self.values, &self.net.params)
    }
}

//! Detectors that reconstruct: the autoencoder, its denoising form, LRC and ABC.

use super::network::{Mlp, NetworkConfig, examples, fit, score};
use super::residual::{Residual, abc_loss, lrc_loss};
use crate::{Detector, Error, Loaded, Method, Result, State, Training};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Mode, Rng};
use serde::{Deserialize, Serialize};

/// What known anomalies are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Nothing: they are left out, and the residual of the others is minimised.
    Autoencoder,
    /// Their residual is maximised without end (limiting reconstruction capability): clip the gradient.
    Lrc,
    /// An autoencoding binary classifier: their residual is raised until they are told apart.
    #[default]
    Abc,
}

/// Configuration of [`Reconstruction`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `network` | [`NetworkConfig`] | sizes and training | |
/// | `residual` | root mean square | r, in the loss and as the score | |
/// | `noise` | 0 | standard deviation of the noise on inputs in training: a denoising autoencoder | finite, >= 0 |
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconstructionConfig {
    /// Sizes and training.
    pub network: NetworkConfig,
    /// r.
    pub residual: Residual,
    /// Noise on inputs in training.
    pub noise: f64,
}

/// An autoencoder that scores by its residual, trained on an [`Objective`]. Features are used as they are: bring them to
/// one scale first.
///
/// Source: Yamanaka, Iwata, Takahashi, Yamada, Kanai (arXiv 1903.10709) for ABC, which the [`super::abc_loss`] is.
#[derive(Clone, Debug)]
pub struct Reconstruction {
    objective: Objective,
    cfg: ReconstructionConfig,
}

impl Reconstruction {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(objective: Objective, cfg: ReconstructionConfig) -> Result<Self> {
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
    objective: Objective,
    width: usize,
}

impl Values {
    /// Down to the code and back.
    fn net(&self, rng: &Rng, device: &Device) -> Result<Mlp> {
        let down = std::iter::once(self.width).chain(self.cfg.network.hidden.iter().copied());
        let mut widths: Vec<usize> = down.collect();
        widths.extend(widths.clone().iter().rev().skip(1));
        Mlp::new(&widths, self.cfg.network.activation, rng, device)
    }
}

impl Method for Reconstruction {
    fn fit(&self, train: &Training<'_>, rng: &Rng) -> Result<Box<dyn Detector>> {
        let x;
        // Without them, so that they do not even enter the shuffle.
        let train = match self.objective {
            Objective::Autoencoder => {
                x = train.normals()?;
                &Training::normal(&x)
            }
            _ => train,
        };
        let (x, known) = examples(train)?;
        let values = Values { cfg: self.cfg.clone(), objective: self.objective, width: x.dim(1)? };
        let net = values.net(rng, x.device())?;
        let ReconstructionConfig { network, residual, noise } = &self.cfg;
        fit(&net.params, (&x, &known), network, rng, |x, known, rng| {
            let input = match *noise > 0.0 {
                true => (x + rng.normal(x.dims(), 0.0, *noise, DType::F32, x.device())?)?,
                false => x.clone(),
            };
            let r = residual.of(&net.forward(&input, Mode::Train)?, x)?;
            match self.objective {
                Objective::Autoencoder => Ok(r),
                Objective::Lrc => lrc_loss(&r, known),
                Objective::Abc => abc_loss(&r, known),
            }
        })?;
        Ok(Box::new(Fitted { values, net }))
    }
}

const NAMES: [(Objective, &str); 3] =
    [(Objective::Autoencoder, "autoencoder"), (Objective::Lrc, "lrc"), (Objective::Abc, "abc")];

pub(super) fn restore(name: &str, from: &Loaded) -> Option<Result<Box<dyn Detector>>> {
    let (objective, _) = NAMES.into_iter().find(|n| n.1 == name)?;
    let load = || -> Result<Box<dyn Detector>> {
        let values: Values = from.values()?;
        if values.objective != objective {
            return Err(Error::value("detector", format!("`{name}` with the objective {:?}", values.objective)));
        }
        let net = values.net(&Rng::new(0), from.device())?;
        net.restore(from)?;
        Ok(Box::new(Fitted { values, net }))
    };
    Some(load())
}

impl Detector for Fitted {
    fn name(&self) -> &'static str {
        NAMES.into_iter().find(|n| n.0 == self.values.objective).map_or("reconstruction", |n| n.1)
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

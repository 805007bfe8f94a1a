//! The Single Fourier Attack along one direction.

use super::pattern::{Normalisation, pattern};
use crate::geometry::require_images;
use candle_core::{Device, Tensor};
use sconce_tensor_core::{Attack, Classifier, Error, ExampleRng, Goal, Perturbed, Result, Threat};

/// Configuration of [`SingleFourier`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `direction` | (0, 1) | (l, m): vertical and horizontal periods | smaller than the image's sides |
/// | `eps` | 8/255 | size of the wave, see [`Normalisation`] | finite, >= 0 |
/// | `normalisation` | peak | the quantity that `eps` measures | |
/// | `random_signs` | false | multiply each example and channel by a random sign (as in Yin et al. 2019) | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SingleFourierConfig {
    /// Vertical and horizontal periods.
    pub direction: (usize, usize),
    /// Size of the wave.
    pub eps: f64,
    /// The quantity that `eps` measures.
    pub normalisation: Normalisation,
    /// Whether each example and channel has a random sign; otherwise all channels get the same wave.
    pub random_signs: bool,
}

impl Default for SingleFourierConfig {
    fn default() -> Self {
        Self { direction: (0, 1), eps: 8.0 / 255.0, normalisation: Normalisation::Peak, random_signs: false }
    }
}

/// Adds one Fourier basis function to every input: a universal black-box attack with two integers as parameters.
///
/// In the L2 normalisation the threat's radius is `eps sqrt(3)`, the value for three channels; images with more channels
/// are an error.
///
/// Source: Tsuzuku and Sato (CVPR 2019); the pattern and its normalisation are reconstructed from memory and not verified
/// against the paper.
#[derive(Clone, Copy, Debug)]
pub struct SingleFourier {
    cfg: SingleFourierConfig,
    threat: Threat,
}

impl SingleFourier {
    /// Validates the configuration.
    ///
    /// # Errors
    /// The radius is negative or not finite.
    pub fn new(cfg: SingleFourierConfig) -> Result<Self> {
        let channels = if cfg.normalisation == Normalisation::L2 { 3f64.sqrt() } else { 1.0 };
        // Checked before scaling, so that the error shows the number that the user gave.
        Threat::new(cfg.normalisation.norm(), cfg.eps)?;
        Ok(Self { cfg, threat: Threat::new(cfg.normalisation.norm(), cfg.eps * channels)? })
    }
}

/// Refuses inputs to which no wave can be added.
pub(super) fn supports(normalisation: Normalisation, input: &[usize]) -> Result<()> {
    require_images("the Single Fourier Attack", input, 1)?;
    if normalisation == Normalisation::L2 && input[1] > 3 {
        return Err(Error::shape("input", "(N, C, H, W) with at most 3 channels in the L2 normalisation", input));
    }
    Ok(())
}

/// The wave as (1, 1, H, W) like `x`, of size `eps`.
pub(super) fn wave(x: &Tensor, direction: (usize, usize), eps: f64, normalisation: Normalisation) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4().map_err(|_| Error::shape("input", "(N, C, H, W)", x.dims()))?;
    let p: Vec<f64> = pattern(h, w, direction, normalisation)?.into_iter().map(|v| v * eps).collect();
    Ok(Tensor::from_vec(p, (1, 1, h, w), &Device::Cpu)?.to_dtype(x.dtype())?.to_device(x.device())?)
}

impl Attack for SingleFourier {
    fn threat(&self) -> Threat {
        self.threat
    }

    fn supports(&self, input: &[usize], _classes: usize) -> Result<()> {
        supports(self.cfg.normalisation, input)
    }

    fn perturb(&self, _model: &dyn Classifier, x: &Tensor, _goal: &Goal, rng: &ExampleRng) -> Result<Perturbed> {
        supports(self.cfg.normalisation, x.dims())?;
        let wave = wave(x, self.cfg.direction, self.cfg.eps, self.cfg.normalisation)?;
        let (n, c, _, _) = x.dims4()?;
        if !self.cfg.random_signs {
            return Perturbed::evenly(x.broadcast_add(&wave)?, 0, 0);
        }
        let signs: Vec<f64> = (0..n)
            .flat_map(|i| rng.stream("signs").row(i).below(c, 2).into_iter().map(|b| 2.0 * b as f64 - 1.0))
            .collect();
        let signs = Tensor::from_vec(signs, (n, c, 1, 1), &Device::Cpu)?.to_dtype(x.dtype())?.to_device(x.device())?;
        Perturbed::evenly((x + signs.broadcast_mul(&wave)?)?, 0, 0)
    }
}

//! Gaussian noise in a frequency band.

use super::pattern::signed_frequency;
use crate::geometry::require_images;
use candle_core::{Device, Tensor};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Attack, Classifier, Error, ExampleRng, Goal, Norm, Perturbed, Result, Threat};
use std::f64::consts::TAU;

/// Configuration of [`BandNoise`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `eps` | 16/255 | root mean square of the noise over an example's elements | finite, >= 0 |
/// | `from` | 8 | lowest frequency `max(abs(l), abs(m))`, in periods per image | <= `to` |
/// | `to` | 14 | highest frequency | at most half the image's side |
///
/// We chose all values, because we do not know the protocol of arXiv 1909.08830.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BandNoiseConfig {
    /// Root mean square of the noise.
    pub eps: f64,
    /// Lowest frequency.
    pub from: usize,
    /// Highest frequency.
    pub to: usize,
}

impl Default for BandNoiseConfig {
    fn default() -> Self {
        Self { eps: 16.0 / 255.0, from: 8, to: 14 }
    }
}

/// Adds Gaussian noise whose frequencies lie in a band; each example and channel has its own noise.
#[derive(Clone, Copy, Debug)]
pub struct BandNoise {
    cfg: BandNoiseConfig,
    threat: Threat,
}

impl BandNoise {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: BandNoiseConfig) -> Result<Self> {
        require("BandNoiseConfig.eps", cfg.eps.is_finite() && cfg.eps >= 0.0, "finite and >= 0", cfg.eps)?;
        require("BandNoiseConfig.from", cfg.from <= cfg.to, "at most `to`", cfg.from)?;
        // The noise is bounded only by its own scale, so `run` clips to the box alone.
        Ok(Self { cfg, threat: Threat::new(Norm::Linf, f64::MAX)? })
    }

    /// The waves of the band as rows: a cosine and a sine for each frequency of the half-plane.
    fn basis(&self, h: usize, w: usize) -> Vec<f64> {
        let radius = |l: usize, m: usize| signed_frequency(l, h).abs().max(signed_frequency(m, w).abs()) as usize;
        let half =
            (0..h).flat_map(|l| (0..w).map(move |m| (l, m))).filter(|&(l, m)| (l, m) <= ((h - l) % h, (w - m) % w));
        let mut rows = Vec::new();
        for (l, m) in half.filter(|&(l, m)| (self.cfg.from..=self.cfg.to).contains(&radius(l, m))) {
            let angle = move |a: usize, b: usize| TAU * ((l * a % h) as f64 / h as f64 + (m * b % w) as f64 / w as f64);
            for f in [f64::cos, f64::sin] {
                rows.extend((0..h).flat_map(|a| (0..w).map(move |b| f(angle(a, b)))));
            }
        }
        rows
    }
}

impl Attack for BandNoise {
    fn threat(&self) -> Threat {
        self.threat
    }

    fn supports(&self, input: &[usize], _classes: usize) -> Result<()> {
        require_images("noise in a frequency band", input, 1)
    }

    fn perturb(&self, _model: &dyn Classifier, x: &Tensor, _goal: &Goal, rng: &ExampleRng) -> Result<Perturbed> {
        require_images("noise in a frequency band", x.dims(), 1)?;
        let (n, c, h, w) = x.dims4()?;
        let basis = self.basis(h, w);
        let waves = basis.len() / (h * w);
        if waves == 0 {
            let reason = format!("no frequency of a {h}x{w} image is in {}..={}", self.cfg.from, self.cfg.to);
            return Err(Error::config("BandNoiseConfig.from", reason));
        }
        let basis = Tensor::from_vec(basis, (waves, h * w), &Device::Cpu)?;
        let z: Vec<f64> = (0..n).flat_map(|i| rng.row(i).normals(c * waves)).collect();
        let noise = sconce_tensor_core::ops::matmul(&Tensor::from_vec(z, (n * c, waves), &Device::Cpu)?, &basis)?;
        let noise = noise.reshape((n, c * h * w))?;
        let rms = noise.sqr()?.mean_keepdim(1)?.sqrt()?;
        let noise = (noise.broadcast_div(&rms)? * self.cfg.eps)?.reshape((n, c, h, w))?;
        Perturbed::evenly((x + noise.to_dtype(x.dtype())?.to_device(x.device())?)?, 0, 0)
    }
}

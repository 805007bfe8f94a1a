//! Normalisation of inputs, inside the model.

use crate::{Error, Result, error::require};
use candle_core::Tensor;

/// `(x - mean) / std` for each channel. It is part of the network, so that inputs, attacks and their radii are in the units
/// of the data.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl Normalize {
    /// One mean and one standard deviation per channel.
    ///
    /// # Errors
    /// Lengths that differ, or a deviation that is not positive and finite.
    pub fn new(mean: Vec<f64>, std: Vec<f64>) -> Result<Self> {
        require("Normalize.std", mean.len() == std.len(), "as long as the mean", std.len())?;
        if let Some(s) = std.iter().chain(&mean).find(|s| !s.is_finite()).or(std.iter().find(|s| **s <= 0.0)) {
            return Err(Error::config("Normalize", format!("needs finite means and positive deviations, got {s}")));
        }
        Ok(Self { mean, std })
    }

    /// Whether another normalisation is the same but for rounding in 32 bits.
    pub(crate) fn is_close(&self, other: &Self) -> bool {
        let close = |a: &[f64], b: &[f64]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + b.abs()))
        };
        close(&self.mean, &other.mean) && close(&self.std, &other.std)
    }

    /// # Shapes
    /// (N, C, H, W) -> (N, C, H, W).
    ///
    /// # Errors
    /// Another number of channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let c = self.mean.len();
        if x.rank() != 4 || x.dim(1)? != c {
            return Err(Error::shape("input", format!("(N, {c}, H, W)"), x.dims()));
        }
        let place = |v: &[f64]| Tensor::new(v, x.device())?.to_dtype(x.dtype())?.reshape((1, c, 1, 1));
        Ok(x.broadcast_sub(&place(&self.mean)?)?.broadcast_div(&place(&self.std)?)?)
    }
}

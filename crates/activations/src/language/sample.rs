//! Sampling text from a model.

use super::LanguageModel;
use crate::Result;
use candle_core::{DType, Tensor};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Error, Mode, Rng};

/// Configuration of [`sample`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `words` | 100 | number of words | >= 1 |
/// | `temperature` | 1 | divides the log-probabilities: below 1, likely words are drawn more often | > 0, finite |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleConfig {
    /// Number of words.
    pub words: usize,
    /// Divides the log-probabilities.
    pub temperature: f64,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self { words: 100, temperature: 1.0 }
    }
}

/// Reads `start`, then draws words one after the other. Words in `excluded`, for instance the token for unknown words, are not
/// drawn.
///
/// # Errors
/// A configuration out of range, an empty `start`, a word index outside the vocabulary, log-probabilities that are NaN, no word that may be drawn.
pub fn sample(
    model: &LanguageModel,
    start: &[u32],
    excluded: &[u32],
    cfg: &SampleConfig,
    rng: &Rng,
) -> Result<Vec<u32>> {
    require("SampleConfig.words", cfg.words >= 1, "at least 1", cfg.words)?;
    let t = cfg.temperature;
    require("SampleConfig.temperature", t.is_finite() && t > 0.0, "finite and > 0", t)?;
    if start.is_empty() {
        return Err(Error::value("start", "needs at least one word"));
    }
    let device = model.params().iter().next().map_or(candle_core::Device::Cpu, |p| p.var().device().clone());
    let mut state = model.state(1)?;
    let mut out = Vec::with_capacity(cfg.words);
    let mut ids = Tensor::from_slice(start, (start.len(), 1), &device)?;
    for u in rng.uniforms(cfg.words) {
        let h = model.hidden(&ids, &state, Mode::Frozen, rng)?;
        state = h.state;
        let last = h.raw.get(ids.dims()[0] - 1)?;
        let log = model.log_prob(&last)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        let word = draw(&log, excluded, t, u)?;
        out.push(word);
        ids = Tensor::from_slice(&[word], (1, 1), &device)?;
    }
    Ok(out)
}

/// The word at the quantile `u` of the distribution with weights `exp(log / t)`.
fn draw(log: &[f64], excluded: &[u32], t: f64, u: f64) -> Result<u32> {
    if let Some((i, v)) = log.iter().enumerate().find(|(_, v)| v.is_nan()) {
        return Err(Error::value("log-probability", format!("{v} for word {i}")));
    }
    let allowed = |i: usize| !excluded.contains(&(i as u32));
    // Of the words that can be drawn: near temperature 0 every other weight is 0 beside the largest one.
    let top = log.iter().enumerate().filter(|e| allowed(e.0)).fold(f64::NEG_INFINITY, |m, e| m.max(*e.1));
    if top == f64::NEG_INFINITY {
        return Err(Error::value("log-probability", "no word that may be drawn has a probability above 0"));
    }
    let weight = |(i, l): (usize, &f64)| if allowed(i) { ((l - top) / t).exp() } else { 0.0 };
    let total: f64 = log.iter().enumerate().map(weight).sum();
    let mut left = u * total;
    let mut last = 0;
    for (i, w) in log.iter().enumerate().map(|e| (e.0, weight(e))).filter(|w| w.1 > 0.0) {
        last = i;
        if left < w {
            break;
        }
        left -= w;
    }
    Ok(last as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_weights() -> Result<()> {
        let log: Vec<f64> = [0.1f64, 0.6, 0.3].iter().map(|p| p.ln()).collect();
        let n = 20_000;
        let mut frequency = [0f64; 3];
        for u in Rng::new(0).uniforms(n) {
            frequency[draw(&log, &[], 1.0, u)? as usize] += 1.0 / n as f64;
        }
        assert!((frequency[0] - 0.1).abs() < 0.01 && (frequency[1] - 0.6).abs() < 0.02, "{frequency:?}");
        assert_eq!((draw(&log, &[1], 0.01, 0.5)?, draw(&log, &[], 1.0, 1.0 - 1e-17)?), (2, 2));
        assert!(draw(&[f64::NAN], &[], 1.0, 0.5).is_err());
        // The likeliest word is excluded, and the temperature so low that the others have no weight beside it.
        for u in [0.0, 0.5, 1.0 - 1e-17] {
            assert_eq!(draw(&[-9.0, -0.1, -5.0], &[1], 1e-3, u)?, 2);
            assert_eq!(draw(&[-9.0, -0.1, -5.0], &[1], f64::MIN_POSITIVE, u)?, 2);
        }
        assert!(draw(&[0.0, f64::NEG_INFINITY], &[0], 1.0, 0.5).is_err());
        Ok(())
    }
}

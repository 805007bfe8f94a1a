//! Evaluation: the likelihood of a text.

use super::{LanguageModel, Streams};
use crate::Result;
use candle_core::DType;
use sconce_tensor_core::{Mode, Rng};
use serde::{Deserialize, Serialize};

/// The mean negative log-likelihood per word in nats, and the number of words.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Likelihood {
    /// Nats per word.
    pub nll: f64,
    /// Number of predicted words.
    pub words: usize,
}

impl Likelihood {
    /// The perplexity, `e^nll`.
    pub fn perplexity(&self) -> f64 {
        self.nll.exp()
    }
}

/// Evaluates a text in windows of `window` words without dropout; the state is carried from window to window.
///
/// # Errors
/// A window that is not shorter than the streams, a word index outside the vocabulary.
pub fn evaluate(model: &LanguageModel, text: &Streams, window: usize) -> Result<Likelihood> {
    text.admit("evaluate window", window)?;
    let mut state = model.state(text.rows())?;
    let (mut sum, mut words, mut from) = (0.0, 0, 0);
    let rng = Rng::new(0);
    while let Some((ids, next)) = text.window(from, window)? {
        let h = model.hidden(&ids, &state, Mode::Frozen, &rng)?;
        let losses = model.nll(&h.raw, &next, Mode::Frozen, &rng)?;
        sum += losses.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
        words += next.elem_count();
        from += ids.dims()[0];
        state = h.state;
    }
    Ok(Likelihood { nll: sum / words as f64, words })
}

//! Dynamic evaluation: the model keeps training on the text that it has just predicted.

use super::{LanguageModel, Likelihood, Streams};
use crate::{Error, Result};
use candle_core::{DType, Tensor};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Mode, Rng, ops};

/// Configuration of [`dynamic_evaluation`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lr` | 0.002 | learning rate | > 0 |
/// | `decay` | 0.02 | decay towards the trained weights (`lamb` in the authors' code) | >= 0 |
/// | `eps` | 0.001 | added to the gradient's root mean square | > 0 |
/// | `window` | 5 | words between two updates | >= 1 |
///
/// The defaults are reconstructed from memory of the authors' code and not verified.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DynamicConfig {
    /// Learning rate.
    pub lr: f64,
    /// Decay towards the trained weights.
    pub decay: f64,
    /// Added to the gradient's root mean square.
    pub eps: f64,
    /// Words between two updates.
    pub window: usize,
}

impl Default for DynamicConfig {
    fn default() -> Self {
        Self { lr: 0.002, decay: 0.02, eps: 0.001, window: 5 }
    }
}

/// The root mean square of each parameter's gradient over the training text.
#[derive(Clone, Debug)]
pub struct GradientScale {
    rms: Vec<Tensor>,
    /// The mean over parameters of the mean of each tensor.
    mean: f64,
}

impl GradientScale {
    /// From the gradients of the mean loss over at most `most` windows of `window` words, without dropout.
    ///
    /// # Errors
    /// A window that is not shorter than the streams; candle's.
    pub fn of(model: &LanguageModel, train: &Streams, window: usize, most: usize) -> Result<Self> {
        train.admit("GradientScale window", window)?;
        require("GradientScale most", most >= 1, "at least 1", most)?;
        let rng = Rng::new(0);
        let mut state = model.state(train.rows())?;
        let mut sums: Vec<Option<Tensor>> = Vec::new();
        let (mut from, mut count) = (0, 0usize);
        while let Some((ids, next)) = train.window(from, window)?.filter(|_| count < most) {
            let h = model.hidden(&ids, &state, Mode::Eval, &rng)?;
            let grads = ops::backward(&model.nll(&h.raw, &next, Mode::Eval, &rng)?.mean_all()?)?;
            sums.resize(model.params().trainable().count(), None);
            for (p, sum) in model.params().trainable().zip(&mut sums) {
                let Some(g) = grads.get(p.var()) else {
                    return Err(Error::NoGradient { name: p.name().to_owned() });
                };
                let square = g.detach().sqr()?;
                *sum = Some(match sum.take() {
                    Some(s) => (s + square)?,
                    None => square,
                });
            }
            (from, count, state) = (from + ids.dims()[0], count + 1, h.state);
        }
        let rms: Vec<Tensor> =
            sums.into_iter().flatten().map(|s| Ok((s / count as f64)?.sqrt()?)).collect::<Result<_>>()?;
        let means: Vec<f64> =
            rms.iter().map(|r| Ok(r.mean_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?)).collect::<Result<_>>()?;
        Ok(Self { mean: means.iter().sum::<f64>() / means.len() as f64, rms })
    }
}

/// Reads a text in short windows. After each window is predicted, the weights take a step on its gradient:
/// `w <- w - lr g / (rms + eps) + decay min(rms / mean rms, 1 / decay) (w_0 - w)`. The original weights are restored at the
/// end. After each window `on_window` gets the number of steps done and of all steps.
///
/// Source: Krause, Kahembwe, Murray, Renals (arXiv 1709.07432), with the root mean squares of the training gradients.
///
/// # Errors
/// A configuration out of range, a window that is not shorter than the streams, a loss that is not finite.
pub fn dynamic_evaluation(
    model: &LanguageModel,
    text: &Streams,
    scale: &GradientScale,
    cfg: &DynamicConfig,
    on_window: &mut dyn FnMut(usize, usize),
) -> Result<Likelihood> {
    let DynamicConfig { lr, decay, eps, window } = *cfg;
    require("DynamicConfig.lr", lr.is_finite() && lr > 0.0, "finite and > 0", lr)?;
    require("DynamicConfig.decay", decay.is_finite() && decay >= 0.0, "finite and >= 0", decay)?;
    require("DynamicConfig.eps", eps.is_finite() && eps > 0.0, "finite and > 0", eps)?;
    text.admit("DynamicConfig.window", window)?;
    let start: Vec<(String, Tensor)> = model.params().snapshot()?;
    // lr / (rms + eps), and the decay of each weight.
    let rates: Vec<Tensor> = scale.rms.iter().map(|r| Ok(((r + eps)?.recip()? * lr)?)).collect::<Result<_>>()?;
    let pulls: Vec<Tensor> = scale
        .rms
        .iter()
        .map(|r| Ok(((r / scale.mean)?.minimum(if decay > 0.0 { 1.0 / decay } else { f64::MAX })? * decay)?))
        .collect::<Result<_>>()?;
    let done = adapt(model, text, window, (&rates, &pulls), &start, on_window);
    // The weights are restored also after an error.
    model.params().restore(&start.into_iter().collect())?;
    done
}

fn adapt(
    model: &LanguageModel,
    text: &Streams,
    window: usize,
    (rates, pulls): (&[Tensor], &[Tensor]),
    start: &[(String, Tensor)],
    on_window: &mut dyn FnMut(usize, usize),
) -> Result<Likelihood> {
    let rng = Rng::new(0);
    let mut state = model.state(text.rows())?;
    let (mut sum, mut words, mut from) = (0.0, 0, 0);
    while let Some((ids, next)) = text.window(from, window)? {
        let h = model.hidden(&ids, &state, Mode::Eval, &rng)?;
        let loss = model.nll(&h.raw, &next, Mode::Eval, &rng)?.mean_all()?;
        let value = loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        if !value.is_finite() {
            return Err(Error::value(
                "dynamic evaluation",
                format!("the loss is {value} after {words} words: use a smaller lr"),
            ));
        }
        sum += value * next.elem_count() as f64;
        words += next.elem_count();
        let grads = ops::backward(&loss)?;
        for (((p, rate), pull), (_, first)) in model.params().trainable().zip(rates).zip(pulls).zip(start) {
            let Some(g) = grads.get(p.var()) else {
                return Err(Error::NoGradient { name: p.name().to_owned() });
            };
            let w = p.var().as_detached_tensor();
            let decay = (pull * (first - &w)?)?;
            p.var().set(&((&w - (g.detach() * rate)?)? + decay)?)?;
        }
        from += ids.dims()[0];
        state = h.state;
        on_window(from, text.steps() - 1);
    }
    Ok(Likelihood { nll: sum / words as f64, words })
}

//! Dynamic evaluation: the model keeps training on the text that it has just predicted.

use super::{LanguageModel, Likelihood, Streams};
use crate::{Error, Result};
use candle_core::{DType, Tensor};
use sconce_tensor_core::error::require;
use sconce_tensor_core::optim::{Descent, Optimizer, Rule, Update};
use sconce_tensor_core::store::State;
use sconce_tensor_core::train::{Engine, LossTask, Progress};
use sconce_tensor_core::{Mode, Param, Rng, ops};

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
        let mut windows = windows(train, window);
        windows.truncate(most);
        let mut squares = Descent::new(SquareSum)?;
        let count = windows.len() as f64;
        read(model, train, windows, &mut squares, None)?;
        let sums = squares.state()?.into_tensors();
        let rms = |p: &Param| {
            let sum = sums.get(&format!("square.{}", p.name()));
            let sum = sum.ok_or_else(|| Error::NoGradient { name: p.name().to_owned() })?;
            Ok((sum / count)?.sqrt()?)
        };
        let rms: Vec<Tensor> = model.params().trainable().map(rms).collect::<Result<_>>()?;
        let means: Vec<f64> =
            rms.iter().map(|r| Ok(r.mean_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?)).collect::<Result<_>>()?;
        Ok(Self { mean: means.iter().sum::<f64>() / means.len() as f64, rms })
    }
}

/// Reads a text in short windows. After each window is predicted, the weights take a step on its gradient:
/// `w <- w - lr g / (rms + eps) + decay min(rms / mean rms, 1 / decay) (w_0 - w)`. The original weights are restored at the
/// end. After each window `on_window` gets the number of windows done and of all windows.
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
    let mut kept = Vec::new();
    for ((p, rate), pull) in model.params().trainable().zip(rates).zip(pulls) {
        let first = p.var().as_detached_tensor();
        kept.extend([("rate", rate), ("pull", pull), ("start", first)].map(|(n, t)| (format!("{n}.{}", p.name()), t)));
    }
    let mut adapting = Descent::new(Adapting)?;
    adapting.restore(model.params(), State::new(&0u64, kept)?)?;
    let done = read(model, text, windows(text, window), &mut adapting, Some(on_window));
    // The weights are restored also after an error.
    model.params().restore(&start.into_iter().collect())?;
    Ok(Likelihood { nll: done?, words: (text.steps() - 1) * text.rows() })
}

/// The steps of a text in windows of one length; the last step has no next word.
fn windows(text: &Streams, window: usize) -> Vec<Vec<usize>> {
    let steps: Vec<usize> = (0..text.steps() - 1).collect();
    steps.chunks(window).map(<[usize]>::to_vec).collect()
}

/// Predicts a text window by window without dropout, the state carried on; after each window `rule` gets the gradient of its mean
/// loss. Returns the mean loss of a word.
fn read<R: Rule>(
    model: &LanguageModel,
    text: &Streams,
    windows: Vec<Vec<usize>>,
    rule: &mut Descent<R>,
    on_window: Option<&mut dyn FnMut(usize, usize)>,
) -> Result<f64> {
    let rng = Rng::new(0);
    let mut state = model.state(text.rows())?;
    let batches = move |_: usize, _: &Rng| Ok(windows.clone());
    let mut task = LossTask::batched(model.params(), rule, batches, |at| {
        let missing = || Error::value("text", format!("no window at step {}", at.examples[0]));
        let (ids, next) = text.window(at.examples[0], at.examples.len())?.ok_or_else(missing)?;
        let h = model.hidden(&ids, &state, Mode::Eval, &rng)?;
        let loss = model.nll(&h.raw, &next, Mode::Eval, &rng)?.mean_all()?;
        at.finite("the loss of dynamic evaluation (use a smaller lr)", &loss)?;
        state = h.state;
        Ok(loss)
    })?;
    let mut silent = |_: usize, _: usize| ();
    let on_window = on_window.unwrap_or(&mut silent);
    let mut watch = |p: &Progress| on_window(p.step, p.total);
    let report = Engine::new(1)?.observed_by(&mut watch).run(&mut task, &rng)?;
    Ok(report.epochs[0].loss)
}

/// Adds up squared gradients and leaves the weights alone.
#[derive(Clone, Debug, Default)]
struct SquareSum;

impl Rule for SquareSum {
    const SLOTS: &'static [&'static str] = &["square"];

    fn update(&self, mut u: Update<'_>) -> Result<()> {
        let g = u.gradient.clone();
        let [sum] = u.slots()?;
        ops::addcmul_in_place(sum, &g, &g, 1.0)
    }
}

/// `w <- w - rate g + pull (start - w)`, with a rate and a pull for each weight.
#[derive(Clone, Debug, Default)]
struct Adapting;

impl Rule for Adapting {
    const SLOTS: &'static [&'static str] = &["rate", "pull", "start"];

    fn update(&self, mut u: Update<'_>) -> Result<()> {
        let (w, g) = (u.weight.clone(), u.gradient.clone());
        let [rate, pull, start] = u.slots()?;
        ops::lerp_in_place(&w, start, pull)?;
        ops::addcmul_in_place(&w, &g, rate, -1.0)
    }
}

//! Training: windows of varying length, SGD that becomes averaged SGD, resume.

use super::evaluate::{Likelihood, evaluate};
use super::{LanguageModel, Streams};
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::error::require;
use sconce_tensor_core::optim::{Average, Schedule, Sgd, SgdConfig, clip_norm};
use sconce_tensor_core::{Mode, Rng, ops, store};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Configuration of a [`LanguageTrainer`]. The defaults are those of the authors' code for Penn Treebank.
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `epochs` | 500 | passes over the text at most | >= 1 |
/// | `rows` | 20 | streams of the training text: the batch | >= 1 |
/// | `window` | 70 | mean length of a window (bptt); a window in twenty is drawn around half of it | >= 1 |
/// | `spread` | 5 | standard deviation of the length; 0 for windows of one length | >= 0 |
/// | `lr` | 30 | rate, times the window's length over `window` | > 0 |
/// | `schedule` | constant | factor on the rate | |
/// | `clip` | 0.25 | largest norm of the gradient | > 0 |
/// | `weight_decay` | 1.2e-6 | | >= 0 |
/// | `alpha` | 2 | weight of the activations' mean square (AR) | >= 0 |
/// | `beta` | 1 | weight of the mean square of their change from step to step (TAR) | >= 0 |
/// | `non_monotone` | 5 | averaging starts when a validation loss is above the best of those more than this many epochs back (NT-ASGD) | >= 1 |
/// | `finetune` | false | average from the first step on, and end where averaging would have started | |
/// | `evaluation_rows` | 10 | streams of the validation text | >= 1 |
///
/// Source: Merity, Keskar, Socher (arXiv 1708.02182), section 3 and 4, and the authors' code.
#[derive(Clone, Debug, PartialEq)]
pub struct LanguageTrainConfig {
    /// Passes over the text at most.
    pub epochs: usize,
    /// Streams of the training text.
    pub rows: usize,
    /// Mean length of a window.
    pub window: usize,
    /// Standard deviation of the length.
    pub spread: f64,
    /// Rate.
    pub lr: f64,
    /// Factor on the rate.
    pub schedule: Schedule,
    /// Largest norm of the gradient.
    pub clip: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Weight of AR.
    pub alpha: f64,
    /// Weight of TAR.
    pub beta: f64,
    /// Epochs after which a loss that is no better starts averaging.
    pub non_monotone: usize,
    /// Average from the start; end where averaging would have started.
    pub finetune: bool,
    /// Streams of the validation text.
    pub evaluation_rows: usize,
}

impl Default for LanguageTrainConfig {
    fn default() -> Self {
        Self {
            epochs: 500,
            rows: 20,
            window: 70,
            spread: 5.0,
            lr: 30.0,
            schedule: Schedule::Constant,
            clip: 0.25,
            weight_decay: 1.2e-6,
            alpha: 2.0,
            beta: 1.0,
            non_monotone: 5,
            finetune: false,
            evaluation_rows: 10,
        }
    }
}

/// What an epoch came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Mean training loss in nats per word, with dropout, without AR and TAR.
    pub train: f64,
    /// Of the validation text, with averaged weights once there are any.
    pub validation: Likelihood,
    /// Whether the weights were averaged.
    pub averaged: bool,
}

/// All epochs. The model ends with the weights of the best one by validation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// In order.
    pub epochs: Vec<EpochRecord>,
    /// Index of the best.
    pub best: usize,
    /// Whether training ended by itself, before the last epoch.
    pub ended: bool,
}

/// Watches training: (steps done and steps of this epoch, epochs done).
pub type Watch<'a> = dyn FnMut((usize, usize), usize) + 'a;

/// Trains a [`LanguageModel`].
#[derive(Clone, Debug)]
pub struct LanguageTrainer {
    cfg: LanguageTrainConfig,
    checkpoint: Option<(PathBuf, String)>,
}

impl LanguageTrainer {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: LanguageTrainConfig) -> Result<Self> {
        let good = |v: f64| v.is_finite() && v >= 0.0;
        require("LanguageTrainConfig.epochs", cfg.epochs >= 1, "at least 1", cfg.epochs)?;
        require("LanguageTrainConfig.rows", cfg.rows >= 1, "at least 1", cfg.rows)?;
        require("LanguageTrainConfig.window", cfg.window >= 1, "at least 1", cfg.window)?;
        require("LanguageTrainConfig.spread", good(cfg.spread), "finite and >= 0", cfg.spread)?;
        require("LanguageTrainConfig.clip", good(cfg.clip) && cfg.clip > 0.0, "finite and > 0", cfg.clip)?;
        require("LanguageTrainConfig.alpha", good(cfg.alpha), "finite and >= 0", cfg.alpha)?;
        require("LanguageTrainConfig.beta", good(cfg.beta), "finite and >= 0", cfg.beta)?;
        require("LanguageTrainConfig.non_monotone", cfg.non_monotone >= 1, "at least 1", cfg.non_monotone)?;
        require("LanguageTrainConfig.evaluation_rows", cfg.evaluation_rows >= 1, "at least 1", cfg.evaluation_rows)?;
        cfg.schedule.validate()?;
        sgd(&cfg)?;
        Ok(Self { cfg, checkpoint: None })
    }

    /// Saves the state to `path` after each epoch, and goes on from there where it exists. `fingerprint` names the
    /// configuration of the run; a checkpoint of another is an error.
    #[must_use]
    pub fn resuming(mut self, path: impl Into<PathBuf>, fingerprint: impl Into<String>) -> Self {
        self.checkpoint = Some((path.into(), fingerprint.into()));
        self
    }

    /// Trains, and leaves the model with the weights of the best epoch. The result is a function of the model's first
    /// weights, the texts, the configuration and `rng`; where the run was interrupted does not enter.
    ///
    /// # Errors
    /// Texts that are too short for the streams and windows, a loss that is not finite, the checkpoint's.
    pub fn fit(
        &self,
        model: &LanguageModel,
        train: &[u32],
        validation: &[u32],
        rng: &Rng,
        watch: &mut Watch<'_>,
    ) -> Result<History> {
        let device = model.params().iter().next().map_or(Device::Cpu, |p| p.var().device().clone());
        let train = Streams::new(train, self.cfg.rows, &device)?;
        let validation = Streams::new(validation, self.cfg.evaluation_rows, &device)?;
        train.admit("LanguageTrainConfig.window", self.cfg.window)?;
        let mut run = Progress::default();
        if let Some((path, print)) = &self.checkpoint {
            run.load(path, print, model)?;
        }
        while run.history.epochs.len() < self.cfg.epochs && !run.history.ended {
            let epoch = run.history.epochs.len();
            if self.cfg.finetune {
                run.averaging = true;
            }
            let rng = Rng::new(rng.stream("epoch").at(epoch as u64).bits(1)[0]);
            let loss = self.epoch(model, &train, epoch, &rng, &mut run, watch)?;
            self.judge(model, &validation, loss, &mut run)?;
            if let Some((path, print)) = &self.checkpoint {
                run.save(path, print, model)?;
            }
        }
        model.params().restore(&run.best.into_iter().collect())?;
        Ok(run.history)
    }

    /// One pass over the text; returns the mean loss.
    fn epoch(
        &self,
        model: &LanguageModel,
        text: &Streams,
        epoch: usize,
        rng: &Rng,
        run: &mut Progress,
        watch: &mut Watch<'_>,
    ) -> Result<f64> {
        let cfg = &self.cfg;
        let mut sgd = sgd(cfg)?;
        let mut state = model.state(text.rows())?;
        let (mut from, mut sum, mut words) = (0, 0.0, 0);
        for window in 0u64.. {
            let len = self.length(&rng.stream("length").at(window));
            let Some((ids, next)) = text.window(from, len)? else { break };
            let noise = Rng::new(rng.stream("dropout").at(window).bits(1)[0]);
            let h = model.hidden(&ids, &state, Mode::Train, &noise)?;
            let loss = model.nll(&h.dropped, &next, Mode::Train, &noise)?.mean_all()?;
            let value = loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
            if !value.is_finite() {
                return Err(Error::value("training loss", format!("{value} in epoch {epoch}, window {window}")));
            }
            let mut total = loss;
            if cfg.alpha > 0.0 {
                total = (total + (ops::mse_loss(&h.dropped, &h.dropped.zeros_like()?)? * cfg.alpha)?)?;
            }
            let steps = ids.dims()[0];
            if cfg.beta > 0.0 && steps > 1 {
                let change = (h.raw.narrow(0, 1, steps - 1)? - h.raw.narrow(0, 0, steps - 1)?)?;
                total = (total + (ops::mse_loss(&change, &change.zeros_like()?)? * cfg.beta)?)?;
            }
            let mut grads = ops::backward(&total)?;
            clip_norm(model.params(), &mut grads, cfg.clip)?;
            let share = from as f64 / (text.steps() - 1) as f64;
            let at = ((epoch as f64 + share) / cfg.epochs as f64 * 1e6) as usize;
            let lr = cfg.lr * cfg.schedule.factor(at, 1_000_000) * len as f64 / cfg.window as f64;
            sgd.step(model.params(), &grads, lr)?;
            if run.averaging {
                run.average.update(model.params())?;
            }
            sum += value * next.elem_count() as f64;
            words += next.elem_count();
            from += steps;
            state = h.state;
            watch((from, text.steps() - 1), epoch);
        }
        Ok(sum / words as f64)
    }

    /// The length of a window, drawn.
    fn length(&self, rng: &Rng) -> usize {
        let LanguageTrainConfig { window, spread, .. } = self.cfg;
        if spread == 0.0 {
            return window;
        }
        let mean = if rng.uniforms(1)[0] < 0.95 { window as f64 } else { window as f64 / 2.0 };
        ((mean + spread * rng.stream("normal").normals(1)[0]) as usize).max(5.min(window))
    }

    /// Validates, keeps the best weights, and decides on averaging.
    fn judge(&self, model: &LanguageModel, validation: &Streams, train: f64, run: &mut Progress) -> Result<()> {
        let cfg = &self.cfg;
        let averaged = run.averaging;
        if averaged {
            run.average.swap(model.params())?;
        }
        let window = cfg.window.min(validation.steps() - 1);
        let likelihood = evaluate(model, validation, window)?;
        let losses: Vec<f64> = run.history.epochs.iter().map(|e| e.validation.nll).collect();
        run.history.epochs.push(EpochRecord { train, validation: likelihood, averaged });
        if losses.iter().all(|l| likelihood.nll < *l) {
            run.history.best = losses.len();
            run.best = model.params().snapshot()?;
        }
        if averaged {
            run.average.swap(model.params())?;
        }
        let old = losses.len().saturating_sub(cfg.non_monotone);
        let stale = losses.iter().take(old).any(|l| likelihood.nll > *l);
        if cfg.finetune {
            run.history.ended = stale;
        } else if stale {
            run.averaging = true;
        }
        Ok(())
    }
}

fn sgd(cfg: &LanguageTrainConfig) -> Result<Sgd> {
    Sgd::new(SgdConfig { lr: cfg.lr, momentum: 0.0, weight_decay: cfg.weight_decay, ..SgdConfig::default() })
}

/// What a run needs to go on.
#[derive(Default)]
struct Progress {
    history: History,
    averaging: bool,
    average: Average,
    best: Vec<(String, Tensor)>,
}

#[derive(Serialize, Deserialize)]
struct Meta {
    format: u32,
    fingerprint: String,
    history: History,
    averaging: bool,
    averaged_steps: u64,
}

impl Progress {
    fn save(&self, path: &Path, fingerprint: &str, model: &LanguageModel) -> Result<()> {
        let meta = Meta {
            format: 1,
            fingerprint: fingerprint.to_owned(),
            history: self.history.clone(),
            averaging: self.averaging,
            averaged_steps: self.average.steps(),
        };
        let meta = serde_json::to_string(&meta).map_err(|e| Error::value("checkpoint", e.to_string()))?;
        let now = model.params().snapshot()?;
        let named = |kind: &str, all: &[(String, Tensor)]| -> Vec<(String, Tensor)> {
            all.iter().map(|(n, t)| (format!("{kind}.{n}"), t.clone())).collect()
        };
        let all = [named("now", &now), named("best", &self.best), named("mean", self.average.state())].concat();
        store::save(path, all.iter().map(|(n, t)| (n.as_str(), t.clone())), &meta)
    }

    fn load(&mut self, path: &Path, fingerprint: &str, model: &LanguageModel) -> Result<()> {
        if !path.exists() {
            return Ok(());
        }
        let refuse = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
        let (tensors, meta) = store::load(path, &Device::Cpu)?;
        let meta: Meta = serde_json::from_str(&meta).map_err(|e| refuse(format!("no checkpoint: {e}")))?;
        if meta.format != 1 || meta.fingerprint != fingerprint {
            let found = meta.fingerprint;
            return Err(refuse(format!("made by another run:\n  found    {found}\n  expected {fingerprint}")));
        }
        let under = |kind: &str| -> HashMap<String, Tensor> {
            let cut = |(n, t): (&String, &Tensor)| Some((n.strip_prefix(kind)?.to_owned(), t.clone()));
            tensors.iter().filter_map(cut).collect()
        };
        model.params().restore(&under("now.")).map_err(|e| refuse(e.to_string()))?;
        self.average.restore(model.params(), meta.averaged_steps, under("mean.")).map_err(|e| refuse(e.to_string()))?;
        let mut best = under("best.");
        self.best = model.params().iter().filter_map(|p| Some((p.name().to_owned(), best.remove(p.name())?))).collect();
        if self.best.len() != model.params().iter().count() {
            return Err(refuse("the best epoch's weights are missing".to_owned()));
        }
        self.history = meta.history;
        self.averaging = meta.averaging;
        Ok(())
    }
}

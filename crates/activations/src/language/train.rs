//! Training: windows of varying length, SGD that becomes averaged SGD, resume.

use super::awd_lstm::State;
use super::evaluate::{Likelihood, evaluate};
use super::{LanguageModel, Streams};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use sconce_tensor_core::error::require;
use sconce_tensor_core::optim::{Average, Schedule, Sgd, SgdConfig, UpdateConfig, Updater};
use sconce_tensor_core::train::{
    self, Best, Checkpoint, Engine, EpochEnd, EpochReport, KeepBest, Observer, StepContext,
};
use sconce_tensor_core::{Mode, Rng, ops, store};
use serde::{Deserialize, Serialize};

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

/// The result of an epoch.
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

/// Trains a [`LanguageModel`].
pub struct LanguageTrainer<'a> {
    cfg: LanguageTrainConfig,
    checkpoint: Option<Checkpoint>,
    observer: Option<&'a mut dyn Observer>,
}

impl<'a> LanguageTrainer<'a> {
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
        updater(&cfg)?;
        Ok(Self { cfg, checkpoint: None, observer: None })
    }

    /// Keeps the state of the run after each epoch, and goes on from there where the file exists.
    #[must_use]
    pub fn resuming(mut self, checkpoint: impl Into<Option<Checkpoint>>) -> Self {
        self.checkpoint = checkpoint.into();
        self
    }

    /// Tells an observer of each window and epoch.
    #[must_use]
    pub fn observed_by(mut self, observer: &'a mut dyn Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Trains, and leaves the model with the weights of the best epoch. The result is a function of the model's first
    /// weights, the texts, the configuration and `rng`; where the run was interrupted does not enter.
    ///
    /// # Errors
    /// Texts that are too short for the streams and windows, a loss that is not finite, the checkpoint's.
    pub fn fit(self, model: &LanguageModel, train: &[u32], validation: &[u32], rng: &Rng) -> Result<History> {
        let device = model.params().iter().next().map_or(Device::Cpu, |p| p.var().device().clone());
        let text = Streams::new(train, self.cfg.rows, &device)?;
        let validation = Streams::new(validation, self.cfg.evaluation_rows, &device)?;
        text.admit("LanguageTrainConfig.window", self.cfg.window)?;
        let mut task = Task {
            hidden: model.state(text.rows())?,
            updater: updater(&self.cfg)?,
            averaging: self.cfg.finetune,
            average: Average::mean(),
            best: Best::new(KeepBest::lowest(NLL)),
            losses: Vec::new(),
            cfg: &self.cfg,
            model,
            text,
            validation,
        };
        let mut engine = Engine::new(self.cfg.epochs)?.resuming(self.checkpoint);
        if let Some(observer) = self.observer {
            engine = engine.observed_by(observer);
        }
        let report = engine.run(&mut task, rng)?;
        let record = |e: &EpochReport| {
            let of = |name: &str| e.metric(name).unwrap_or_default();
            let validation = Likelihood { nll: of(NLL), words: of(WORDS) as usize };
            EpochRecord { train: e.loss, validation, averaged: of(AVERAGED) > 0.0 }
        };
        Ok(History {
            epochs: report.epochs.iter().map(record).collect(),
            best: report.best_epoch.map_or(0, |e| e - 1),
            ended: report.stopped_early,
        })
    }
}

/// The metrics of an epoch.
const NLL: &str = "validation nll";
const WORDS: &str = "validation words";
const AVERAGED: &str = "averaged";

fn updater(cfg: &LanguageTrainConfig) -> Result<Updater<Sgd>> {
    let sgd =
        Sgd::new(SgdConfig { lr: cfg.lr, momentum: 0.0, weight_decay: cfg.weight_decay, ..SgdConfig::default() })?;
    Updater::new(sgd, UpdateConfig { clip: Some(cfg.clip), ..UpdateConfig::default() })
}

/// A pass over the text is an epoch; a window is a batch, its examples the steps of the streams.
struct Task<'a> {
    cfg: &'a LanguageTrainConfig,
    model: &'a LanguageModel,
    text: Streams,
    validation: Streams,
    /// What is carried from window to window.
    hidden: State,
    updater: Updater<Sgd>,
    averaging: bool,
    average: Average,
    best: Best,
    /// Validation losses so far.
    losses: Vec<f64>,
}

impl Task<'_> {
    /// The length of a window, drawn.
    fn length(&self, rng: &Rng) -> usize {
        let LanguageTrainConfig { window, spread, .. } = *self.cfg;
        if spread == 0.0 {
            return window;
        }
        let mean = if rng.uniforms(1)[0] < 0.95 { window as f64 } else { window as f64 / 2.0 };
        ((mean + spread * rng.stream("normal").normals(1)[0]) as usize).max(5.min(window))
    }

    /// The loss with AR and TAR, the loss alone, and the state after the window.
    fn loss(&self, ids: &Tensor, next: &Tensor, noise: &Rng) -> Result<(Tensor, Tensor, State)> {
        let (cfg, model) = (self.cfg, self.model);
        let h = model.hidden(ids, &self.hidden, Mode::Train, noise)?;
        let loss = model.nll(&h.dropped, next, Mode::Train, noise)?.mean_all()?;
        let mut total = loss.clone();
        if cfg.alpha > 0.0 {
            total = (total + (ops::mse_loss(&h.dropped, &h.dropped.zeros_like()?)? * cfg.alpha)?)?;
        }
        let steps = ids.dims()[0];
        if cfg.beta > 0.0 && steps > 1 {
            let change = (h.raw.narrow(0, 1, steps - 1)? - h.raw.narrow(0, 0, steps - 1)?)?;
            total = (total + (ops::mse_loss(&change, &change.zeros_like()?)? * cfg.beta)?)?;
        }
        Ok((total, loss, h.state))
    }
}

impl train::Task for Task<'_> {
    fn batches(&self, epoch: usize, rng: &Rng) -> Result<Vec<Vec<usize>>> {
        // The randomness of the epoch, as a step's context has it.
        let rng = Rng::new(rng.stream("epoch").at(epoch as u64).bits(1)[0]).stream("length");
        // The last step of the streams has no next word.
        let end = self.text.steps() - 1;
        let (mut windows, mut from) = (Vec::new(), 0);
        while from < end {
            let to = (from + self.length(&rng.at(windows.len() as u64))).min(end);
            windows.push((from..to).collect());
            from = to;
        }
        Ok(windows)
    }

    fn step(&mut self, at: &StepContext<'_>) -> Result<f64> {
        let (from, len) = (at.examples[0], at.examples.len());
        if from == 0 {
            self.hidden = self.model.state(self.text.rows())?;
        }
        let missing = || Error::value("training", format!("no window at step {from} of the text"));
        let (ids, next) = self.text.window(from, len)?.ok_or_else(missing)?;
        let rng = at.epoch_rng();
        let noise = Rng::new(rng.stream("dropout").at(at.index as u64).bits(1)[0]);
        let (total, loss, hidden) = self.loss(&ids, &next, &noise)?;
        let value = at.finite("training loss", &loss)?;
        at.finite("training loss with AR and TAR", &total)?;
        // The rate goes with the length that was drawn, also where the text ends within the window.
        let drawn = self.length(&rng.stream("length").at(at.index as u64));
        let share = from as f64 / (self.text.steps() - 1) as f64;
        let place = ((at.epoch as f64 + share) / self.cfg.epochs as f64 * 1e6) as usize;
        let lr = self.cfg.lr * self.cfg.schedule.factor(place, 1_000_000) * drawn as f64 / self.cfg.window as f64;
        let params = self.model.params();
        self.updater.step_at(lr, params, &mut ops::last_backward(&total)?, at.step, at.total)?;
        if self.averaging {
            self.average.update(params)?;
        }
        self.hidden = hidden;
        Ok(value)
    }

    /// Validates, keeps the best weights, and decides on averaging.
    fn end_epoch(&mut self, epoch: usize) -> Result<EpochEnd> {
        let (cfg, params) = (self.cfg, self.model.params());
        params.require_finite()?;
        let averaged = self.averaging;
        if averaged {
            self.average.swap(params)?;
        }
        let window = cfg.window.min(self.validation.steps() - 1);
        let Likelihood { nll, words } = evaluate(self.model, &self.validation, window)?;
        let metrics = vec![
            (NLL.to_owned(), nll),
            (WORDS.to_owned(), words as f64),
            (AVERAGED.to_owned(), f64::from(u8::from(averaged))),
        ];
        self.best.consider(epoch, &metrics, params)?;
        if averaged {
            self.average.swap(params)?;
        }
        let old = self.losses.len().saturating_sub(cfg.non_monotone);
        let stale = self.losses.iter().take(old).any(|l| nll > *l);
        self.losses.push(nll);
        if !cfg.finetune && stale {
            self.averaging = true;
        }
        Ok(EpochEnd { metrics, stop: cfg.finetune && stale })
    }

    fn finish(&mut self) -> Result<()> {
        self.best.restore_weights(self.model.params())
    }

    fn best_epoch(&self) -> Option<usize> {
        self.best.epoch()
    }

    fn state(&self) -> Result<store::State> {
        let values = serde_json::json!({ "averaging": self.averaging, "losses": self.losses });
        store::State::new(&values, self.hidden.tensors())?
            .with("params", store::State::of(&(), self.model.params())?)?
            .with("update", self.updater.state()?)?
            .with("average", self.average.state()?)?
            .with("best", self.best.state()?)
    }

    fn restore(&mut self, mut state: store::State) -> Result<()> {
        let params = self.model.params();
        params.restore(&state.take("params")?.into_tensors())?;
        self.updater.restore(params, state.take("update")?)?;
        self.average.restore(params, state.take("average")?)?;
        self.best.restore(params, state.take("best")?)?;
        #[derive(Deserialize)]
        struct Values {
            averaging: bool,
            losses: Vec<f64>,
        }
        let Values { averaging, losses } = state.values()?;
        (self.averaging, self.losses) = (averaging, losses);
        self.hidden.restore(state.into_tensors())
    }

    fn fingerprint(&self) -> store::Fingerprint {
        store::Fingerprint::new()
            .with("config", format!("{:?}", self.cfg))
            .with("model", self.model.config())
            .with("steps of the text", self.text.steps())
    }
}

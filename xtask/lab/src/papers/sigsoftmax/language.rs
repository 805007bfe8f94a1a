//! The language models of `sigsoftmax`: training, testing, ranks, dynamic evaluation.

use super::choose::Rate;
use super::config::{Arm, Dynamic, Model, Rank};
use super::corpus::Cut;
use crate::jobs::{Job, Work};
use crate::pieces::train::advise;
use anyhow::{Context, Result};
use candle_core::{DType, Tensor};
use sconce_activations::Spectrum;
use sconce_activations::language::{
    DynamicConfig, GradientScale, History, LanguageModel, LanguageTrainConfig, LanguageTrainer, Streams,
    dynamic_evaluation, evaluate,
};
use sconce_tensor_core::train::Progress;
use sconce_tensor_core::{Mode, Rng, store};
use serde::{Deserialize, Serialize};

/// The endings of the files that a trained model leaves: itself, and its words for `cargo xtask generate`.
const MODEL: &str = "model.safetensors";
const WORDS: &str = "vocabulary.txt";

/// The phases of training.
const PHASES: [&str; 2] = ["train", "finetune"];

/// Streams and window of the last evaluation: one stream loses no context, ten are faster.
const TEST_ROWS: usize = 10;

/// An arm on a text.
#[derive(Clone, Copy, Serialize)]
pub struct Learner<'a> {
    pub cut: Cut<'a>,
    pub arm: &'a Arm,
    pub model: &'a Model,
}

impl Learner<'_> {
    /// The part of a key that tells it from others.
    pub fn place(&self) -> String {
        format!("{}/{}", self.cut.name, self.arm.name)
    }

    /// Work of a word, about.
    fn word(&self) -> f64 {
        let (m, vocabulary) = (self.model, self.cut.vocabulary);
        let recurrent = 8 * m.hidden * (m.hidden + m.embedding) * m.layers;
        let decoder = m.embedding * if vocabulary == 0 { 30_000 } else { vocabulary } * self.arm.mixture.max(1);
        6.0 * (recurrent + decoder) as f64
    }

    /// Work of training on the first `words` words, 0 for all.
    pub fn cost(&self, words: usize) -> f64 {
        self.word() * (self.cut.words(words) * self.model.epochs()) as f64
    }

    /// Trains on the first `words` words, 0 for all, and fine-tunes where the recipe says so.
    pub fn fit(&self, work: &Work<'_>, lr: f64, seed: u64, words: usize) -> Result<(LanguageModel, History)> {
        let corpus = self.cut.load(work.site)?;
        let words = if words == 0 { corpus.train.len() } else { words.min(corpus.train.len()) };
        let config = self.model.config(self.arm, corpus.vocabulary.len());
        // The seed is all: arms of one shape start from the same weights and see the same windows and masks.
        let rng = Rng::new(seed);
        let model = LanguageModel::new(config, self.arm.function()?, rng, DType::F32, &work.site.device)?;
        let total = self.model.epochs();
        let fit = |phase: &str, before: usize, cfg: LanguageTrainConfig| -> Result<History> {
            // Thousandths of all epochs of both phases.
            let share = cfg.epochs as f64 / total as f64;
            let before = before as f64 / total as f64;
            let mut watch = |p: &Progress| {
                let done = before + share * p.step as f64 / p.total.max(1) as f64;
                work.at((1000.0 * done) as usize, 1000);
            };
            let trainer = LanguageTrainer::new(cfg)?.resuming(work.checkpoint(phase));
            let (train, validation) = (&corpus.train[..words], &corpus.validation);
            let history = trainer.observed_by(&mut watch).fit(&model, train, validation, &rng.stream(phase));
            history.map_err(|e| advise(e.into()))
        };
        let mut history = fit(PHASES[0], 0, self.model.training(lr))?;
        if let Some(f) = &self.model.finetune {
            let cfg = LanguageTrainConfig { epochs: f.epochs, lr: f.lr, finetune: true, ..self.model.training(lr) };
            let tuned = fit(PHASES[1], self.model.train.epochs, cfg)?;
            history.best = history.epochs.len() + tuned.best;
            history.epochs.extend(tuned.epochs);
        }
        Ok((model, history))
    }
}

/// A model of an arm at its rate.
#[derive(Clone, Copy, Serialize)]
pub struct Trained<'a> {
    pub learner: Learner<'a>,
    pub rate: Rate<'a>,
    pub seed: u64,
}

impl Job for Trained<'_> {
    type Output = History;

    fn key(&self) -> String {
        format!("train/{}/seed{}", self.learner.place(), self.seed)
    }

    fn needs(&self) -> Vec<String> {
        self.rate.need().into_iter().collect()
    }

    fn cost(&self) -> f64 {
        self.learner.cost(0)
    }

    fn run(&self, work: &Work<'_>) -> Result<History> {
        let (model, history) = self.learner.fit(work, self.rate.get(work)?, self.seed, 0)?;
        let words = &self.learner.cut.load(work.site)?.vocabulary;
        work.leave(MODEL, |path| Ok(model.save(path, &words.digest())?))?;
        work.leave(WORDS, |path| Ok(store::write_whole(path, words.to_lines().as_bytes())?))?;
        Ok(history)
    }
}

/// Perplexities, rank and spectrum, and dynamic evaluation where the recipe says so.
#[derive(Clone, Copy, Serialize)]
pub struct Test<'a> {
    pub trained: Trained<'a>,
    pub rank: &'a Rank,
    pub dynamic: Option<&'a Dynamic>,
}

/// What a model came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tested {
    pub validation: f64,
    pub test: f64,
    pub dynamic: Option<f64>,
    pub rank: usize,
    /// Some singular values of the log-probabilities: (index from 1, value over the largest).
    pub spectrum: Vec<(usize, f64)>,
    /// The epoch whose weights were kept, from 1, and whether they were averaged.
    pub best: usize,
    pub averaged: bool,
}

impl Job for Test<'_> {
    type Output = Tested;

    fn key(&self) -> String {
        self.trained.key().replacen("train", "test", 1)
    }

    fn needs(&self) -> Vec<String> {
        vec![self.trained.key()]
    }

    fn cost(&self) -> f64 {
        let Learner { cut, .. } = self.trained.learner;
        self.trained.learner.word() * cut.words(0) as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Tested> {
        let Learner { cut, arm, model: sizes } = self.trained.learner;
        let (corpus, device) = (cut.load(work.site)?, &work.site.device);
        let history = work.output(&self.trained)?;
        let best = history.epochs.get(history.best).context("a history without epochs")?;
        let (path, _) = work.file_of(&self.trained, MODEL)?;
        let function = arm.function()?;
        let model = LanguageModel::load(&path, &corpus.vocabulary.digest(), |_| Ok(function), device)?;
        let streams = Streams::new(&corpus.test, TEST_ROWS, device)?;
        let test = evaluate(&model, &streams, sizes.train.window.min(streams.steps() - 1))?;
        let spectrum = self.spectrum(&model, &corpus.test)?;
        let dynamic = match self.dynamic {
            None => None,
            Some(d) => {
                let train = Streams::new(&corpus.train, 20, device)?;
                let scale = GradientScale::of(&model, &train, d.window, d.scale_windows)?;
                let words = if d.words == 0 { corpus.test.len() } else { d.words.min(corpus.test.len()) };
                let text = Streams::new(&corpus.test[..words], 1, device)?;
                let cfg = DynamicConfig { lr: d.lr, decay: d.decay, eps: d.eps, window: d.window };
                let found = dynamic_evaluation(&model, &text, &scale, &cfg, &mut |at, of| work.at(at, of))?;
                Some(found.perplexity())
            }
        };
        let values = spectrum.values();
        Ok(Tested {
            validation: best.validation.perplexity(),
            test: test.perplexity(),
            dynamic,
            rank: spectrum.rank(),
            spectrum: places(values.len()).map(|i| (i, values[i - 1] / values[0])).collect(),
            best: history.best + 1,
            averaged: best.averaged,
        })
    }
}

impl Test<'_> {
    /// Of the log-probabilities after the first words of a text, by an f64 forward pass.
    fn spectrum(&self, model: &LanguageModel, text: &[u32]) -> Result<Spectrum> {
        const ROWS: usize = 100;
        let wide = model.to_dtype(DType::F64)?;
        let contexts = self.rank.contexts.min(text.len() - 1);
        let device = wide.params().iter().next().context("no weights")?.var().device().clone();
        let (ids, _) =
            Streams::new(&text[..=contexts], 1, &device)?.window(0, contexts)?.context("a test text without words")?;
        let h = wide.hidden(&ids, &wide.state(1)?, Mode::Frozen, &Rng::new(0))?.raw.squeeze(1)?;
        let part = |from: usize| wide.log_prob(&h.narrow(0, from, ROWS.min(contexts - from))?.contiguous()?);
        let parts: Vec<Tensor> = (0..contexts).step_by(ROWS).map(part).collect::<Result<_, _>>()?;
        Ok(Spectrum::of(&Tensor::cat(&parts, 0)?)?)
    }
}

/// Some places from 1 to `n`, evenly on a logarithmic scale.
fn places(n: usize) -> impl Iterator<Item = usize> {
    let mut last = 0;
    (0..=60).filter_map(move |i| {
        let at = (n as f64).powf(f64::from(i) / 60.0).round() as usize;
        (at > last).then(|| {
            last = at;
            at
        })
    })
}

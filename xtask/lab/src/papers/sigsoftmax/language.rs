//! The stages of the language models: training, testing, ranks, dynamic evaluation.

use super::config::{Arm, Config, Text};
use crate::run::{Run, Stage};
use anyhow::{Context, Result};
use candle_core::{DType, Tensor};
use sconce_activations::Spectrum;
use sconce_activations::language::{
    DynamicConfig, GradientScale, History, LanguageModel, LanguageTrainConfig, LanguageTrainer, Streams,
    dynamic_evaluation, evaluate,
};
use sconce_datasets::text::Corpus;
use sconce_tensor_core::train::{Checkpoint, Progress};
use sconce_tensor_core::{Mode, Rng, store};
use serde::{Deserialize, Serialize};

/// One trained model's address.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub cfg: &'a Config,
    pub text: &'a Text,
    pub corpus: &'a Corpus,
    pub arm: &'a Arm,
    pub seed: u64,
    pub lr: f64,
    /// Words of the training text, from its start.
    pub words: usize,
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

/// Streams and window of the last evaluation: one stream loses no context, ten are faster.
const TEST_ROWS: usize = 10;

impl Job<'_> {
    /// A name for the terminal.
    pub fn name(&self) -> String {
        let Self { text, arm, lr, seed, .. } = self;
        let part = if self.words < self.corpus.train.len() { format!(" {} words", self.words) } else { String::new() };
        format!("{} {} lr {lr}{part} seed {seed}", text.name, arm.name)
    }

    fn file(&self, what: &str) -> String {
        format!("{}.{what}.safetensors", self.name().replace(' ', "-"))
    }

    /// Trains, fine-tunes where the recipe says so, and saves the model.
    pub fn train(&self, run: &Run, units: f64) -> Result<Stage<History>> {
        let sizes = self.text.of(self.arm)?;
        run.stage(&format!("train {}", self.name()), units, |bar| {
            let config = sizes.config(self.arm, self.corpus.vocabulary.len());
            // The seed is all: arms of one shape start from the same weights and see the same windows and masks.
            let rng = Rng::new(self.seed);
            let model = LanguageModel::new(config, self.arm.function()?, rng, DType::F32, &run.device)?;
            let total = sizes.epochs();
            let fit = |phase: &str, before: usize, cfg: LanguageTrainConfig| -> Result<History> {
                let path = run.path(&self.file(phase));
                let print = run.fingerprint().clone().with("model", self.name()).with("phase", phase);
                // Thousandths of all epochs of both phases.
                let share = cfg.epochs as f64 / total as f64;
                let before = before as f64 / total as f64;
                let mut watch = |p: &Progress| {
                    let done = before + share * p.step as f64 / p.total.max(1) as f64;
                    bar.at((1000.0 * done) as usize, 1000);
                };
                let trainer = LanguageTrainer::new(cfg)?.resuming(Checkpoint::new(&path, print));
                let rng = rng.stream(phase);
                let (train, validation) = (&self.corpus.train[..self.words], &self.corpus.validation);
                Ok(trainer.observed_by(&mut watch).fit(&model, train, validation, &rng)?)
            };
            let mut history = fit("train", 0, sizes.training(self.lr))?;
            if let Some(f) = &sizes.finetune {
                let cfg = LanguageTrainConfig { epochs: f.epochs, lr: f.lr, finetune: true, ..sizes.training(self.lr) };
                let tuned = fit("finetune", sizes.train.epochs, cfg)?;
                history.best = history.epochs.len() + tuned.best;
                history.epochs.extend(tuned.epochs);
            }
            model.save(&run.path(&self.file("model")), &self.corpus.vocabulary.digest())?;
            // The checkpoints are three times the model.
            for phase in ["train", "finetune"] {
                let path = run.path(&self.file(phase));
                if path.exists() {
                    std::fs::remove_file(&path).with_context(|| format!("{}", path.display()))?;
                }
            }
            Ok(history)
        })
    }

    /// The trained model.
    fn model(&self, run: &Run) -> Result<LanguageModel> {
        let path = run.path(&self.file("model"));
        let function = self.arm.function()?;
        Ok(LanguageModel::load(&path, &self.corpus.vocabulary.digest(), |_| Ok(function), &run.device)?)
    }

    /// Perplexities, rank and spectrum, and dynamic evaluation where the recipe says so.
    pub fn test(&self, run: &Run, history: &History, units: f64) -> Result<Stage<Tested>> {
        run.stage(&format!("test {}", self.name()), units, |bar| {
            let model = self.model(run)?;
            let window = self.text.of(self.arm)?.train.window;
            let best = history.epochs.get(history.best).context("a history without epochs")?;
            let streams = Streams::new(&self.corpus.test, TEST_ROWS, &run.device)?;
            let test = evaluate(&model, &streams, window.min(streams.steps() - 1))?;
            let spectrum = self.spectrum(&model)?;
            let dynamic = match &self.cfg.dynamic {
                None => None,
                Some(d) => {
                    let train = Streams::new(&self.corpus.train, 20, &run.device)?;
                    let scale = GradientScale::of(&model, &train, d.window, d.scale_windows)?;
                    let words = if d.words == 0 { self.corpus.test.len() } else { d.words.min(self.corpus.test.len()) };
                    let text = Streams::new(&self.corpus.test[..words], 1, &run.device)?;
                    let cfg = DynamicConfig { lr: d.lr, decay: d.decay, eps: d.eps, window: d.window };
                    let found = dynamic_evaluation(&model, &text, &scale, &cfg, &mut |at, of| bar.at(at, of))?;
                    Some(found.perplexity())
                }
            };
            let values = spectrum.values();
            let some: Vec<(usize, f64)> = places(values.len()).map(|i| (i, values[i - 1] / values[0])).collect();
            Ok(Tested {
                validation: best.validation.perplexity(),
                test: test.perplexity(),
                dynamic,
                rank: spectrum.rank(),
                spectrum: some,
                best: history.best + 1,
                averaged: best.averaged,
            })
        })
    }

    /// Of the log-probabilities after the first words of the test text, by an f64 forward pass.
    fn spectrum(&self, model: &LanguageModel) -> Result<Spectrum> {
        const ROWS: usize = 100;
        let wide = model.to_dtype(DType::F64)?;
        let contexts = self.cfg.rank.contexts.min(self.corpus.test.len() - 1);
        let text = Streams::new(
            &self.corpus.test[..=contexts],
            1,
            wide.params().iter().next().context("no weights")?.var().device(),
        )?;
        let (ids, _) = text.window(0, contexts)?.context("a test text without words")?;
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

/// Keeps the words beside the models, for `generate`.
pub fn keep_words(run: &Run, text: &Text, corpus: &Corpus) -> Result<()> {
    let path = run.path(&format!("{}.vocabulary.txt", text.name));
    Ok(store::write_whole(&path, corpus.vocabulary.to_lines().as_bytes())?)
}

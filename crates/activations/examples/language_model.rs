//! Trains a tiny AWD-LSTM with sigsoftmax on a text of a simple rule, and draws words from it.
//!
//! `cargo run --release -p sconce-activations --example language_model`

use candle_core::{DType, Device};
use sconce_activations::language::{
    AwdLstmConfig, Dropout, Head, LanguageModel, LanguageModelConfig, LanguageTrainConfig, LanguageTrainer,
    SampleConfig, sample,
};
use sconce_activations::{Output, Result};
use sconce_tensor_core::Rng;
use std::sync::Arc;

const WORDS: usize = 12;

/// Each word is the one before plus 1 or plus 2, at random.
fn text(seed: u64, words: usize) -> Vec<u32> {
    let steps = Rng::new(seed).below(words, 2);
    let next = |at: &mut u32, step: u64| {
        *at = (*at + 1 + step as u32) % WORDS as u32;
        Some(*at)
    };
    steps.into_iter().scan(0, next).collect()
}

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    let none = Dropout { embedding: 0.0, input: 0.0, hidden: 0.0, output: 0.0, weight: 0.0, latent: 0.0 };
    let body = AwdLstmConfig { vocabulary: WORDS, embedding: 16, hidden: 24, layers: 1, output: 16, dropout: none };
    let config = LanguageModelConfig { body, head: Head::Single, tied: true, bias: true };
    let model = LanguageModel::new(config, Arc::new(Output::Sigsoftmax), Rng::new(0), DType::F32, &Device::Cpu)?;
    let training = LanguageTrainConfig { epochs: 12, rows: 8, window: 12, lr: 4.0, ..Default::default() };
    let history = LanguageTrainer::new(training)?.fit(&model, &text(1, 6000), &text(2, 1000), &Rng::new(0))?;
    let best = history.epochs[history.best].validation.perplexity();
    println!("validation perplexity {best:.3}; the rule allows 2");
    assert!(best < 2.2, "{best}");
    let drawn = sample(&model, &[0], &[], &SampleConfig { words: 40, temperature: 0.7 }, &Rng::new(5))?;
    println!("a sample: {drawn:?}");
    let followed =
        drawn.windows(2).filter(|w| (1..=2).contains(&((w[1] + WORDS as u32 - w[0]) % WORDS as u32))).count();
    assert!(followed >= 36, "{followed} of 39 words follow the rule");
    Ok(())
}

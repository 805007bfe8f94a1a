//! The language model: what it learns, what it carries, what it refuses.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device};
use sconce_activations::language::{
    AwdLstmConfig, Dropout, DynamicConfig, GradientScale, Head, LanguageModel, LanguageModelConfig,
    LanguageTrainConfig, LanguageTrainer, SampleConfig, Streams, dynamic_evaluation, evaluate, sample,
};
use sconce_activations::{Error, Output, output_of};
use sconce_tensor_core::train::{Checkpoint, Progress};
use sconce_tensor_core::{Mode, Rng};
use std::sync::Arc;

const WORDS: usize = 12;

fn model(head: Head, dropout: f64) -> LanguageModel {
    let d = Dropout {
        embedding: dropout / 2.0,
        input: dropout,
        hidden: dropout,
        output: dropout,
        weight: dropout,
        latent: dropout,
    };
    let body = AwdLstmConfig { vocabulary: WORDS, embedding: 8, hidden: 16, layers: 2, output: 8, dropout: d };
    let cfg = LanguageModelConfig { body, head, ..Default::default() };
    LanguageModel::new(cfg, Arc::new(Output::Sigsoftmax), Rng::new(3), DType::F32, &Device::Cpu).unwrap()
}

/// Words that follow from the one before them, one in ten drawn.
fn text(seed: u64, n: usize) -> Vec<u32> {
    let noise = Rng::new(seed).uniforms(n);
    let mut t = vec![1u32, 2];
    for u in noise.iter().skip(2) {
        let next = (t[t.len() - 1] * 5 + 1) % WORDS as u32;
        t.push(if *u < 0.1 { (u * 10.0 * WORDS as f64) as u32 } else { next });
    }
    t
}

fn config(epochs: usize) -> LanguageTrainConfig {
    LanguageTrainConfig {
        epochs,
        rows: 4,
        window: 10,
        lr: 3.0,
        evaluation_rows: 2,
        non_monotone: 1,
        ..Default::default()
    }
}

fn weights(m: &LanguageModel) -> Vec<f32> {
    let flat = |p: &sconce_tensor_core::Param| p.var().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    m.params().iter().flat_map(flat).collect()
}

#[test]
fn it_learns_and_goes_on_adapting() {
    for head in [Head::Single, Head::Mixture { components: 2 }] {
        let m = model(head, 0.05);
        let (train, valid) = (text(0, 4000), text(1, 400));
        let streams = Streams::new(&valid, 2, &Device::Cpu).unwrap();
        let before = evaluate(&m, &streams, 10).unwrap();
        assert!((before.perplexity() - WORDS as f64).abs() < 2.0 && before.words == 398, "{before:?}");
        let cfg = LanguageTrainConfig { alpha: 0.1, beta: 0.1, clip: 1.0, lr: 2.0, ..config(14) };
        let history = LanguageTrainer::new(cfg).unwrap().fit(&m, &train, &valid, &Rng::new(0)).unwrap();
        let after = evaluate(&m, &streams, 10).unwrap();
        let best = history.epochs[history.best].validation;
        assert!(after.perplexity() < 3.0 && (after.nll - best.nll).abs() < 1e-9, "{history:?} {after:?}");
        // The window does not enter.
        let wide = evaluate(&m, &streams, 50).unwrap();
        assert!((wide.nll - after.nll).abs() < 1e-5, "{wide:?} {after:?}");

        // Words of another rule: adapting helps, and the weights are back afterwards.
        let other: Vec<u32> = text(2, 600).iter().map(|w| (w + 1) % WORDS as u32).collect();
        let other = Streams::new(&other, 1, &Device::Cpu).unwrap();
        let scale = GradientScale::of(&m, &Streams::new(&train, 4, &Device::Cpu).unwrap(), 5, 50).unwrap();
        let start = weights(&m);
        let frozen = evaluate(&m, &other, 5).unwrap();
        let cfg = DynamicConfig { lr: 0.01, ..Default::default() };
        let moved = dynamic_evaluation(&m, &other, &scale, &cfg, &mut |_, _| {}).unwrap();
        assert!(moved.nll < frozen.nll && moved.words == frozen.words, "{moved:?} {frozen:?}");
        assert_eq!(weights(&m), start);
        // Without a rate to speak of it is the evaluation.
        let still = DynamicConfig { lr: 1e-12, decay: 0.0, ..cfg };
        let still = dynamic_evaluation(&m, &other, &scale, &still, &mut |_, _| {}).unwrap();
        assert!((still.nll - frozen.nll).abs() < 1e-5);
    }
}

#[test]
fn a_run_that_is_stopped_goes_on_to_the_same_weights() {
    let (train, valid) = (text(0, 600), text(1, 100));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.safetensors");
    let fit = |m: &LanguageModel, epochs, finetune, file: Option<&str>, stop_at: Option<usize>| {
        let mut t = LanguageTrainer::new(LanguageTrainConfig { finetune, ..config(epochs) }).unwrap();
        if let Some(print) = file {
            t = t.resuming(Checkpoint::new(&path, print).every_steps(3).unwrap());
        }
        // In the middle of an epoch, as a kill would.
        let mut steps = 0;
        let mut watch = |p: &Progress| {
            steps = if stop_at == Some(p.epoch) { steps + 1 } else { 0 };
            assert!(steps < 5, "stopped");
        };
        t.observed_by(&mut watch).fit(m, &train, &valid, &Rng::new(5))
    };
    let whole = model(Head::Single, 0.3);
    let history = fit(&whole, 8, false, None, None).unwrap();
    assert!(history.epochs.iter().any(|e| e.averaged), "the run must reach averaging: {history:?}");
    for stop in [2, 7] {
        let m = model(Head::Single, 0.3);
        let stopped =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fit(&m, 8, false, Some("a"), Some(stop))));
        assert!(stopped.is_err());
    }
    let resumed = model(Head::Single, 0.3);
    assert_eq!(fit(&resumed, 8, false, Some("a"), None).unwrap(), history);
    assert_eq!(weights(&resumed), weights(&whole));
    let e = fit(&resumed, 8, false, Some("b"), None).unwrap_err().to_string();
    assert!(e.contains("run.safetensors") && e.contains("found \"a\", expected \"b\""), "{e}");
    // Fine-tuning averages from its first step.
    let tuned = fit(&whole, 3, true, None, None).unwrap();
    assert!(tuned.epochs.iter().all(|e| e.averaged));
}

#[test]
fn dropout_is_a_function_of_its_window() {
    let m = model(Head::Single, 0.4);
    let streams = Streams::new(&text(0, 60), 3, &Device::Cpu).unwrap();
    let (ids, _) = streams.window(0, 6).unwrap().unwrap();
    let run = |mode, seed| {
        let h = m.hidden(&ids, &m.state(3).unwrap(), mode, &Rng::new(seed)).unwrap();
        h.dropped.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(run(Mode::Train, 1), run(Mode::Train, 1));
    assert_ne!(run(Mode::Train, 1), run(Mode::Train, 2));
    assert_eq!(run(Mode::Eval, 1), run(Mode::Eval, 2));
    // Output dropout is variational: an element that is dropped is dropped at all steps.
    let out = run(Mode::Train, 1);
    let dropped = |i: usize| out[i] == 0.0;
    assert!((0..24).all(|i| (0..6).all(|t| dropped(t * 24 + i) == dropped(i))) && (0..24).any(dropped));
}

#[test]
fn a_saved_model_is_the_same_and_knows_its_vocabulary() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let m = model(Head::Mixture { components: 2 }, 0.1);
    m.save(&path, "digest").unwrap();
    let load = |vocabulary: &str| LanguageModel::load(&path, vocabulary, |n| Ok(Arc::new(output_of(n)?)), &Device::Cpu);
    let same = load("digest").unwrap();
    assert_eq!((weights(&same), same.config()), (weights(&m), m.config()));
    let draw = |m: &LanguageModel, never: &[u32]| {
        sample(m, &[1, 2], never, &SampleConfig { words: 40, temperature: 0.8 }, &Rng::new(1)).unwrap()
    };
    assert_eq!(draw(&same, &[]), draw(&m, &[]));
    assert!(draw(&m, &[]).contains(&3) && !draw(&m, &[3]).contains(&3));
    let e = load("other").err().unwrap().to_string();
    assert!(e.contains("model.safetensors") && e.contains("vocabulary") && e.contains("12 words"), "{e}");
    let unknown = |n: &str| Err(Error::config("output", format!("no {n} here")));
    let e = LanguageModel::load(&path, "digest", unknown, &Device::Cpu).err().unwrap().to_string();
    assert!(e.contains("no sigsoftmax here"), "{e}");
    std::fs::write(&path, b"short").unwrap();
    assert!(load("digest").err().unwrap().to_string().contains("not a whole"));
    m.params().save(&path).unwrap();
    assert!(load("digest").err().unwrap().to_string().contains("not a kept value"));
}

#[test]
fn what_does_not_fit_is_named() {
    let m = model(Head::Single, 0.1);
    let fit = |cfg: LanguageTrainConfig, train: &[u32]| {
        let t = LanguageTrainer::new(cfg)?;
        t.fit(&m, train, &text(1, 40), &Rng::new(0))
    };
    let message = |r: sconce_activations::Result<_>| r.err().map(|e: Error| e.to_string()).unwrap();
    assert!(message(fit(config(1), &text(0, 7))).contains("7 words"));
    assert!(message(fit(config(1), &text(0, 40))).contains("`LanguageTrainConfig.window`"));
    assert!(message(fit(config(1), &[99; 100])).contains("99 at place"));
    assert!(message(fit(LanguageTrainConfig { clip: 0.0, ..config(1) }, &[])).contains("clip"));
    let body = AwdLstmConfig { output: 7, ..m.config().body };
    let cfg = LanguageModelConfig { body, ..*m.config() };
    let new = |cfg| LanguageModel::new(cfg, Arc::new(Output::Softmax), Rng::new(0), DType::F32, &Device::Cpu);
    assert!(new(cfg).err().unwrap().to_string().contains("tied"));
    assert!(new(LanguageModelConfig { tied: false, ..cfg }).is_ok());
    let dropout = Dropout { weight: 1.0, ..body.dropout };
    let cfg = LanguageModelConfig { body: AwdLstmConfig { dropout, output: 8, ..body }, ..cfg };
    assert!(new(cfg).err().unwrap().to_string().contains("`Dropout`"));
    assert!(sample(&m, &[], &[], &SampleConfig::default(), &Rng::new(0)).is_err());
}

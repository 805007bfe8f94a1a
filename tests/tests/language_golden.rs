//! The language model against PyTorch: an epoch without dropout, weight by weight; and the softmax arm of the quick
//! reproduction against a twin with the same first weights, windows and masks.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use anyhow::Result;
use candle_core::{DType, Device};
use sconce_activations::language::{
    AwdLstmConfig, Dropout, Head, LanguageModel, LanguageModelConfig, LanguageTrainConfig, LanguageTrainer, Streams,
    evaluate,
};
use sconce_activations::output_of;
use sconce_tensor_core::Rng;
use sconce_tests::{Golden, deviation, golden};
use std::sync::Arc;

fn follow(name: &str, output: &str, components: usize, last: usize) -> Result<()> {
    let g = Golden::load("lm_trajectory.safetensors")?;
    let dropout = Dropout { embedding: 0.0, input: 0.0, hidden: 0.0, output: 0.0, weight: 0.0, latent: 0.0 };
    let body = AwdLstmConfig { vocabulary: 23, embedding: 7, hidden: 9, layers: 2, output: last, dropout };
    let head = if components == 0 { Head::Single } else { Head::Mixture { components } };
    let cfg = LanguageModelConfig { body, head, tied: true, bias: true };
    let model = LanguageModel::new(cfg, Arc::new(output_of(output)?), Rng::new(0), DType::F32, &Device::Cpu)?;
    model.params().restore(&g.under(&format!("{name}.start.")))?;
    let ids: Vec<u32> = g.get(&format!("{name}.ids"))?.to_vec1::<i64>()?.iter().map(|i| *i as u32).collect();
    let train = LanguageTrainConfig {
        epochs: 1,
        rows: 4,
        window: 6,
        spread: 0.0,
        lr: 2.0,
        weight_decay: 1e-3,
        evaluation_rows: 2,
        ..Default::default()
    };
    let history = LanguageTrainer::new(train)?.fit(&model, &ids, &ids, &Rng::new(0))?;
    let want = g.get(&format!("{name}.loss"))?.to_vec1::<f64>()?;
    assert!((history.epochs[0].train - want[0]).abs() < 1e-5, "{name}: {history:?}, PyTorch {want:?}");
    let found = evaluate(&model, &Streams::new(&ids, 2, &Device::Cpu)?, 6)?;
    assert!((found.nll - want[1]).abs() < 1e-5, "{name}: {found:?}, PyTorch {want:?}");
    let end = g.under(&format!("{name}.end."));
    assert_eq!(end.len(), model.params().iter().count());
    for p in model.params().iter() {
        let d = deviation(p.var(), &end[p.name()])?;
        assert!(d < 1e-5, "{name}: {} off by {d}", p.name());
    }
    Ok(())
}

#[test]
fn an_epoch_of_softmax() -> Result<()> {
    follow("softmax", "softmax", 0, 7)
}

#[test]
fn an_epoch_of_sigsoftmax() -> Result<()> {
    follow("sigsoftmax", "sigsoftmax", 0, 7)
}

#[test]
fn an_epoch_of_a_mixture_of_sigsoftmaxes() -> Result<()> {
    follow("moss", "sigsoftmax", 3, 5)
}

/// The part of a text's recipe that the twin depends on. It is of an arm without a mixture, at the rate that was chosen: how that was
/// chosen does not change it.
fn of_the_twin(recipe: &serde_json::Value) -> serde_json::Value {
    let mut part = recipe.clone();
    if let Some(keys) = part.as_object_mut() {
        keys.remove("mixture");
        keys.remove("selection");
        if let Some(train) = keys.get_mut("single").and_then(|m| m.get_mut("train")).and_then(|t| t.as_object_mut()) {
            train.remove("lr");
        }
    }
    part
}

/// The committed results of the quick preset: the softmax arm's mean perplexity is within 2 % of the twin's, of the same
/// recipe and rate.
#[test]
fn the_quick_recipes_perplexity_is_pytorchs() -> Result<()> {
    let json =
        |path: std::path::PathBuf| -> Result<serde_json::Value> { Ok(serde_json::from_slice(&std::fs::read(path)?)?) };
    let twin = json(golden("lm_twin.json"))?;
    let ours = json(golden("../../xtask/recipes/sigsoftmax/results/quick.json"))?;
    let (recipe, of) = (of_the_twin(&ours["config"]["corpora"][0]), of_the_twin(&twin["recipe"]));
    assert!(recipe["single"].is_object(), "the recipe has no model: {recipe}");
    assert_eq!(recipe, of, "the twin was made of another recipe: run make_golden_lm.py again");
    assert_eq!(ours["series"]["austen.softmax.rate"]["chosen"], twin["rate"], "run make_golden_lm.py again");
    let mean = |values: &serde_json::Value| -> Result<f64> {
        let values: Vec<f64> = serde_json::from_value(values.clone())?;
        Ok(values.iter().sum::<f64>() / values.len() as f64)
    };
    let (ours, theirs) =
        (mean(&ours["metrics"]["austen.test_ppl.softmax"]["values"])?, mean(&twin["test_perplexity"])?);
    assert!((ours / theirs - 1.0).abs() < 0.02, "ours {ours}, PyTorch {theirs}");
    Ok(())
}

//! Ten steps of training against PyTorch: the same first weights, every weight at the end.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use anyhow::Result;
use candle_core::{DType, Device};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::optim::{Sgd, SgdConfig};
use sconce_tensor_core::train::{CrossEntropy, Progress, TrainConfig, Trainer};
use sconce_tensor_core::{Classifier, Mode, Module, Network, Rng, ops};
use sconce_tests::{Golden, deviation};

fn follow(name: &str, batch_norm: bool, sgd: SgdConfig) -> Result<()> {
    let g = Golden::load(&format!("trajectory_{name}.safetensors"))?;
    let cfg = SmallCnnConfig {
        input: (1, 12, 12),
        channels: (4, 6),
        kernel: 5,
        hidden: 16,
        batch_norm,
        ..Default::default()
    };
    let net = SmallCnn::new(cfg, Rng::new(0), DType::F32, &Device::Cpu)?;
    net.params().restore(&g.under("start."))?;

    let logits = net.forward(g.get("x")?, Mode::Train)?;
    let grads = ops::cross_entropy(&logits, g.get("y")?)?.mean_all()?.backward()?;
    for p in net.params().trainable() {
        let want = g.get(&format!("grad.{}", p.name()))?;
        let d = deviation(grads.get(p.var()).expect("a gradient"), want)?;
        assert!(d < 1e-6, "{name}: first gradient of {} off by {d}", p.name());
    }
    // The forward pass above moved the running statistics.
    net.params().restore(&g.under("start."))?;

    let data = Labelled::new(g.get("x")?.clone(), &g.get("y")?.to_vec1::<u32>()?, 10)?;
    let mut losses = Vec::new();
    let mut watch = |p: &Progress| losses.push(p.loss);
    // The whole batch in each step: the order of examples does not matter.
    let trainer = Trainer::new(TrainConfig { epochs: 10, batch_size: 8, ..Default::default() }, &CrossEntropy)?;
    trainer.observed_by(&mut watch).fit(&net, &data, &mut Sgd::new(sgd)?, &Rng::new(0))?;
    for (ours, want) in losses.iter().zip(g.get("losses")?.to_vec1::<f64>()?) {
        assert!((ours - want).abs() < 1e-4 * want, "{name}: loss {ours}, PyTorch {want}");
    }
    let end = g.under("end.");
    for p in net.params().iter() {
        let d = deviation(p.var(), &end[p.name()])?;
        assert!(d < 1e-4, "{name}: {} off by {d} after ten steps", p.name());
    }
    assert!(deviation(&net.logits(g.get("x")?)?, g.get("logits")?)? < 1e-4);
    Ok(())
}

#[test]
fn plain_momentum() -> Result<()> {
    follow("plain", false, SgdConfig { lr: 0.05, momentum: 0.9, ..Default::default() })
}

#[test]
fn batch_norm_nesterov_and_weight_decay() -> Result<()> {
    follow("bn", true, SgdConfig { lr: 0.05, momentum: 0.9, nesterov: true, weight_decay: 5e-4, ..Default::default() })
}

//! Optimizers, parameter groups, clipping, averages, schedules and mixup against PyTorch in f64, step by step.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use anyhow::Result;
use candle_core::{Device, Tensor};
use sconce_tensor_core::optim::{
    Adam, AdamConfig, AverageConfig, Decay, Group, Optimizer, RmsProp, RmsPropConfig, Schedule, Sgd, SgdConfig,
    UpdateConfig, Updater, clip_norm,
};
use sconce_tensor_core::train::augment::{Mixup, MixupConfig};
use sconce_tensor_core::{Params, Role, ops};
use sconce_tests::{Golden, deviation};

/// Eight steps of an MLP in f64: what differs is the order of sums.
const CLOSE: f64 = 1e-12;
const STEPS: usize = 8;

fn params(g: &Golden) -> Result<Params> {
    let mut params = Params::new();
    for (name, role) in [("w1", Role::Weight), ("b1", Role::Bias), ("w2", Role::Weight), ("b2", Role::Bias)] {
        params.add(name, role, g.get(&format!("init.{name}"))?)?;
    }
    Ok(params)
}

fn logits(params: &Params, x: &Tensor) -> Result<Tensor> {
    let var = |name: &str| params.get(name).unwrap().var().as_tensor().clone();
    let hidden = ops::linear(x, &var("w1"), Some(&var("b1")))?.tanh()?;
    Ok(ops::linear(&hidden, &var("w2"), Some(&var("b2")))?)
}

fn loss(params: &Params, g: &Golden) -> Result<Tensor> {
    Ok(ops::cross_entropy(&logits(params, g.get("x")?)?, g.get("y")?)?.mean_all()?)
}

/// Follows a case for eight steps: losses, learning rates and every parameter after every step. Returns the updater.
fn follow<O: Optimizer>(g: &Golden, case: &str, optimizer: O, cfg: UpdateConfig) -> Result<(Params, Updater<O>)> {
    let params = params(g)?;
    let mut updater = Updater::new(optimizer, cfg)?;
    let losses = g.get(&format!("{case}.loss"))?.to_vec1::<f64>()?;
    let rates = g.get(&format!("{case}.lr"))?.to_vec1::<f64>()?;
    for step in 0..STEPS {
        let loss = loss(&params, g)?;
        let value = loss.to_scalar::<f64>()?;
        assert!((value - losses[step]).abs() < CLOSE, "{case}: loss {value} at step {step}, PyTorch {}", losses[step]);
        let lr = updater.step(&params, &mut ops::backward(&loss)?, step, STEPS)?;
        assert!((lr - rates[step]).abs() < 1e-15, "{case}: rate {lr} at step {step}, PyTorch {}", rates[step]);
        for p in params.iter() {
            let d = deviation(p.var(), g.get(&format!("{case}.step{}.{}", step + 1, p.name()))?)?;
            assert!(d < CLOSE, "{case}: {} off by {d} after step {}", p.name(), step + 1);
        }
    }
    Ok((params, updater))
}

fn sgd(lr: f64) -> Sgd {
    Sgd::new(SgdConfig { lr, momentum: 0.0, ..Default::default() }).unwrap()
}

#[test]
fn sgd_with_momentum_nesterov_and_decay() -> Result<()> {
    let g = Golden::load("optim.safetensors")?;
    follow(&g, "sgd", sgd(0.1), UpdateConfig::default())?;
    let momentum = SgdConfig { lr: 0.1, momentum: 0.9, ..Default::default() };
    follow(&g, "sgd_momentum", Sgd::new(momentum)?, UpdateConfig::default())?;
    let nesterov = SgdConfig { nesterov: true, weight_decay: 1e-2, ..momentum };
    follow(&g, "sgd_nesterov_wd", Sgd::new(nesterov)?, UpdateConfig::default())?;
    Ok(())
}

#[test]
fn adam_with_both_decays_and_groups() -> Result<()> {
    let g = Golden::load("optim.safetensors")?;
    let plain = AdamConfig { lr: 0.05, ..Default::default() };
    follow(&g, "adam", Adam::new(plain)?, UpdateConfig::default())?;
    let coupled = AdamConfig { beta1: 0.8, beta2: 0.95, eps: 1e-6, weight_decay: 0.1, decay: Decay::Coupled, ..plain };
    follow(&g, "adam_l2", Adam::new(coupled)?, UpdateConfig::default())?;
    let adamw = AdamConfig { weight_decay: 0.1, ..AdamConfig { lr: 0.05, ..AdamConfig::adamw() } };
    follow(&g, "adamw", Adam::new(adamw)?, UpdateConfig::default())?;
    let biases = Group::biases_and_norms().weight_decay(0.0)?.lr_factor(2.0)?;
    follow(&g, "adamw_groups", Adam::new(adamw)?.with_group(biases), UpdateConfig::default())?;
    Ok(())
}

#[test]
fn rmsprop_plain_and_centered() -> Result<()> {
    let g = Golden::load("optim.safetensors")?;
    let plain = RmsPropConfig { lr: 0.02, alpha: 0.9, ..Default::default() };
    follow(&g, "rmsprop", RmsProp::new(plain)?, UpdateConfig::default())?;
    let centered = RmsPropConfig { centered: true, momentum: 0.9, ..plain };
    follow(&g, "rmsprop_centered", RmsProp::new(centered)?, UpdateConfig::default())?;
    Ok(())
}

/// PyTorch divides by the norm + 1e-6, we by the norm: the trajectories are that close and no closer.
#[test]
fn clipping() -> Result<()> {
    let g = Golden::load("optim.safetensors")?;
    for (case, max) in [("sgd_clip", 0.5), ("sgd_clip_some", 1.0)] {
        let params = params(&g)?;
        let mut updater = Updater::new(sgd(0.1), UpdateConfig { clip: Some(max), ..Default::default() })?;
        let norms = g.get(&format!("{case}.norm"))?.to_vec1::<f64>()?;
        for (step, norm) in norms.iter().enumerate() {
            let mut grads = ops::backward(&loss(&params, &g)?)?;
            let found = clip_norm(&params, &mut grads, f64::MAX)?;
            assert!((found - norm).abs() < 1e-5 * norm, "{case}: norm {found}, PyTorch {norm}");
            updater.step(&params, &mut grads, step, STEPS)?;
            for p in params.iter() {
                let d = deviation(p.var(), g.get(&format!("{case}.step{}.{}", step + 1, p.name()))?)?;
                assert!(d < 1e-6, "{case}: {} off by {d} after step {}", p.name(), step + 1);
            }
        }
    }
    Ok(())
}

#[test]
fn averages_of_the_weights() -> Result<()> {
    let g = Golden::load("optim.safetensors")?;
    let adam = AdamConfig { lr: 0.05, ..Default::default() };
    let ema = UpdateConfig { average: Some(AverageConfig::ema(0.9)), ..Default::default() };
    let swa = UpdateConfig { average: Some(AverageConfig::swa(3.0 / 8.0, 1)), ..Default::default() };
    let (params, mut updater) = follow(&g, "adam_ema", Adam::new(adam)?, ema)?;
    updater.swap_average(&params)?;
    let (averaged, mut other) = follow(&g, "sgd_swa", sgd(0.1), swa)?;
    other.swap_average(&averaged)?;
    for (params, prefix) in [(&params, "adam_ema.step8.ema"), (&averaged, "sgd_swa.swa")] {
        for p in params.iter() {
            let d = deviation(p.var(), g.get(&format!("{prefix}.{}", p.name()))?)?;
            assert!(d < CLOSE, "{prefix}: {} off by {d}", p.name());
        }
    }
    Ok(())
}

#[test]
fn schedules() -> Result<()> {
    let g = Golden::load("optim.safetensors")?;
    for (case, schedule) in [
        ("sgd_cosine", Schedule::cosine()),
        ("sgd_linear", Schedule::linear()),
        ("sgd_steps", Schedule::Step { at: vec![3.0 / 8.0, 6.0 / 8.0], gamma: 0.5 }),
        ("sgd_warmup_cosine", Schedule::Cosine { warmup: 3.0 / 8.0 }),
    ] {
        follow(&g, case, sgd(0.1), UpdateConfig { schedule, ..Default::default() })?;
    }
    Ok(())
}

#[test]
fn mixup() -> Result<()> {
    let g = Golden::load("optim.safetensors")?;
    let params = params(&g)?;
    let lambda = g.get("mixup.lambda")?.to_vec1::<f64>()?;
    let partner: Vec<u32> = g.get("mixup.partner")?.to_vec1()?;
    let (x, y) = (g.get("x")?, g.get("y")?.to_vec1::<u32>()?);
    let other = x.index_select(&Tensor::new(partner.as_slice(), &Device::Cpu)?, 0)?;
    let other_y: Vec<u32> = partner.iter().map(|i| y[*i as usize]).collect();
    let (x, targets) = Mixup::new(MixupConfig::default())?.mix(x, &other, &y, &other_y, &lambda, 2)?;
    assert!(deviation(&x, g.get("mixup.x")?)? < CLOSE && deviation(&targets, g.get("mixup.targets")?)? < CLOSE);
    let logits = logits(&params, &x)?;
    let loss = ops::soft_cross_entropy(&logits, &targets)?.mean_all()?;
    assert!((loss.to_scalar::<f64>()? - g.get("mixup.loss")?.to_vec1::<f64>()?[0]).abs() < CLOSE);
    let grads = ops::backward(&loss)?;
    for p in params.iter() {
        let d = deviation(grads.get(p.var()).unwrap(), g.get(&format!("mixup.g.{}", p.name()))?)?;
        assert!(d < CLOSE, "mixup: gradient of {} off by {d}", p.name());
    }
    Ok(())
}

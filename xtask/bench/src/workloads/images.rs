//! Classifiers of images: training steps, gradients to the input, attacks.

use super::{Exchange, Work};
use anyhow::Result;
use candle_core::{DType, Tensor};
use sconce_attacks::fourier::{Directions, Sweep, SweepConfig};
use sconce_attacks::{AutoAttack, EvaluationConfig, Norm, Pgd, PgdConfig, Suite, evaluate};
use sconce_tensor_core::nets::{ResNet, ResNetConfig, SmallCnn, SmallCnnConfig};
use sconce_tensor_core::nn::{Mode, Module, Network};
use sconce_tensor_core::optim::{Optimizer, Sgd};
use sconce_tensor_core::{Attack, ExampleRng, Goal, Rng, attack, ops};

/// The mean of a loss as a number.
pub fn number(loss: &Tensor) -> Result<f64> {
    Ok(f64::from(loss.to_scalar::<f32>()?))
}

/// Operations of the small CNN's forward pass for one image.
fn small_cnn_flops() -> f64 {
    2.0 * (32 * 28 * 28 * 25 + 64 * 14 * 14 * 32 * 25 + 3136 * 1024 + 1024 * 10) as f64
}

fn small_cnn(out: &mut Exchange) -> Result<SmallCnn> {
    let cfg = SmallCnnConfig { channels: (32, 64), hidden: 1024, ..SmallCnnConfig::default() };
    let net = SmallCnn::new(cfg, Rng::new(0), DType::F32, &out.device)?;
    out.put_params("", net.params())?;
    Ok(net)
}

/// Operations of ResNet-18's forward pass for one 32x32 image.
fn resnet_flops(width: usize) -> f64 {
    let w = width;
    let mut sum = 3 * 9 * w * 1024;
    for (stage, side) in [32usize, 16, 8, 4].into_iter().enumerate() {
        let (from, to) = (if stage == 0 { w } else { w << (stage - 1) }, w << stage);
        sum += (from * to * 9 + 3 * to * to * 9 + if stage > 0 { from * to } else { 0 }) * side * side;
    }
    2.0 * (sum + 8 * w * 10) as f64
}

pub fn resnet(out: &mut Exchange, width: usize) -> Result<ResNet> {
    let net = ResNet::new(ResNetConfig { width, ..ResNetConfig::default() }, Rng::new(0), DType::F32, &out.device)?;
    out.put_params("", net.params())?;
    Ok(net)
}

/// SGD with momentum on one batch.
pub fn train(net: impl Network + Send + 'static, x: Tensor, y: Tensor, flops: f64) -> Result<Work> {
    let mut sgd = Sgd::with_lr(0.01)?;
    let step = move || {
        let loss = ops::cross_entropy(&net.forward(&x, Mode::Train)?, &y)?.mean_all()?;
        sgd.step(net.params(), &ops::last_backward(&loss)?)?;
        number(&loss)
    };
    Ok(Work { flops: 3.0 * flops, step: Box::new(step) })
}

pub fn small_cnn_train(out: &mut Exchange) -> Result<Work> {
    let (net, x, y) = (small_cnn(out)?, out.images(&[128, 1, 28, 28])?, out.labels("y", 128, 10)?);
    // The first layer has no gradient to its input.
    let first = 128.0 * 2.0 * (32 * 28 * 28 * 25) as f64;
    let work = train(net, x, y, 128.0 * small_cnn_flops())?;
    Ok(Work { flops: work.flops - first, ..work })
}

pub fn small_cnn_input_grad(out: &mut Exchange) -> Result<Work> {
    let (net, x, y) = (small_cnn(out)?, out.images(&[128, 1, 28, 28])?, out.labels("y", 128, 10)?);
    Ok(input_gradient(net, x, y, 2.0 * 128.0 * small_cnn_flops()))
}

/// The gradient of the summed cross-entropy at the input, and its value.
pub fn input_gradient(net: impl Network + 'static, x: Tensor, y: Tensor, flops: f64) -> Work {
    let step = move || {
        let mut value = 0.0;
        attack::input_gradient(&x, |x| {
            let loss = ops::cross_entropy(&net.forward(x, Mode::Frozen)?, &y)?.sum_all()?;
            value = f64::from(loss.to_scalar::<f32>()?);
            Ok(loss)
        })?;
        Ok(value)
    };
    Work { flops, step: Box::new(step) }
}

pub fn resnet_train(out: &mut Exchange, width: usize) -> Result<Work> {
    let (net, x, y) = (resnet(out, width)?, out.images(&[32, 3, 32, 32])?, out.labels("y", 32, 10)?);
    train(net, x, y, 32.0 * resnet_flops(width))
}

fn pgd(net: impl Network + Send + 'static, x: Tensor, y: Tensor, flops: f64) -> Result<Work> {
    let pgd = Pgd::new(PgdConfig { random_start: false, ..PgdConfig::default() })?;
    let rng = ExampleRng::new(Rng::new(0), (0..x.dim(0)? as u64).collect());
    let step = move || {
        let moved = pgd.perturb(&net, &x, &Goal::Untargeted(y.clone()), &rng)?.x;
        number(&ops::cross_entropy(&net.forward(&moved, Mode::Frozen)?, &y)?.mean_all()?)
    };
    Ok(Work { flops: 21.0 * flops, step: Box::new(step) })
}

pub fn pgd_small_cnn(out: &mut Exchange) -> Result<Work> {
    let (net, x, y) = (small_cnn(out)?, out.images(&[128, 1, 28, 28])?, out.labels("y", 128, 10)?);
    pgd(net, x, y, 128.0 * small_cnn_flops())
}

pub fn pgd_resnet(out: &mut Exchange) -> Result<Work> {
    let (net, x, y) = (resnet(out, 64)?, out.images(&[128, 3, 32, 32])?, out.labels("y", 128, 10)?);
    pgd(net, x, y, 128.0 * resnet_flops(64))
}

/// 16 of the sweep's 784 directions, on all 1,000 images: the whole costs 49 times this.
pub fn sweep(out: &mut Exchange) -> Result<Work> {
    let (net, x, y) = (small_cnn(out)?, out.images(&[1000, 1, 28, 28])?, out.labels("y", 1000, 10)?);
    let sweep = Sweep::new(SweepConfig { directions: Directions::Every(49), ..SweepConfig::default() })?;
    let step = move || Ok(sweep.run(&net, &x, &y, |_, _| Ok(()))?.average());
    Ok(Work { flops: 16_000.0 * small_cnn_flops(), step: Box::new(step) })
}

/// AutoAttack standard, Linf 0.1, on 100 images and the adversarially trained network of the oracle; its "loss" is the
/// robust accuracy. The peer is torchattacks with the published 100 steps (its own default is 10 for APGD and FAB).
pub fn auto_attack(out: &mut Exchange) -> Result<Work> {
    let oracle = sconce_tests::oracle::Oracle::load()?;
    let (x, y) = (oracle.x.narrow(0, 0, 100)?.contiguous()?, oracle.y.narrow(0, 0, 100)?.contiguous()?);
    out.put_params("", oracle.net.params())?;
    out.put("x", &x)?;
    out.put("y", &y)?;
    let cfg = EvaluationConfig { eps: vec![0.1], diagnosis: None, ..EvaluationConfig::default() };
    let forward = 2.0 * (8 * 28 * 28 * 25 + 16 * 14 * 14 * 8 * 25 + 784 * 64 + 640) as f64;
    let net = oracle.net;
    let step = move || -> Result<(f64, f64)> {
        let suite = Suite::auto_attack(AutoAttack::Standard, Norm::Linf, 10);
        let done = evaluate(&net, &x, &y, &suite, &cfg, None, &mut |_| Ok(()))?.ledger;
        let passes: u32 = done.entries.iter().flat_map(|e| e.forwards.iter().chain(&e.gradients)).sum();
        Ok((done.accuracy(0.1).rate(), forward * f64::from(passes)))
    };
    // How many passes there are is known after a first run.
    let flops = if out.kept() { 0.0 } else { step()?.1 };
    Ok(Work { flops, step: Box::new(move || step().map(|s| s.0)) })
}

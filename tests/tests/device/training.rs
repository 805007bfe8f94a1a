//! Training steps, checkpoints, and a generator with its discriminator.

use crate::cases::{below, normal};
use crate::networks::small_cnn;
use crate::{Table, apart, device, there, timed};
use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use sconce_gan::loss::{DiffAugment, DiffAugmentConfig};
use sconce_gan::nets::{DcganDiscriminator, DcganGenerator, DiscriminatorConfig, GeneratorConfig};
use sconce_gan::trainer::{Domain, Domains, Gan, GanConfig};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::nn::{Builder, Init};
use sconce_tensor_core::ops::{self, LstmWeights, Output};
use sconce_tensor_core::optim::{
    Adam, AdamConfig, Average, Lars, LarsConfig, Optimizer, RmsProp, RmsPropConfig, Sgd, SgdConfig,
};
use sconce_tensor_core::train::{
    Checkpoint, CrossEntropy, Observer, Progress, StepContext, Task, TrainConfig, Trainer,
};
use sconce_tensor_core::{Module, Params, Rng, Role};

fn data(n: usize, device: &Device) -> Result<Labelled> {
    let labels = below(n, 10).to_vec1::<u32>()?;
    // Images that depend on their labels, so that there is something to learn.
    let shift = Tensor::from_iter(labels.iter().map(|y| *y as f32 * 0.3), &Device::Cpu)?.reshape((n, 1, 1, 1))?;
    let x = (normal(&[n, 1, 28, 28]) * 0.3)?.broadcast_add(&shift)?;
    Ok(Labelled::new(x.to_device(device)?, &labels, 10)?)
}

/// Trains one network; the losses of its steps.
fn fit(
    net: &impl sconce_tensor_core::Network,
    data: &Labelled,
    optimizer: &mut dyn Optimizer,
    (epochs, checkpoint): (usize, Option<Checkpoint>),
) -> Result<Vec<f64>> {
    let mut losses = Vec::new();
    let mut watch = |p: &Progress| losses.push(p.loss);
    let cfg = TrainConfig { epochs, batch_size: 16, ..TrainConfig::default() };
    let mut trainer = Trainer::new(cfg, &CrossEntropy)?.observed_by(&mut watch);
    if let Some(c) = checkpoint {
        trainer = trainer.resuming(c);
    }
    trainer.fit(net, data, optimizer, &Rng::new(0))?;
    Ok(losses)
}

/// The largest relative difference.
fn losses_apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0f64, |m, (a, b)| m.max((a - b).abs() / b.abs().max(1e-3)))
}

fn params_apart(a: &Params, b: &Params) -> Result<f64> {
    a.iter().zip(b.iter()).try_fold(0f64, |m, (a, b)| Ok(m.max(apart(a.var(), b.var())?)))
}

#[test]
fn ten_steps_of_every_optimizer() -> Result<()> {
    let d = device();
    let mut table = Table::new("ten steps", &["losses", "weights", "ms a step"]);
    type Make = fn() -> sconce_tensor_core::Result<Box<dyn Optimizer>>;
    let all: [(&str, Make); 6] = [
        ("SGD", || Ok(Box::new(Sgd::with_lr(0.05)?))),
        ("SGD, Nesterov, weight decay", || {
            Ok(Box::new(Sgd::new(SgdConfig { nesterov: true, weight_decay: 5e-4, ..SgdConfig::default() })?))
        }),
        ("SGD without momentum", || Ok(Box::new(Sgd::new(SgdConfig { momentum: 0.0, ..SgdConfig::default() })?))),
        // Not too small an eps: where a gradient is near 0, Adam would divide one rounding error by another.
        ("Adam", || Ok(Box::new(Adam::new(AdamConfig { lr: 1e-3, eps: 1e-4, ..AdamConfig::default() })?))),
        ("RMSprop", || Ok(Box::new(RmsProp::new(RmsPropConfig { lr: 1e-3, eps: 1e-4, ..RmsPropConfig::default() })?))),
        ("LARS", || Ok(Box::new(Lars::new(LarsConfig::default())?))),
    ];
    for (name, make) in all {
        let row = || -> Result<Vec<(f64, Option<f64>)>> {
            let (cpu, other) = small_cnn(&d, true)?;
            let want = fit(&cpu, &data(80, &Device::Cpu)?, &mut *make()?, (2, None))?;
            let (got, ms) = there(|| timed(|| fit(&other, &data(80, &d)?, &mut *make()?, (2, None))))?;
            let weights = params_apart(other.params(), cpu.params())?;
            Ok(vec![(losses_apart(&got, &want), Some(1e-3)), (weights, Some(2e-3)), (ms / 10.0, None)])
        };
        table.row(name, row());
    }
    table.row("average of weights", {
        (|| {
            let (cpu, other) = small_cnn(&d, false)?;
            let mean = |net: &dyn Module| -> Result<()> {
                let mut average = Average::mean();
                average.update(net.params())?;
                for p in net.params().trainable() {
                    p.var().set(&(p.var().as_tensor() * 3.0)?)?;
                }
                average.update(net.params())?;
                Ok(average.swap(net.params())?)
            };
            mean(&cpu)?;
            let ((), ms) = there(|| timed(|| mean(&other)))?;
            Ok(vec![(0.0, None), (params_apart(other.params(), cpu.params())?, Some(1e-6)), (ms, None)])
        })()
    });
    table.finish();
    Ok(())
}

/// Ends training by an error.
struct StopAfter(usize);

impl Observer for StopAfter {
    fn step(&mut self, p: &Progress) -> sconce_tensor_core::Result<()> {
        if p.step < self.0 { Ok(()) } else { Err(sconce_tensor_core::Error::value("test", "stopped".to_owned())) }
    }
}

#[test]
fn a_run_goes_on_from_its_file() -> Result<()> {
    let d = device();
    let folder = tempfile::tempdir()?;
    let mut table = Table::new("a checkpoint of the device", &["weights"]);
    let adam = || Adam::with_lr(1e-3);
    let (whole_cpu, whole) = small_cnn(&d, true)?;
    let checkpoint = |name: &str| -> Result<Option<Checkpoint>> {
        Ok(Some(Checkpoint::new(folder.path().join(name), "run").every_steps(3)?))
    };
    there(|| fit(&whole, &data(80, &d)?, &mut adam()?, (2, None)))?;
    fit(&whole_cpu, &data(80, &Device::Cpu)?, &mut adam()?, (2, None))?;
    // Stopped after the seventh step: the file holds the sixth.
    let (_, stopped) = small_cnn(&d, true)?;
    let mut stop = StopAfter(7);
    let cfg = TrainConfig { epochs: 2, batch_size: 16, ..TrainConfig::default() };
    let trainer = Trainer::new(cfg, &CrossEntropy)?.observed_by(&mut stop).resuming(checkpoint("a")?);
    let part = data(80, &d)?;
    assert!(there(|| trainer.fit(&stopped, &part, &mut adam()?, &Rng::new(0))).is_err());
    std::fs::copy(folder.path().join("a"), folder.path().join("b"))?;
    let (resumed_cpu, resumed) = small_cnn(&d, true)?;
    table.row("goes on there", {
        (|| {
            let losses = there(|| fit(&resumed, &data(80, &d)?, &mut adam()?, (2, checkpoint("a")?)))?;
            assert_eq!(losses.len(), 4);
            Ok(vec![(params_apart(resumed.params(), whole.params())?, Some(1e-5))])
        })()
    });
    table.row("goes on on the CPU", {
        (|| {
            fit(&resumed_cpu, &data(80, &Device::Cpu)?, &mut adam()?, (2, checkpoint("b")?))?;
            Ok(vec![(params_apart(resumed_cpu.params(), whole_cpu.params())?, Some(1e-2))])
        })()
    });
    table.finish();
    Ok(())
}

/// Steps of a generator and its discriminator; the discriminator's losses.
fn adversaries(device: &Device) -> Result<(Vec<f64>, Vec<Tensor>)> {
    let (side, width, classes) = (14, 4, 5);
    let g = GeneratorConfig { side, classes: 2 * classes, width, ..GeneratorConfig::default() };
    let d = DiscriminatorConfig { side, classes: 2 * classes, width, ..DiscriminatorConfig::default() };
    let g = DcganGenerator::new(g, Rng::new(0), DType::F32, device)?;
    let d = DcganDiscriminator::new(d, Rng::new(1), DType::F32, device)?;
    let images = |n: usize| -> Result<Labelled> {
        let x = normal(&[n, 1, side, side]).tanh()?.to_device(device)?;
        Ok(Labelled::new(x, &below(n, classes as u64).to_vec1::<u32>()?, classes)?)
    };
    let (target, outer) = (images(40)?, images(90)?);
    let domains = Domains::new(vec![
        Domain { data: &target, first_class: 0, batch: 8, weight: 0.5 },
        Domain { data: &outer, first_class: classes, batch: 8, weight: 0.5 },
    ])?;
    let augment = DiffAugment::new(DiffAugmentConfig { padding: -1.0, ..DiffAugmentConfig::default() })?;
    let cfg = GanConfig { average: Some(0.9), augment: Some(augment), ..GanConfig::default() };
    let adam = |lr| Adam::new(AdamConfig { lr, beta1: 0.0, beta2: 0.9, eps: 1e-4, ..AdamConfig::default() });
    let rng = Rng::new(2);
    let mut gan = Gan::new(&g, &d, domains, [adam(2e-4)?, adam(4e-4)?], cfg, &rng)?;
    let mut losses = Vec::new();
    for step in 0..4 {
        losses.push(gan.step(&StepContext { epoch: 0, index: step, step, total: 4, examples: &[], rng })?);
    }
    let weights = g.params().iter().chain(d.params().iter()).map(|p| p.var().as_detached_tensor()).collect();
    Ok((losses, weights))
}

/// Steps of a recurrent language model; its losses.
fn language(device: &Device) -> Result<(Vec<f64>, Vec<Tensor>)> {
    let (words, wide, steps, batch) = (50, 12, 6, 4);
    let mut params = Params::new();
    let mut b = Builder::new(&mut params, Rng::new(0), DType::F32, device);
    let mut param = |name: &str, shape: &[usize]| b.param(name, Role::Weight, shape, Init::fan_in(wide));
    let (table, input, recurrent) =
        (param("table", &[words, wide])?, param("input", &[4 * wide, wide])?, param("recurrent", &[4 * wide, wide])?);
    let bias = param("bias", &[4 * wide])?;
    let (ids, after) = (below(steps * batch, words as u64), below(steps * batch + 1, words as u64).narrow(0, 1, 24)?);
    let (ids, after) = (ids.reshape((steps, batch))?.to_device(device)?, after.contiguous()?.to_device(device)?);
    let zero = Tensor::zeros((batch, wide), DType::F32, device)?;
    let mask = ops::dropout_mask(&[batch, wide], 0.3, &Rng::new(4), DType::F32, device)?;
    let mut sgd = Sgd::with_lr(0.5)?;
    let mut losses = Vec::new();
    for _ in 0..5 {
        let weights = LstmWeights { input: &input, recurrent: &recurrent, bias: Some(&bias) };
        let y = ops::lstm(&ops::embedding(&table, &ids)?, &zero, &zero, weights, Some(&mask))?.outputs;
        let loss = ops::linear_nll(&y.reshape(((), wide))?, &table, None, &after, Output::Sigsoftmax)?.mean_all()?;
        losses.push(f64::from(loss.to_scalar::<f32>()?));
        sgd.step(&params, &ops::last_backward(&loss)?)?;
    }
    Ok((losses, params.iter().map(|p| p.var().as_detached_tensor()).collect()))
}

#[test]
fn adversaries_and_language() -> Result<()> {
    let d = device();
    let mut table = Table::new("other training", &["losses", "weights", "ms"]);
    type Run = fn(&Device) -> Result<(Vec<f64>, Vec<Tensor>)>;
    for (name, run) in [("generator and discriminator", adversaries as Run), ("LSTM language model", language as Run)] {
        let row = || -> Result<Vec<(f64, Option<f64>)>> {
            let (want, weights) = run(&Device::Cpu)?;
            let ((got, own), ms) = there(|| timed(|| run(&d)))?;
            let mut worst = 0f64;
            for (a, b) in own.iter().zip(&weights) {
                worst = worst.max(apart(a, b)?);
            }
            Ok(vec![(losses_apart(&got, &want), Some(1e-3)), (worst, Some(2e-3)), (ms, None)])
        };
        table.row(name, row());
    }
    table.finish();
    Ok(())
}

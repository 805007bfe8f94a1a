#![allow(clippy::print_stdout, missing_docs)]
use sconce_attacks::fourier::*;
use sconce_regularizers::*;
use sconce_tensor_core::{nets::*, optim::*, train::*, *};
use std::time::Instant;
#[global_allocator]
static A: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() -> anyhow::Result<()> {
    let a: Vec<String> = std::env::args().collect();
    let kernel: usize = a[1].parse()?;
    let bn = a[2] == "bn";
    let epochs = a[3].parse()?;
    let lr: f64 = a[4].parse()?;
    let train = sconce_datasets::embedded::fashion_mnist(sconce_datasets::Split::Train)?.to_labelled(&Device::Cpu)?;
    let test = sconce_datasets::embedded::fashion_mnist(sconce_datasets::Split::Test)?
        .to_labelled(&Device::Cpu)?
        .slice(0, 500)?;
    for spec in &a[5..] {
        let (name, lambda) = spec.split_once('=').unwrap();
        let lambda: f64 = lambda.parse()?;
        let reg: Box<dyn Regularizer> = match name {
            "absum" => Box::new(Absum::new(AbsumConfig { lambda, ..Default::default() })?),
            "l1" => Box::new(L1::new(L1Config { lambda, ..Default::default() })?),
            "zero" => Box::new(ZeroMean),
            _ => Box::new(WeightDecay::new(WeightDecayConfig { lambda, ..Default::default() })?),
        };
        for seed in 0..std::env::var("S").map_or(1, |b| b.parse().unwrap()) {
            let net = SmallCnn::new(
                SmallCnnConfig { kernel, batch_norm: bn, ..Default::default() },
                Rng::new(seed),
                candle_core::DType::F32,
                &Device::Cpu,
            )?;
            let t = Instant::now();
            let mut sgd = Sgd::new(SgdConfig { lr, ..Default::default() })?;
            let losses = Trainer::new(
                TrainConfig {
                    epochs,
                    batch_size: std::env::var("B").map_or(128, |b| b.parse().unwrap()),
                    schedule: Schedule::Constant,
                },
                &CrossEntropy,
            )?
            .regularized_by(&*reg)
            .fit(&net, &train.slice(0, 7000)?, &mut sgd, &Rng::new(seed), &mut ())?;
            let tt = t.elapsed();
            let t = Instant::now();
            let p = classifier::predict(&net, test.x(), 100)?;
            let clean = p.iter().zip(test.labels()?).filter(|(a, b)| **a == *b).count() as f64 / test.len() as f64;
            let map =
                Sweep::new(SweepConfig { eps: 64. / 255., directions: Directions::Every(3), ..Default::default() })?
                    .run(&net, test.x(), test.y(), |_, _| Ok(()))?;
            println!(
                "{spec} seed {seed} loss {:.3} clean {clean:.3} avg {:.3} worst {:.3} {:?} low {:.3} mid {:.3} high {:.3} | train {tt:.1?} sweep {:.1?}",
                losses.last().unwrap(),
                map.average(),
                map.worst().0,
                map.worst().1,
                map.band(0, 3).unwrap(),
                map.band(4, 9).unwrap(),
                map.band(10, 14).unwrap(),
                t.elapsed()
            );
        }
    }
    Ok(())
}

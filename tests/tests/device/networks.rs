//! Networks, their gradients and curvature, and random draws.

use crate::cases::{below, normal};
use crate::{Table, apart, device, there, timed};
use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::nets::{ResNet, ResNetConfig, SmallCnn, SmallCnnConfig};
use sconce_tensor_core::{ExampleRng, Mode, Module, Network, Rng, attack, ops};
use std::process::Command;

const KEEP: &str = "CANDLE_GRAD_DO_NOT_DETACH";

/// A network on the CPU and the same on the device.
pub(crate) type Pair<N> = (N, N);

pub(crate) fn small_cnn(device: &Device, batch_norm: bool) -> Result<Pair<SmallCnn>> {
    let cfg = SmallCnnConfig { channels: (4, 8), kernel: 3, hidden: 16, batch_norm, ..SmallCnnConfig::default() };
    let make = |d: &Device| SmallCnn::new(cfg.clone(), Rng::new(0), DType::F32, d);
    Ok((make(&Device::Cpu)?, make(device)?))
}

fn resnet(device: &Device) -> Result<Pair<ResNet>> {
    let make =
        |d: &Device| ResNet::new(ResNetConfig { width: 8, ..ResNetConfig::default() }, Rng::new(0), DType::F32, d);
    Ok((make(&Device::Cpu)?, make(device)?))
}

/// Logits, the gradient to the input, and those to the weights in training.
fn compare(table: &mut Table, name: &str, (cpu, other): Pair<impl Network>, x: &Tensor, device: &Device) {
    let y = below(x.dims()[0], 10);
    let input_gradient = |net: &dyn Network, d: &Device| -> Result<Tensor> {
        let y = y.to_device(d)?;
        Ok(attack::input_gradient(&x.to_device(d)?, |x| {
            Ok(ops::cross_entropy(&net.forward(x, Mode::Frozen)?, &y)?.sum_all()?)
        })?)
    };
    let weights = |net: &dyn Network, d: &Device| -> Result<Vec<Tensor>> {
        let loss = ops::cross_entropy(&net.forward(&x.to_device(d)?, Mode::Train)?, &y.to_device(d)?)?.mean_all()?;
        let grads = ops::last_backward(&loss)?;
        net.params().trainable().map(|p| grads.get(p.var()).cloned().context(p.name().to_owned())).collect()
    };
    let row = || -> Result<Vec<(f64, Option<f64>)>> {
        let logits = apart(&there(|| other.logits(&x.to_device(device)?))?, &cpu.logits(x)?)?;
        let to_input = apart(&there(|| input_gradient(&other, device))?, &input_gradient(&cpu, &Device::Cpu)?)?;
        let want = weights(&cpu, &Device::Cpu)?;
        let (got, ms) = there(|| timed(|| weights(&other, device)))?;
        let mut to_weights = 0f64;
        for (g, w) in got.iter().zip(&want) {
            to_weights = to_weights.max(apart(g, w)?);
        }
        // The forward pass in training moved the running statistics.
        let mut all = 0f64;
        for (p, q) in other.params().iter().zip(cpu.params().iter()) {
            all = all.max(apart(p.var(), q.var())?);
        }
        Ok(vec![(logits, Some(1e-4)), (to_input, Some(1e-3)), (to_weights, Some(1e-3)), (all, Some(1e-4)), (ms, None)])
    };
    table.row(name, row());
}

#[test]
fn networks_and_their_gradients() -> Result<()> {
    let d = device();
    let mut table = Table::new("networks", &["logits", "to input", "to weights", "statistics", "ms"]);
    let x = normal(&[16, 1, 28, 28]);
    compare(&mut table, "small CNN", small_cnn(&d, false)?, &x, &d);
    compare(&mut table, "small CNN with batch norm", small_cnn(&d, true)?, &x, &d);
    compare(&mut table, "ResNet-18 of width 8", resnet(&d)?, &normal(&[16, 3, 32, 32]), &d);
    table.finish();
    Ok(())
}

/// candle reads the variable once per thread, so the test runs itself in a process that has it.
#[test]
fn products_with_the_hessian() -> Result<()> {
    if std::env::var_os(KEEP).is_none() {
        let mut again = Command::new(std::env::current_exe()?);
        let name = "networks::products_with_the_hessian";
        let done = again.args(["--exact", name, "--nocapture"]).env(KEEP, "1").output()?;
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        eprint!("{err}");
        assert!(done.status.success() && out.contains("1 passed"), "{out}");
        return Ok(());
    }
    let d = device();
    let (cpu, other) = small_cnn(&d, false)?;
    let (x, y) = (normal(&[4, 1, 28, 28]), below(4, 10));
    let product = |net: &SmallCnn, d: &Device| -> Result<Vec<Tensor>> {
        let vars: Vec<&Var> = net.params().trainable().map(|p| p.var()).collect();
        let loss = ops::cross_entropy(&net.forward(&x.to_device(d)?, Mode::Train)?, &y.to_device(d)?)?.mean_all()?;
        let grads = ops::backward(&loss)?;
        let mut along = Vec::new();
        for v in &vars {
            let g = grads.get(v).context("no gradient")?;
            along.push((g * normal(v.dims()).to_device(d)?)?.sum_all()?);
        }
        let second = ops::backward(&Tensor::stack(&along, 0)?.sum_all()?)?;
        vars.iter().map(|v| second.get(v).cloned().context("no second derivative")).collect()
    };
    let mut table = Table::new("products with the Hessian", &["apart", "ms"]);
    let row = || -> Result<Vec<(f64, Option<f64>)>> {
        let want = product(&cpu, &Device::Cpu)?;
        let (got, ms) = there(|| timed(|| product(&other, &d)))?;
        let mut worst = 0f64;
        for (g, w) in got.iter().zip(&want) {
            worst = worst.max(apart(g, w)?);
        }
        Ok(vec![(worst, Some(1e-3)), (ms, None)])
    };
    table.row("small CNN", row());
    table.finish();
    Ok(())
}

#[test]
fn random_numbers_are_the_same_bits() -> Result<()> {
    let d = device();
    let rng = Rng::new(11);
    let rows = ExampleRng::new(rng, vec![5, 3, 8]);
    for dtype in [DType::F32, DType::F64] {
        let draw = |d: &Device| -> Result<Vec<Tensor>> {
            Ok(vec![
                rng.uniform((3, 7), -1.0..1.0, dtype, d)?,
                rng.normal((3, 7), 1.0, 2.0, dtype, d)?,
                rows.uniform(&[4], 0.0..1.0, dtype, d)?,
                rows.normal(&[4], dtype, d)?,
                ops::dropout_mask(&[9, 5], 0.3, &rng, dtype, d)?,
            ])
        };
        for (ours, want) in draw(&d)?.iter().zip(draw(&Device::Cpu)?) {
            assert_eq!(crate::host(ours)?, crate::host(&want)?);
        }
    }
    Ok(())
}

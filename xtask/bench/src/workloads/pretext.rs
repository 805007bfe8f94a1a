//! A training step of MP-SSL on mixed images that are there already: a trunk with one head or with five, by representation gradients and equal weights.

use super::{Exchange, Work};
use anyhow::Context;
use candle_core::{DType, Var};
use sconce_ssl::trunk::{ConvTrunk, ConvTrunkConfig, Trunk};
use sconce_ssl::weighting::{Balancer, Equal, RepresentationGradients, TaskGradients};
use sconce_tensor_core::nn::{Builder, Linear};
use sconce_tensor_core::optim::{Optimizer, Sgd};
use sconce_tensor_core::{Mode, Module, Params, Rng, ops};

const BATCH: usize = 128;
const WIDTHS: [usize; 3] = [16, 32, 64];
/// Names of the tasks, of four classes each.
const TASKS: [&str; 5] = ["rotation", "color", "brightness", "contrast", "sharpness"];

pub fn step(out: &mut Exchange, heads: usize) -> anyhow::Result<Work> {
    let trunk = ConvTrunk::new(ConvTrunkConfig::plain(&WIDTHS), Rng::new(0), DType::F32, &out.device)?;
    let mut params = Params::new();
    for p in trunk.params().iter() {
        params.adopt(format!("trunk.{}", p.name()), p.role(), p.var().clone())?;
    }
    let mut linear = Vec::new();
    for name in &TASKS[..heads] {
        let mut build = Builder::new(&mut params, Rng::new(1), DType::F32, &out.device);
        linear.push(Linear::new(&mut build.scope(&format!("head.{name}")), WIDTHS[2], 4)?);
    }
    out.put_params("", &params)?;
    let x = out.images(&[BATCH, 3, 28, 28])?;
    let labels =
        TASKS[..heads].iter().map(|n| out.labels(&format!("y.{n}"), BATCH, 4)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut balancer =
        Balancer::<RepresentationGradients>::new(Box::new(Equal), TASKS[..heads].iter().copied(), Rng::new(2))?;
    let mut sgd = Sgd::with_lr(0.01)?;
    let step = move || {
        let z = trunk.blocks(&x, Mode::Train)?.pop().context("a trunk has blocks")?;
        let cut = Var::from_tensor(&z.detach())?;
        let (mut losses, mut passes) = (Vec::new(), Vec::new());
        for (head, y) in linear.iter().zip(&labels) {
            let logits = head.forward(&ops::global_avg_pool2d(&cut)?, Mode::Train)?;
            let loss = ops::cross_entropy(&logits, y)?.mean_all()?;
            losses.push(f64::from(loss.to_scalar::<f32>()?));
            passes.push(ops::last_backward(&loss)?);
        }
        let gradients = RepresentationGradients::of(&cut, &passes)?;
        let record = balancer.step(&losses, Some(&gradients))?;
        let through = (z * gradients.combine(&record.weights)?)?.sum_all()?;
        let mut all = ops::last_backward(&through)?;
        for p in params.trainable().filter(|p| p.name().starts_with("head.")) {
            if let Some(own) = passes.iter_mut().find_map(|pass| pass.remove(p.var())) {
                all.insert(p.var(), own);
            }
        }
        sgd.step(&params, &all)?;
        Ok(losses.iter().sum::<f64>() / losses.len() as f64)
    };
    let layer = |from: usize, to: usize, side: usize| (from * to * 9 * side * side) as f64;
    // The first layer has no gradient to its input.
    let forward = layer(3, 16, 28) + layer(16, 32, 14) + layer(32, 64, 7);
    let flops = BATCH as f64 * 2.0 * (3.0 * forward - layer(3, 16, 28));
    Ok(Work { flops, step: Box::new(step) })
}

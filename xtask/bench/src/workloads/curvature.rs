//! The sharpest directions of a network.

use super::images::resnet;
use super::{Exchange, Work};
use anyhow::Result;
use candle_core::{DType, Tensor};
use sconce_tensor_core::nn::{Mode, Module, Network};
use sconce_tensor_core::optim::Sgd;
use sconce_tensor_core::train::{Engine, LossTask};
use sconce_tensor_core::{Rng, ops};
use sconce_theory::hessian::{Curvature, HvpMethod, LanczosConfig, top_eigenpairs};

/// Images.
const N: usize = 1000;
/// Parts that they are taken in.
const PARTS: usize = 4;

/// The 5 largest eigenvalues of the Hessian of ResNet-18 on 1,000 images, batch norm by its running statistics, after some steps of
/// training on them: images of a pattern for each class, with noise.
pub fn top5(out: &mut Exchange) -> Result<Work> {
    let (noise, y) = (out.normal("noise", &[N, 3, 32, 32], 1.0)?, out.labels("y", N, 10)?);
    let patterns = Rng::new(1).stream("patterns").normal((10, 3, 32, 32), 0.0, 0.5, DType::F32, &out.device)?;
    let x: Tensor = (noise + patterns.index_select(&y, 0)?)?;
    out.put("x", &x)?;
    // The peer gets the trained values.
    let net = resnet(&mut Exchange::new(&out.device, &out.dir, false), 16)?;
    let mut task = LossTask::steps(net.params(), Sgd::with_lr(0.02)?, 10, |at| {
        let logits = net.forward(&x.narrow(0, at.index * 100, 100)?, Mode::Train)?;
        Ok(ops::cross_entropy(&logits, &y.narrow(0, at.index * 100, 100)?)?.mean_all()?)
    })?;
    Engine::new(3)?.run(&mut task, &Rng::new(0))?;
    drop(task);
    out.put_params("", net.params())?;
    let step = move || {
        let loss = |i: usize| {
            let (x, y) = (x.narrow(0, i * N / PARTS, N / PARTS)?, y.narrow(0, i * N / PARTS, N / PARTS)?);
            Ok((ops::cross_entropy(&net.forward(&x, Mode::Eval)?, &y)?.mean_all()? / PARTS as f64)?)
        };
        let hessian = Curvature::new(net.params(), PARTS, &loss, HvpMethod::DoubleBackward)?;
        // The error of an eigenvalue is that of its residual squared: below the peer's 1e-3.
        let cfg = LanczosConfig { count: 5, tolerance: 1e-2, ..LanczosConfig::default() };
        let found = top_eigenpairs(&hessian, &cfg, &Rng::new(2))?;
        Ok(found[0].value)
    };
    Ok(Work { flops: 0.0, step: Box::new(step) })
}

//! Single operations, and a small autoencoder.

use super::images::number;
use super::{Exchange, Work};
use anyhow::Result;
use candle_core::{DType, Tensor, Var};
use sconce_tensor_core::nn::{Builder, Linear, Mode};
use sconce_tensor_core::ops::{self, Conv2dSpec, Output};
use sconce_tensor_core::optim::{Adam, AdamConfig, Optimizer};
use sconce_tensor_core::{Params, Rng};
use xtask::workloads::{Convolution, Map};

pub fn matmul(out: &mut Exchange) -> Result<Work> {
    let (a, b) = (out.normal("a", &[2048, 2048], 1.0)?, out.normal("b", &[2048, 2048], 1.0)?);
    let step = move || Ok(f64::from(ops::matmul(&a, &b)?.get(0)?.get(0)?.to_scalar::<f32>()?));
    Ok(Work { flops: 2.0 * 2048f64.powi(3), step: Box::new(step) })
}

/// The mean loss of 700 rows and its gradient to the logits.
pub fn nll(out: &mut Exchange, classes: usize, output: Output) -> Result<Work> {
    let z = Var::from_tensor(&out.normal("z", &[700, classes], 2.0)?)?;
    let y = out.labels("y", 700, classes as u64)?;
    let step = move || {
        let loss = ops::output_nll(&z, &y, output)?.mean_all()?;
        ops::backward(&loss)?;
        number(&loss)
    };
    Ok(Work { flops: 0.0, step: Box::new(step) })
}

/// One map of one convolution: 32 images (128 for 5x5 kernels).
pub fn conv(out: &mut Exchange, conv: Convolution) -> Result<Work> {
    let Convolution { channels: c, side: h, filters: o, kernel: k, map } = conv;
    let n = if k == 5 { 128 } else { 32 };
    let (x, w) = (out.normal("x", &[n, c, h, h], 1.0)?, out.normal("w", &[o, c, k, k], 0.1)?);
    let g = out.normal("g", &[n, o, h, h], 1.0)?;
    let spec = Conv2dSpec::same(k);
    let first = |t: Tensor| -> Result<f64> { Ok(f64::from(t.flatten_all()?.get(0)?.to_scalar::<f32>()?)) };
    let step: Box<dyn FnMut() -> Result<f64>> = match map {
        Map::Forward => Box::new(move || first(ops::conv2d(&x, &w, None, spec)?)),
        Map::Input => Box::new(move || first(ops::conv2d_input_gradient(&g, &w, (h, h), spec)?)),
        Map::Weight => Box::new(move || first(ops::conv2d_weight_gradient(&x, &g, (k, k), spec)?)),
    };
    Ok(Work { flops: 2.0 * (n * o * h * h * c * k * k) as f64, step })
}

const WIDTHS: [usize; 7] = [784, 300, 100, 20, 100, 300, 784];

/// 784-300-100-20-100-300-784 with rectified hidden layers and a sigmoid, mean squared error, Adam, batch 100.
pub fn autoencoder(out: &mut Exchange) -> Result<Work> {
    let mut params = Params::new();
    let mut build = Builder::new(&mut params, Rng::new(0), DType::F32, &out.device);
    let layers: Vec<Linear> = WIDTHS
        .windows(2)
        .enumerate()
        .map(|(i, w)| Linear::new(&mut build.scope(&format!("l{i}")), w[0], w[1]))
        .collect::<Result<_, _>>()?;
    out.put_params("", &params)?;
    let x = out.images(&[100, 784])?;
    let mut adam = Adam::new(AdamConfig::default())?;
    let products: usize = WIDTHS.windows(2).map(|w| w[0] * w[1]).sum();
    let flops = 100.0 * 2.0 * (3 * products - WIDTHS[0] * WIDTHS[1]) as f64;
    let step = move || {
        let mut h = x.clone();
        for (i, layer) in layers.iter().enumerate() {
            h = layer.forward(&h, Mode::Train)?;
            if i + 1 < layers.len() {
                h = ops::relu(&h)?;
            }
        }
        let loss = ops::mse_loss(&ops::sigmoid(&h)?, &x)?;
        adam.step(&params, &ops::last_backward(&loss)?)?;
        number(&loss)
    };
    Ok(Work { flops, step: Box::new(step) })
}

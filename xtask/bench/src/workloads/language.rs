//! A language model's step: embedding, two LSTM layers of 400, a vocabulary of 10,000.

use super::images::number;
use super::{Exchange, Work};
use anyhow::Result;
use candle_core::{DType, Tensor};
use sconce_tensor_core::ops::{self, LstmWeights};
use sconce_tensor_core::optim::{Optimizer, Sgd, SgdConfig};
use sconce_tensor_core::{Params, Rng, Role};

const VOCABULARY: usize = 10_000;
const HIDDEN: usize = 400;
const BATCH: usize = 20;
const STEPS: usize = 35;

pub fn step(out: &mut Exchange) -> Result<Work> {
    let mut params = Params::new();
    let mut add = |name: &str, shape: &[usize]| {
        let init = Rng::new(0).stream(name).uniform(shape, -0.05..0.05, DType::F32, &out.device)?;
        params.add(name, Role::Weight, &init)
    };
    let table = add("embedding", &[VOCABULARY, HIDDEN])?;
    let mut layers = Vec::new();
    for i in 0..2 {
        let input = add(&format!("lstm{i}.input"), &[4 * HIDDEN, HIDDEN])?;
        let recurrent = add(&format!("lstm{i}.recurrent"), &[4 * HIDDEN, HIDDEN])?;
        layers.push((input, recurrent, add(&format!("lstm{i}.bias"), &[4 * HIDDEN])?));
    }
    let (decoder, bias) = (add("decoder.weight", &[VOCABULARY, HIDDEN])?, add("decoder.bias", &[VOCABULARY])?);
    out.put_params("", &params)?;
    let ids = out.labels("ids", STEPS * BATCH, VOCABULARY as u64)?.reshape((STEPS, BATCH))?;
    let next = out.labels("next", STEPS * BATCH, VOCABULARY as u64)?;
    let zero = Tensor::zeros((BATCH, HIDDEN), DType::F32, &out.device)?;
    let cfg = SgdConfig { lr: 0.1, momentum: 0.0, ..SgdConfig::default() };
    let mut sgd = Sgd::new(cfg)?;
    let per_token = 2 * 8 * HIDDEN * HIDDEN + HIDDEN * VOCABULARY;
    let step = move || {
        let mut x = ops::embedding(&table, &ids)?;
        for (input, recurrent, bias) in &layers {
            let weights = LstmWeights { input, recurrent, bias: Some(bias) };
            x = ops::lstm(&x, &zero, &zero, weights, None)?.outputs;
        }
        let x = x.reshape((STEPS * BATCH, HIDDEN))?;
        let loss = ops::cross_entropy(&ops::linear(&x, &decoder, Some(&bias))?, &next)?.mean_all()?;
        sgd.step(&params, &ops::last_backward(&loss)?)?;
        number(&loss)
    };
    Ok(Work { flops: 3.0 * 2.0 * (STEPS * BATCH * per_token) as f64, step: Box::new(step) })
}

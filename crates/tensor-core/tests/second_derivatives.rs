//! Hessian-vector products through the ops against central differences of gradients.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::ops::{self, Conv2dSpec, ConvTranspose2dSpec, Gelu, Output, Pool2dSpec};
use sconce_tensor_core::{Result, Rng};
use std::process::Command;

const KEEP: &str = "CANDLE_GRAD_DO_NOT_DETACH";

fn normal(seed: u64, shape: &[usize]) -> Tensor {
    Rng::new(seed).normal(shape, 0.0, 1.0, DType::F64, &Device::Cpu).unwrap()
}

/// A small network with every op that has second derivatives; curved in all of its arguments.
fn loss(v: &[Tensor]) -> Result<Tensor> {
    let spec = Conv2dSpec { stride: (1, 2), padding: (1, 1), ..Conv2dSpec::default() };
    let h = ops::conv2d(&v[0], &v[1], Some(&v[2]), spec)?;
    let h = ops::channel_affine(&h, &v[3], &v[2])?.tanh()?;
    let h = ops::prelu(&h, &v[3].affine(0.2, 0.1)?)?;
    let h = [ops::silu, ops::mish, ops::softplus, ops::selu, ops::tanh, ops::erf, ops::hard_swish]
        .iter()
        .try_fold(h.clone(), |sum, f| -> Result<Tensor> { Ok((sum + (f(&h)? * 0.2)?)?) })?;
    let h = (ops::gelu(&h, Gelu::Erf)? + ops::gelu(&h, Gelu::Tanh)?)?;
    let h = (ops::elu(&h, 0.7)? + ops::clamp(&ops::hard_sigmoid(&h, 0.2, 0.5)?, 0.1, 0.9)?)?;
    let h = ops::relu(&ops::max_pool2d(&h, Pool2dSpec::default())?)?;
    let h = ops::avg_pool2d(&h, Pool2dSpec { kernel: (2, 1), stride: (1, 1), ..Pool2dSpec::default() })?;
    let up = ConvTranspose2dSpec { stride: (2, 1), padding: (0, 1), ..ConvTranspose2dSpec::default() };
    let h = ops::conv_transpose2d(&ops::sigmoid(&h)?, &v[5], Some(&v[6]), up)?;
    let h = ops::upsample_bilinear2d(&ops::leaky_relu(&h, 0.1)?, (2, 3), false)?;
    let h = ops::adaptive_avg_pool2d(&ops::upsample_nearest2d(&h, (4, 3))?, (2, 3))?;
    let h = ops::conv2d_relu(&h, &v[7], None, Conv2dSpec::default())?;
    let h = ops::add_relu(&h.sqr()?, &h)?;
    let e = ops::embedding(&v[8], &Tensor::new(&[1u32, 0], &Device::Cpu)?)?;
    let h = (h.flatten_from(1)? * &e)?;
    let z = ops::linear(&h, &v[4], Some(&v[9]))?;
    let y = Tensor::new(&[0u32, 3], &Device::Cpu)?;
    let smooth = ops::log_softmax(&z)?.sqr()?.mean_all()?;
    // Logits away from 0, so that the rectified output is smooth there.
    let positive = (z.sqr()? + 0.5)?;
    let outputs = [(Output::Sigsoftmax, &z), (Output::Sigmoid, &z), (Output::Relu { eps: 0.1 }, &positive)];
    let mut smooth = smooth;
    for (output, z) in outputs {
        let log = ops::log_output(z, output)?.sqr()?.mean_all()?;
        smooth = ((smooth + log)? + ops::output_nll(z, &y, output)?.mean_all()?)?;
    }
    // A head of attention over the columns of `e`'s rows, normalised.
    let tokens = ops::layer_norm(&e.reshape((2, 3, 4))?, Some(&v[9]), Some(&v[9].affine(0.3, 0.1)?), 1e-3)?;
    let weights = ops::softmax(&ops::batched_matmul(&tokens, &tokens.t()?)?)?;
    let mixed = ops::batched_matmul(&ops::batched_matmul(&weights, &tokens)?, &v[4])?;
    smooth = (smooth + mixed.sqr()?.mean_all()?)?;
    let far = ops::mse_loss(&z, &z.ones_like()?)?;
    Ok(((ops::cross_entropy(&z, &y)?.mean_all()? + smooth)? + far)?)
}

fn gradients(values: &[Tensor]) -> (Vec<Var>, Vec<Tensor>) {
    let vars: Vec<Var> = values.iter().map(|v| Var::from_tensor(&v.copy().unwrap()).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let grads = loss(&tensors).unwrap().backward().unwrap();
    let all = vars.iter().map(|v| grads.get(v).unwrap().clone()).collect();
    (vars, all)
}

fn dot(a: &[Tensor], b: &[Tensor]) -> Tensor {
    let terms: Vec<Tensor> = a.iter().zip(b).map(|(a, b)| (a * b).unwrap().sum_all().unwrap()).collect();
    Tensor::stack(&terms, 0).unwrap().sum_all().unwrap()
}

/// candle reads the variable once per thread, so the test runs itself in a process that has it.
#[test]
fn hessian_vector_products() {
    if std::env::var_os(KEEP).is_none() {
        let mut again = Command::new(std::env::current_exe().unwrap());
        let done = again.args(["--exact", "hessian_vector_products"]).env(KEEP, "1").output().unwrap();
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let at = [
        normal(1, &[2, 2, 6, 7]),
        normal(2, &[3, 2, 3, 3]),
        normal(3, &[3]),
        normal(4, &[3]),
        normal(5, &[4, 12]),
        normal(6, &[3, 2, 2, 3]),
        normal(7, &[2]),
        normal(8, &[2, 2, 1, 1]),
        normal(9, &[2, 12]),
        normal(10, &[4]),
    ];
    let at: Vec<Tensor> = at.iter().map(|t| (t * 0.5).unwrap()).collect();
    let direction: Vec<Tensor> = at.iter().enumerate().map(|(i, t)| normal(20 + i as u64, t.dims())).collect();
    let (vars, g) = gradients(&at);
    let second = dot(&g, &direction).backward().unwrap();
    let e = 1e-5;
    let moved = |s: f64| -> Vec<Tensor> {
        at.iter().zip(&direction).map(|(a, d)| (a + (d * (s * e)).unwrap()).unwrap()).collect()
    };
    let (plus, minus) = (gradients(&moved(1.0)).1, gradients(&moved(-1.0)).1);
    for (i, var) in vars.iter().enumerate() {
        let hv = second.get(var).unwrap();
        let want = ((&plus[i] - &minus[i]).unwrap() / (2.0 * e)).unwrap();
        let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().sqrt().unwrap().to_scalar::<f64>().unwrap();
        let off = norm(&(hv - &want).unwrap()) / norm(&want);
        // Central differences of gradients in f64: about 1e-10 of rounding and step error.
        assert!(norm(&want) > 1e-3 && off < 1e-7, "argument {i}: off by {off}");
    }
}

/// Batch norm with batch statistics has no second derivative here: an error, never a wrong number.
#[test]
fn batch_norm_in_training_refuses() {
    if std::env::var_os(KEEP).is_none() {
        let mut again = Command::new(std::env::current_exe().unwrap());
        let done = again.args(["--exact", "batch_norm_in_training_refuses"]).env(KEEP, "1").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
        return;
    }
    let x = Var::from_tensor(&normal(1, &[3, 2, 2, 2])).unwrap();
    let (a, b) = (normal(2, &[2]), normal(3, &[2]));
    let y = ops::batch_norm_train(&x, &a, &b, 1e-5).unwrap().sqr().unwrap().sum_all().unwrap();
    let g = y.backward().unwrap().get(&x).unwrap().sqr().unwrap().sum_all().unwrap();
    assert!(g.backward().is_err());
}

//! Values and gradients of the operations of convolutional networks and transformers against PyTorch, in f64 and f32, on
//! contiguous tensors and on views; where there is a form for other devices, it is held against the same values.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use anyhow::{Result, bail};
use candle_core::{DType, Tensor, Var};
use sconce_tensor_core::ops::{self, Gelu, Pool2dSpec, composed};
use sconce_tests::{Golden, deviation, golden};
use serde_json::Value;

/// f64 sums of tens of terms; f32 sums of the same, values up to about 20.
fn tolerance(dtype: DType) -> f64 {
    if dtype == DType::F64 { 1e-12 } else { 4e-6 }
}

fn pair(v: &Value) -> (usize, usize) {
    (v[0].as_u64().unwrap() as usize, v[1].as_u64().unwrap() as usize)
}

fn pool(case: &Value) -> Pool2dSpec {
    Pool2dSpec {
        kernel: pair(&case["kernel"]),
        stride: pair(&case["stride"]),
        padding: pair(&case["padding"]),
        padding_end: None,
        dilation: pair(&case["dilation"]),
        ceil_mode: case["ceil"].as_bool().unwrap(),
        count_include_pad: case["include"].as_bool().unwrap_or(true),
    }
}

fn taps(v: &Value) -> Vec<ops::Taps> {
    let tap = |t: &Value| (pair(t).0, pair(t).1, t[2].as_f64().unwrap());
    v.as_array().unwrap().iter().map(tap).collect()
}

/// The inputs of a case by their names.
fn named<'a>(case: &Value, t: &'a [Tensor], name: &str) -> Option<&'a Tensor> {
    case["inputs"].as_array().unwrap().iter().position(|n| n == name).map(|i| &t[i])
}

/// A function of one number by its name.
fn unary(name: &str, x: &Tensor, other: bool) -> Result<Tensor> {
    Ok(match (name, other) {
        ("gelu", false) => ops::gelu(x, Gelu::Erf)?,
        ("gelu", true) => composed::gelu(x, Gelu::Erf)?,
        ("gelu_tanh", false) => ops::gelu(x, Gelu::Tanh)?,
        ("gelu_tanh", true) => composed::gelu(x, Gelu::Tanh)?,
        ("silu", false) => ops::silu(x)?,
        ("silu", true) => composed::silu(x)?,
        ("hard_swish", false) => ops::hard_swish(x)?,
        ("hard_swish", true) => composed::hard_swish(x)?,
        ("hard_sigmoid", false) => ops::hard_sigmoid(x, 1.0 / 6.0, 0.5)?,
        ("hard_sigmoid", true) => composed::hard_sigmoid(x, 1.0 / 6.0, 0.5)?,
        ("mish", false) => ops::mish(x)?,
        ("mish", true) => composed::mish(x)?,
        ("softplus", false) => ops::softplus(x)?,
        ("softplus", true) => composed::softplus(x)?,
        ("elu", false) => ops::elu(x, 0.7)?,
        ("elu", true) => composed::elu(x, 0.7)?,
        ("selu", false) => ops::selu(x)?,
        ("selu", true) => composed::selu(x)?,
        ("clamp", false) => ops::clamp(x, -0.5, 1.5)?,
        ("clamp", true) => composed::clamp(x, -0.5, 1.5)?,
        ("tanh", _) => ops::tanh(x)?,
        ("erf", _) => ops::erf(x)?,
        _ => bail!("no function `{name}`"),
    })
}

/// One case by this workspace's op; `other` takes the form for other devices.
fn apply(case: &Value, t: &[Tensor], other: bool) -> Result<Option<Tensor>> {
    Ok(Some(match case["kind"].as_str().unwrap() {
        "max_pool" if other => composed::max_pool2d(&t[0], pool(case))?,
        "avg_pool" if other => composed::avg_pool2d(&t[0], pool(case))?,
        "unary" => unary(case["name_of"].as_str().unwrap(), &t[0], other)?,
        "prelu" if other => composed::prelu(&t[0], &t[1])?,
        "softmax" if other => composed::softmax(&(&t[0] * 3.0)?)?,
        "layer_norm" if other => composed::layer_norm(&t[0], named(case, t, "a"), named(case, t, "b"), 1e-5)?,
        "resize" if other => composed::resample2d(&t[0], &taps(&case["rows"]), &taps(&case["cols"]))?,
        _ if other => return Ok(None),
        "softmax" => ops::softmax(&(&t[0] * 3.0)?)?,
        "layer_norm" => ops::layer_norm(&t[0], named(case, t, "a"), named(case, t, "b"), 1e-5)?,
        "products" => {
            let turned = case["turned"].as_str().unwrap();
            let factor = |i: usize, name: &str| if turned.contains(name) { t[i].t() } else { Ok(t[i].clone()) };
            ops::batched_matmul(&factor(0, "a")?, &factor(1, "b")?)?
        }
        "resize" => ops::resize2d(&t[0], &taps(&case["rows"]), &taps(&case["cols"]))?,
        "prelu" => ops::prelu(&t[0], &t[1])?,
        "max_pool" => ops::max_pool2d(&t[0], pool(case))?,
        "avg_pool" => ops::avg_pool2d(&t[0], pool(case))?,
        kind => bail!("no op for `{kind}`"),
    }))
}

#[test]
fn values_and_gradients() -> Result<()> {
    let g = Golden::load("layers.safetensors")?;
    let index: Value = serde_json::from_str(&std::fs::read_to_string(golden("layers.json"))?)?;
    for case in index["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let inputs: Vec<&str> = case["inputs"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
        for (dtype, other, views) in [
            (DType::F64, false, false),
            (DType::F32, false, false),
            (DType::F64, false, true),
            (DType::F64, true, false),
        ] {
            let make = |n: &&str| -> Result<Var> {
                Ok(Var::from_tensor(&g.get(&format!("{name}.{n}"))?.to_dtype(dtype)?.copy()?)?)
            };
            let vars: Vec<Var> = inputs.iter().map(make).collect::<Result<_>>()?;
            // As views that are not contiguous: twice each element, every second taken.
            let view = |v: &Var| -> Result<Tensor> {
                if !views {
                    return Ok(v.as_tensor().clone());
                }
                let twice = Tensor::stack(&[v.as_tensor(), &v.zeros_like()?], v.rank())?;
                Ok(twice.narrow(v.rank(), 0, 1)?.squeeze(v.rank())?)
            };
            let tensors: Vec<Tensor> = vars.iter().map(view).collect::<Result<_>>()?;
            let Some(y) = apply(case, &tensors, other)? else { continue };
            let tol = tolerance(dtype);
            let d = deviation(&y, g.get(&format!("{name}.y"))?)?;
            assert!(d < tol, "{name} {dtype:?} other {other}: value off by {d}");
            let grads = ops::backward(&(y * g.get(&format!("{name}.u"))?.to_dtype(dtype)?)?.sum_all()?)?;
            for (var, n) in vars.iter().zip(&inputs) {
                let d = deviation(grads.get(var).unwrap(), g.get(&format!("{name}.g{n}"))?)?;
                assert!(d < tol, "{name} {dtype:?} other {other} views {views}: gradient to {n} off by {d}");
            }
        }
    }
    Ok(())
}

//! Values and gradients of the operations of convolutional networks and transformers against PyTorch, in f64 and f32, on
//! contiguous tensors and on views; where there is a form for other devices, it is held against the same values.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use anyhow::{Result, bail};
use candle_core::Tensor;
use sconce_tensor_core::ops::{self, Gelu, Pool2dSpec, composed};
use sconce_tests::grid;
use serde_json::Value;

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
    let checked = grid::agree("layers", |_, case, t, other| apply(case, t, other))?;
    assert!(checked > 150, "only {checked} cases");
    Ok(())
}

//! Values and gradients of the core's ops over a grid of shapes against PyTorch, in f64 and f32; where there is a
//! form for other devices, it is held against the same values.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use anyhow::{Result, bail};
use candle_core::Tensor;
use sconce_tensor_core::ops::{self, Conv2dSpec, ConvTranspose2dSpec, LstmWeights, composed};
use sconce_tests::{Golden, grid};
use serde_json::Value;

fn pair(v: &Value) -> (usize, usize) {
    (v[0].as_u64().unwrap() as usize, v[1].as_u64().unwrap() as usize)
}

/// One case by this workspace's op; `other` takes the form for other devices.
fn apply(g: &Golden, case: &Value, t: &[Tensor], other: bool) -> Result<Option<Tensor>> {
    let name = case["name"].as_str().unwrap();
    let groups = || case["groups"].as_u64().unwrap() as usize;
    let like = |n: &str| -> Result<Tensor> { Ok(g.get(&format!("{name}.{n}"))?.to_dtype(t[0].dtype())?) };
    Ok(Some(match case["kind"].as_str().unwrap() {
        "conv" => {
            let (stride, padding) = (pair(&case["stride"]), pair(&case["padding"]));
            let spec = Conv2dSpec { stride, padding, dilation: pair(&case["dilation"]), groups: groups() };
            if other {
                return Ok(None); // in golden_ops
            }
            ops::conv2d(&t[0], &t[1], t.get(2), spec)?
        }
        "up" => {
            let (stride, padding) = (pair(&case["stride"]), pair(&case["padding"]));
            let (output_padding, dilation) = (pair(&case["output_padding"]), pair(&case["dilation"]));
            let spec = ConvTranspose2dSpec { stride, padding, output_padding, dilation, groups: groups() };
            if !other {
                ops::conv_transpose2d(&t[0], &t[1], t.get(2), spec)?
            } else if dilation.0 == dilation.1 {
                composed::conv_transpose2d(&t[0], &t[1], t.get(2), spec)?
            } else {
                return Ok(None);
            }
        }
        "adaptive_avg" if other => composed::adaptive_pool2d(&t[0], pair(&case["out"]), false)?,
        "adaptive_max" if other => composed::adaptive_pool2d(&t[0], pair(&case["out"]), true)?,
        "adaptive_avg" => ops::adaptive_avg_pool2d(&t[0], pair(&case["out"]))?,
        "adaptive_max" => ops::adaptive_max_pool2d(&t[0], pair(&case["out"]))?,
        "log_softmax" if other => composed::log_softmax(&t[0])?,
        "embedding" if other => composed::embedding(&t[0], g.get(&format!("{name}.ids"))?)?,
        "lstm" if other => {
            let gates = ops::linear(&t[0], &t[1], Some(&t[3]))?;
            let (y, h, c) = composed::lstm(&gates, &t[2], &t[4], &t[5], None)?;
            Tensor::cat(&[y, h.unsqueeze(0)?, c.unsqueeze(0)?], 0)?
        }
        _ if other => return Ok(None),
        "nearest" => ops::upsample_nearest2d(&t[0], pair(&case["out"]))?,
        "bilinear" => ops::upsample_bilinear2d(&t[0], pair(&case["out"]), case["corners"].as_bool().unwrap())?,
        "leaky" => ops::leaky_relu(&t[0], 0.2)?,
        "sigmoid" => ops::sigmoid(&(&t[0] * 3.0)?)?,
        "log_softmax" => ops::log_softmax(&t[0])?,
        "ce" => ops::cross_entropy(&(&t[0] * 4.0)?, g.get(&format!("{name}.labels"))?)?,
        "linear" => ops::linear(&t[0], &t[1], Some(&t[2]))?,
        "mse" => ops::mse_loss(&t[0], &like("t")?)?,
        "embedding" => ops::embedding(&t[0], g.get(&format!("{name}.ids"))?)?,
        "bn" => ops::batch_norm(&t[0], &t[1], &t[2], 1e-5, Some(&t[3]), Some(ops::Rectifier::RELU))?.output,
        "lstm" => {
            let weights = LstmWeights { input: &t[1], recurrent: &t[2], bias: Some(&t[3]) };
            let out = ops::lstm(&t[0], &t[4], &t[5], weights, None)?;
            Tensor::cat(&[out.outputs, out.hidden.unsqueeze(0)?, out.cell.unsqueeze(0)?], 0)?
        }
        kind => bail!("no op for `{kind}`"),
    }))
}

#[test]
fn values_and_gradients() -> Result<()> {
    let checked = grid::agree("core", apply)?;
    assert!(checked > 200, "only {checked} cases");
    Ok(())
}

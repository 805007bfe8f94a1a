//! Values and gradients of every op against PyTorch, in f64 and f32, and the composed forms against both.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use anyhow::Result;
use candle_core::{DType, Tensor, Var};
use sconce_tensor_core::ops::{self, Conv2dSpec, Pool2dSpec, composed};
use sconce_tests::{Golden, deviation, golden};

/// f64 sums of tens of terms; f32 sums of the same: 6e-8 times a few, for values up to ten.
fn tolerance(dtype: DType) -> f64 {
    if dtype == DType::F64 { 1e-12 } else { 2e-6 }
}

fn index() -> Result<serde_json::Value> {
    Ok(serde_json::from_str(&std::fs::read_to_string(golden("ops.json"))?)?)
}

fn pair(v: &serde_json::Value) -> (usize, usize) {
    (v[0].as_u64().unwrap() as usize, v[1].as_u64().unwrap() as usize)
}

/// Checks `f` at the named inputs: its value against `y`, its gradients for cotangent `u` against the rest.
fn check(
    g: &Golden,
    case: &str,
    dtype: DType,
    inputs: &[(&str, &str)],
    f: impl Fn(&[Tensor]) -> sconce_tensor_core::Result<Tensor>,
) -> Result<()> {
    let at = |name: &str| g.get(&format!("{case}.{name}"));
    let vars: Vec<Var> =
        inputs.iter().map(|(n, _)| Ok(Var::from_tensor(&at(n)?.to_dtype(dtype)?.copy()?)?)).collect::<Result<_>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = f(&tensors)?;
    let tol = tolerance(dtype);
    let d = deviation(&y, at("y")?)?;
    assert!(d < tol, "{case} {dtype:?}: value off by {d}");
    let grads = (y * at("u")?.to_dtype(dtype)?)?.sum_all()?.backward()?;
    for (var, (_, grad)) in vars.iter().zip(inputs) {
        let d = deviation(grads.get(var).expect("a gradient"), at(grad)?)?;
        assert!(d < tol, "{case} {dtype:?}: {grad} off by {d}");
    }
    Ok(())
}

#[test]
fn convolutions() -> Result<()> {
    let g = Golden::load("ops.safetensors")?;
    for (i, s) in index()?["conv"].as_array().unwrap().iter().enumerate() {
        let case = format!("conv{i}");
        let spec = Conv2dSpec {
            stride: pair(&s["stride"]),
            padding: pair(&s["padding"]),
            dilation: pair(&s["dilation"]),
            groups: s["groups"].as_u64().unwrap() as usize,
        };
        let mut inputs = vec![("x", "gx"), ("w", "gw")];
        if g.has(&format!("{case}.b")) {
            inputs.push(("b", "gb"));
        }
        for dtype in [DType::F64, DType::F32] {
            check(&g, &case, dtype, &inputs, |t| ops::conv2d(&t[0], &t[1], t.get(2), spec))?;
        }
        // candle's own, where it is able to.
        let (h, w) = {
            let x = g.get(&format!("{case}.x"))?;
            (x.dim(2)?, x.dim(3)?)
        };
        let square = spec.stride.0 == spec.stride.1 && spec.dilation.0 == spec.dilation.1;
        if square && (spec.stride.0 == 1 || h == w) {
            let x = g.get(&format!("{case}.x"))?;
            let b = inputs.get(2).map(|_| g.get(&format!("{case}.b"))).transpose()?;
            let y = composed::conv2d(x, g.get(&format!("{case}.w"))?, b, spec)?;
            assert!(deviation(&y, g.get(&format!("{case}.y"))?)? < 1e-12, "{case} composed");
        }
    }
    Ok(())
}

#[test]
fn poolings_with_ties() -> Result<()> {
    let g = Golden::load("ops.safetensors")?;
    for (i, s) in index()?["pool"].as_array().unwrap().iter().enumerate() {
        let (kernel, stride, padding) = (pair(&s["kernel"]), pair(&s["stride"]), pair(&s["padding"]));
        let spec = Pool2dSpec { kernel, stride, padding, ..Pool2dSpec::default() };
        for dtype in [DType::F64, DType::F32] {
            check(&g, &format!("max{i}"), dtype, &[("x", "gx")], |t| ops::max_pool2d(&t[0], spec))?;
            check(&g, &format!("avg{i}"), dtype, &[("x", "gx")], |t| ops::avg_pool2d(&t[0], spec))?;
        }
        // The forms for other devices: the same values, and the same arg-max among ties.
        check(&g, &format!("max{i}"), DType::F64, &[("x", "gx")], |t| composed::max_pool2d(&t[0], spec))?;
        check(&g, &format!("avg{i}"), DType::F64, &[("x", "gx")], |t| composed::avg_pool2d(&t[0], spec))?;
    }
    Ok(())
}

#[test]
fn batch_norm() -> Result<()> {
    let g = Golden::load("ops.safetensors")?;
    let inputs = [("x", "gx"), ("a", "ga"), ("b", "gb")];
    for dtype in [DType::F64, DType::F32] {
        check(&g, "bn", dtype, &inputs, |t| ops::batch_norm_train(&t[0], &t[1], &t[2], 1e-5))?;
    }
    check(&g, "bn", DType::F64, &inputs, |t| composed::batch_norm_train(&t[0], &t[1], &t[2], 1e-5))?;
    let x = g.get("bn.x")?;
    let (mean, var) = ops::channel_moments(x)?;
    let count = (x.elem_count() / mean.elem_count()) as f64;
    // PyTorch's running values after one step from 0 and 1 with momentum 0.1.
    assert!(deviation(&(mean * 0.1)?, g.get("bn.mean")?)? < 1e-12);
    assert!(deviation(&((var * (0.1 * count / (count - 1.0)))? + 0.9)?, g.get("bn.var")?)? < 1e-12);
    Ok(())
}

#[test]
fn cross_entropies() -> Result<()> {
    let g = Golden::load("ops.safetensors")?;
    let z = Var::from_tensor(g.get("ce.z")?)?;
    let loss = ops::cross_entropy(&z, g.get("ce.labels")?)?;
    assert!(deviation(&loss, g.get("ce.loss")?)? < 1e-14);
    let grads = loss.sum_all()?.backward()?;
    assert!(deviation(grads.get(&z).unwrap(), g.get("ce.gz")?)? < 1e-14);
    assert!(deviation(&ops::soft_cross_entropy(&z, g.get("ce.soft")?)?, g.get("ce.soft_loss")?)? < 1e-14);
    Ok(())
}

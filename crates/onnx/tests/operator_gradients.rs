//! The gradient of every operator against central differences, on the inputs of ONNX's conformance cases.
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod support;

use sconce_onnx::{Model, ModelConfig, Value};
use sconce_tensor_core::candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::{Mode, Rng, ops};
use std::path::Path;

/// Cases that draw random numbers in each pass.
const RANDOM: &str = "test_training_dropout";

fn host(t: &Tensor) -> Vec<f64> {
    t.detach().flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest difference between the derivative along a random direction and the difference quotient, over the sizes of both; none for
/// cases that do not run, or have nothing to differentiate. `on_host` inputs at the end are not differentiated.
fn check(folder: &Path, on_host: usize) -> Option<f64> {
    let model =
        Model::open(&folder.join("model.onnx"), &ModelConfig { dtype: DType::F64, ..ModelConfig::default() }).ok()?;
    let rng = Rng::new(7).stream("case");
    let inputs = support::inputs(folder);
    let cut = inputs.len() - on_host;
    let mut vars: Vec<(usize, Var, Tensor)> = Vec::new();
    let mut fixed: Vec<Value> = Vec::new();
    for (i, v) in inputs.into_iter().enumerate() {
        match v {
            Value::Tensor(t) if i < cut && t.elem_count() > 0 => {
                let t = t.to_dtype(DType::F64).unwrap();
                // Off the points where values are equal, or whole: the cases like them, and functions have kinks there.
                let noise = rng.at(i as u64).uniform(t.dims(), -1e-3..1e-3, DType::F64, &Device::Cpu).unwrap();
                let direction = rng.at(100 + i as u64).normal(t.dims(), 0.0, 1.0, DType::F64, &Device::Cpu).unwrap();
                vars.push((i, Var::from_tensor(&(t + noise).unwrap()).unwrap(), direction));
                fixed.push(Value::Tensor(vars.last().unwrap().1.as_tensor().clone()));
            }
            v => fixed.push(v.to_array().unwrap().into()),
        }
    }
    let names: Vec<String> = model.inputs().iter().map(|p| p.name.clone()).collect();
    let run = |values: &[Value]| -> Option<Tensor> {
        let given: Vec<(&str, Value)> = names.iter().map(String::as_str).zip(values.iter().cloned()).collect();
        let out = model.run(&given, Mode::Eval).ok()?;
        let Some(Value::Tensor(y)) = out.into_iter().next() else { return None };
        let weights = Rng::new(9).normal(y.dims(), 0.0, 1.0, DType::F64, &Device::Cpu).ok()?;
        (y * weights).ok()?.sum_all().ok()
    };
    let loss = run(&fixed)?;
    if vars.is_empty() || !loss.to_scalar::<f64>().unwrap().is_finite() {
        return None;
    }
    let grads = if loss.track_op() { Some(ops::backward(&loss).unwrap()) } else { None };
    let mut worst = 0f64;
    for (i, var, direction) in &vars {
        let slope = grads
            .as_ref()
            .and_then(|g| g.get(var))
            .map_or(0.0, |g| host(g).iter().zip(host(direction)).map(|(g, d)| g * d).sum::<f64>());
        // A few cases have memory that was never written as inputs.
        if host(&var.as_detached_tensor()).iter().any(|v| v.abs() > 1e12) {
            return None;
        }
        let h = 1e-6;
        let moved = |by: f64| {
            let mut values = fixed.clone();
            values[*i] = Value::Tensor((var.as_detached_tensor() + (direction * by).unwrap()).unwrap());
            run(&values).unwrap().to_scalar::<f64>().unwrap()
        };
        let difference = (moved(h) - moved(-h)) / (2.0 * h);
        worst = worst.max((slope - difference).abs() / (1.0 + slope.abs() + difference.abs()));
    }
    Some(worst)
}

#[test]
fn every_operator_has_the_gradient_of_its_differences() {
    let folder = tempfile::tempdir().unwrap();
    let (mut checked, mut faults) = (0, Vec::new());
    for name in support::unpack(folder.path()) {
        let case = folder.path().join(&name);
        let inputs = support::inputs(&case).len();
        // With as few inputs on the host as it can run with.
        let Some(worst) = (0..inputs).find_map(|on_host| check(&case, on_host)) else { continue };
        checked += 1;
        if worst > 1e-5 && !name.contains(RANDOM) {
            faults.push(format!("{name}: {worst:.1e}"));
        }
    }
    assert!(faults.is_empty(), "{} of {checked}:\n{}", faults.len(), faults.join("\n"));
    assert!(checked > 650, "{checked}");
}

//! Grids of cases: operations against golden values and gradients.

use crate::{Golden, deviation, golden};
use anyhow::{Context, Result, ensure};
use candle_core::{DType, Tensor, Var};
use sconce_tensor_core::ops;
use serde_json::Value;

/// Sums of tens to hundreds of terms: in f64, and in f32 with values up to about 20.
fn tolerance(dtype: DType) -> f64 {
    if dtype == DType::F64 { 1e-12 } else { 4e-6 }
}

/// A view of a variable that is not contiguous: twice each element, every second taken.
fn view(v: &Var) -> Result<Tensor> {
    let twice = Tensor::stack(&[v.as_tensor(), &v.zeros_like()?], v.rank())?;
    Ok(twice.narrow(v.rank(), 0, 1)?.squeeze(v.rank())?)
}

/// Checks the cases of `NAME.json` against `NAME.safetensors`: the value of `apply` against `CASE.y`, and its gradients for the cotangent `CASE.u`
/// against `CASE.gINPUT`, in f64 and f32, on contiguous tensors and on views, and, where `other` is set, in the form for other devices. `None` is
/// a case without that form. Returns how many were checked.
///
/// # Errors
/// A file that is missing or broken, the first case that is too far off, an error of `apply`.
pub fn agree(name: &str, apply: impl Fn(&Golden, &Value, &[Tensor], bool) -> Result<Option<Tensor>>) -> Result<usize> {
    let g = Golden::load(&format!("{name}.safetensors"))?;
    let index: Value = serde_json::from_str(&std::fs::read_to_string(golden(&format!("{name}.json")))?)?;
    let mut checked = 0;
    for case in index["cases"].as_array().context("`cases` is a list")? {
        let name = case["name"].as_str().context("a case has a `name`")?;
        let inputs = case["inputs"].as_array().context("a case has `inputs`")?;
        let inputs: Vec<&str> = inputs.iter().map(|v| v.as_str().context("names")).collect::<Result<_>>()?;
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
            let seen = |v: &Var| if views { view(v) } else { Ok(v.as_tensor().clone()) };
            let tensors: Vec<Tensor> = vars.iter().map(seen).collect::<Result<_>>()?;
            let Some(y) = apply(&g, case, &tensors, other)? else { continue };
            let (tol, how) = (tolerance(dtype), format!("{name} {dtype:?} other {other} views {views}"));
            let d = deviation(&y, g.get(&format!("{name}.y"))?)?;
            ensure!(d < tol, "{how}: value off by {d}");
            let grads = ops::backward(&(y * g.get(&format!("{name}.u"))?.to_dtype(dtype)?)?.sum_all()?)?;
            for (var, n) in vars.iter().zip(&inputs) {
                let ours = grads.get(var).with_context(|| format!("{how}: no gradient to {n}"))?;
                let d = deviation(ours, g.get(&format!("{name}.g{n}"))?)?;
                ensure!(d < tol, "{how}: gradient to {n} off by {d}");
            }
            checked += 1;
        }
    }
    Ok(checked)
}

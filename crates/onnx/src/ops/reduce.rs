//! Sums, means, extremes and norms over axes.

use super::elementwise::rounded;
use crate::array::{Array, Data};
use crate::node::{Attributes, Node, axis};
use crate::value::{Run, Value, one};
use candle_core::{D, Tensor};
use sconce_tensor_core::Result;

pub(super) fn maker(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    let (given, keep) = (a.ints("axes")?, a.flag("keepdims", true)?);
    let nothing = a.flag("noop_with_empty_axes", false)?;
    let op = node.op.clone();
    Ok(one(move |args| {
        let x = args.need(0)?;
        let rank = x.shape().len();
        let axes = given.clone().map_or_else(|| args.ints(1), |g| Ok(Some(g)))?.unwrap_or_default();
        if axes.is_empty() && nothing {
            // Nothing is summed, but each element goes through the function of the norm.
            return match op.as_str() {
                "ReduceL1" | "ReduceL2" => Ok(args.tensor(0)?.abs()?.into()),
                "ReduceSumSquare" => Ok(args.tensor(0)?.sqr()?.into()),
                "ReduceLogSum" => Ok(args.tensor(0)?.log()?.into()),
                _ => Ok(x.clone()),
            };
        }
        let mut axes = axes.into_iter().map(|v| axis(v, rank)).collect::<Result<Vec<_>>>()?;
        if axes.is_empty() {
            axes = (0..rank).collect();
        }
        axes.sort_unstable();
        axes.dedup();
        let kept: Vec<usize> = (0..rank).filter(|i| !axes.contains(i)).collect();
        let sizes: Vec<usize> = kept.iter().map(|i| x.shape()[*i]).collect();
        let shape: Vec<usize> = match keep {
            true => (0..rank).map(|i| if axes.contains(&i) { 1 } else { x.shape()[i] }).collect(),
            false => sizes.clone(),
        };
        if let Value::Array(a) = x {
            return on_host(a, &op, &kept, &axes, shape);
        }
        let x = args.tensor(0)?;
        if x.elem_count() == 0 {
            return on_host(&x_array(&x)?, &op, &kept, &axes, shape);
        }
        let y = match op.as_str() {
            "ReduceSum" => x.sum_keepdim(axes.as_slice())?,
            "ReduceMean" => x.mean_keepdim(axes.as_slice())?,
            "ReduceL1" => x.abs()?.sum_keepdim(axes.as_slice())?,
            "ReduceSumSquare" => x.sqr()?.sum_keepdim(axes.as_slice())?,
            "ReduceL2" => root(&x.sqr()?.sum_keepdim(axes.as_slice())?)?,
            "ReduceLogSum" => x.sum_keepdim(axes.as_slice())?.log()?,
            _ => {
                // The reduced axes as one, at the end.
                let order = [kept.clone(), axes.clone()].concat();
                let last: usize = axes.iter().map(|i| x.dims()[*i]).product();
                let flat = x.permute(order)?.contiguous()?.reshape([sizes.as_slice(), &[last]].concat())?;
                along_last(&flat, &op)?
            }
        };
        Ok(y.reshape(shape.as_slice())?.into())
    }))
}

/// A tensor without elements.
fn x_array(x: &Tensor) -> Result<Array> {
    Array::new(x.dims().to_vec(), Data::Single(Vec::new()))
}

/// `sqrt(s)` with the gradient 0 at 0, which is one of the norm's subgradients.
fn root(s: &Tensor) -> Result<Tensor> {
    let zero = s.detach().eq(0f64)?.to_dtype(s.dtype())?;
    Ok(((s + &zero)?.sqrt()? * (1.0 - zero)?)?)
}

fn along_last(x: &Tensor, op: &str) -> Result<Tensor> {
    let at = |max: bool| -> Result<Tensor> {
        let flat = x.detach();
        Ok(if max { flat.argmax_keepdim(D::Minus1)? } else { flat.argmin_keepdim(D::Minus1)? })
    };
    Ok(match op {
        // The first of several that are equal gets the gradient.
        "ReduceMax" => x.gather(&at(true)?, D::Minus1)?,
        "ReduceMin" => x.gather(&at(false)?, D::Minus1)?,
        "ReduceLogSumExp" => {
            let largest = x.detach().max_keepdim(D::Minus1)?;
            (x.broadcast_sub(&largest)?.exp()?.sum_keepdim(D::Minus1)?.log()? + largest)?
        }
        _ => {
            // Halves times halves, so that the graph of the gradient stays flat.
            let mut y = x.clone();
            while y.dim(D::Minus1)? > 1 {
                let n = y.dim(D::Minus1)?;
                let (half, odd) = (n / 2, n % 2);
                let product = (y.narrow(D::Minus1, 0, half)? * y.narrow(D::Minus1, half, half)?)?;
                y = if odd == 0 {
                    product
                } else {
                    Tensor::cat(&[product, y.narrow(D::Minus1, n - 1, 1)?], D::Minus1)?
                };
            }
            y
        }
    })
}

fn on_host(a: &Array, op: &str, kept: &[usize], axes: &[usize], shape: Vec<usize>) -> Result<Value> {
    let dims = a.shape();
    let strides: Vec<usize> = (0..dims.len()).map(|i| dims[i + 1..].iter().product()).collect();
    // Offsets of all combinations of some axes, in row order.
    let offsets = |axes: &[usize]| {
        axes.iter().fold(vec![0], |all: Vec<usize>, i| {
            let stride = strides[*i];
            all.iter().flat_map(|o| (0..dims[*i]).map(move |v| o + v * stride)).collect()
        })
    };
    let (outer, inner) = (offsets(kept), offsets(axes));
    let values = a.to_f64();
    let all: Vec<f64> = outer.iter().map(|o| number(op, inner.iter().map(|i| values[o + i]))).collect();
    let data = match a.data() {
        Data::Int(v) if op == "ReduceMax" || op == "ReduceMin" => {
            let extreme = |o: &usize| {
                let all = inner.iter().map(|i| v[o + i]);
                if op == "ReduceMax" { all.max() } else { all.min() }
            };
            Data::Int(outer.iter().filter_map(extreme).collect())
        }
        Data::Int(_) => Data::Int(all.into_iter().map(|v| v as i64).collect()),
        Data::Bool(_) => Data::Bool(all.into_iter().map(|v| v != 0.0).collect()),
        data => rounded(all, matches!(data, Data::Double(_))),
    };
    Ok(Array::new(shape, data)?.into())
}

fn number(op: &str, all: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = all.clone().count() as f64;
    match op {
        "ReduceSum" => all.sum(),
        "ReduceMean" => all.sum::<f64>() / n,
        "ReduceMax" => all.fold(f64::NEG_INFINITY, f64::max),
        "ReduceMin" => all.fold(f64::INFINITY, f64::min),
        "ReduceProd" => all.product(),
        "ReduceL1" => all.map(f64::abs).sum(),
        "ReduceL2" => all.map(|v| v * v).sum::<f64>().sqrt(),
        "ReduceSumSquare" => all.map(|v| v * v).sum(),
        "ReduceLogSum" => all.sum::<f64>().ln(),
        _ => all.map(f64::exp).sum::<f64>().ln(),
    }
}

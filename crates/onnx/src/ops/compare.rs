//! Comparisons, logic and the choice by truth values.

use super::elementwise::zip;
use crate::array::{Array, Data, broadcast, broadcast_indices};
use crate::node::{Attributes, Node};
use crate::value::{Args, MOST_ELEMENTS, Run, Value, one, within};
use candle_core::Tensor;
use sconce_tensor_core::{Error, Result};

pub(super) fn maker(node: &Node, _: &Attributes<'_>) -> Result<Run> {
    let op = node.op.clone();
    Ok(match op.as_str() {
        "Where" => one(choose),
        "Not" => one(|args| match args.need(0)? {
            Value::Array(a) => bools(a.shape().to_vec(), a.to_bools()?.into_iter().map(|v| !v).collect()),
            v => Ok(Value::Mask(args.as_mask(v)?.eq(0u8)?)),
        }),
        "IsNaN" => one(|args| {
            let x = args.tensor(0)?.detach();
            Ok(Value::Mask(x.ne(&x)?))
        }),
        "And" | "Or" | "Xor" => one(move |args| logic(args, &op)),
        _ => one(move |args| compare(args, &op)),
    })
}

fn bools(shape: Vec<usize>, values: Vec<bool>) -> Result<Value> {
    Ok(Array::new(shape, Data::Bool(values))?.into())
}

/// Two tensors of one shape.
fn alike(a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
    let shape = broadcast(a.dims(), b.dims())?;
    within(&shape, MOST_ELEMENTS)?;
    Ok((a.broadcast_as(shape.as_slice())?.contiguous()?, b.broadcast_as(shape.as_slice())?.contiguous()?))
}

fn logic(args: &Args<'_>, op: &str) -> Result<Value> {
    let f = |x: bool, y: bool| match op {
        "And" => x && y,
        "Or" => x || y,
        _ => x != y,
    };
    let (a, b) = (args.need(0)?, args.need(1)?);
    if let (Value::Array(a), Value::Array(b)) = (a, b) {
        let (x, y) = (a.to_bools()?, b.to_bools()?);
        let (shape, values) = zip(a, b, |i, j| f(x[i], y[j]))?;
        return bools(shape, values);
    }
    let (a, b) = alike(&args.as_mask(a)?, &args.as_mask(b)?)?;
    Ok(Value::Mask(match op {
        "And" => a.minimum(&b)?,
        "Or" => a.maximum(&b)?,
        _ => a.ne(&b)?,
    }))
}

fn compare(args: &Args<'_>, op: &str) -> Result<Value> {
    let f = |x: f64, y: f64| match op {
        "Equal" => x == y,
        "Greater" => x > y,
        "GreaterOrEqual" => x >= y,
        "Less" => x < y,
        _ => x <= y,
    };
    let (a, b) = (args.need(0)?, args.need(1)?);
    if let (Value::Array(a), Value::Array(b)) = (a, b) {
        let (shape, values) = match (a.data(), b.data()) {
            // Beyond 2^53 not every whole number is one of 64 bits' floating-point numbers.
            (Data::Int(x), Data::Int(y)) => zip(a, b, |i, j| match x[i].cmp(&y[j]) {
                std::cmp::Ordering::Less => f(0.0, 1.0),
                std::cmp::Ordering::Equal => f(0.0, 0.0),
                std::cmp::Ordering::Greater => f(1.0, 0.0),
            })?,
            _ => {
                let (x, y) = (a.to_f64(), b.to_f64());
                zip(a, b, |i, j| f(x[i], y[j]))?
            }
        };
        return bools(shape, values);
    }
    let number = |v: &Value| match v {
        Value::Whole(t) => Ok(t.clone()),
        Value::Array(a) => a.tensor(args.context.dtype, &args.context.device),
        v => args.as_tensor(v),
    };
    let (a, b) = alike(&number(a)?.detach(), &number(b)?.detach())?;
    Ok(Value::Mask(match op {
        "Equal" => a.eq(&b)?,
        "Greater" => a.gt(&b)?,
        "GreaterOrEqual" => a.ge(&b)?,
        "Less" => a.lt(&b)?,
        _ => a.le(&b)?,
    }))
}

fn choose(args: &Args<'_>) -> Result<Value> {
    let (c, a, b) = (args.need(0)?, args.need(1)?, args.need(2)?);
    let shape = broadcast(&broadcast(c.shape(), a.shape())?, b.shape())?;
    within(&shape, MOST_ELEMENTS)?;
    if let (Value::Array(c), Value::Array(a), Value::Array(b)) = (c, a, b) {
        within(&shape, crate::value::MOST_ON_HOST)?;
        let both = Array::chain(&[a, b])?;
        let (ia, ib) = (broadcast_indices(a.shape(), &shape), broadcast_indices(b.shape(), &shape));
        let c = c.to_bools()?;
        let ic = broadcast_indices_of(&c, args.need(0)?.shape(), &shape);
        let at: Vec<Option<usize>> = ic
            .into_iter()
            .zip(ia.into_iter().zip(ib))
            .map(|(c, (i, j))| Some(if c { i } else { a.len() + j }))
            .collect();
        return Ok(both.pick(shape, &at, 0.0)?.into());
    }
    let wide = |t: Tensor| -> Result<Tensor> { Ok(t.broadcast_as(shape.as_slice())?.contiguous()?) };
    let (c, a, b) = (wide(args.as_mask(c)?)?, args.as_tensor(a), args.as_tensor(b));
    match (a, b) {
        (Ok(a), Ok(b)) => Ok(c.where_cond(&wide(a)?, &wide(b)?)?.into()),
        _ => Err(Error::value(
            "inputs",
            "a choice by the network's input between integers or truth values is not supported",
        )),
    }
}

fn broadcast_indices_of(values: &[bool], from: &[usize], to: &[usize]) -> Vec<bool> {
    broadcast_indices(from, to).into_iter().map(|i| values[i]).collect()
}

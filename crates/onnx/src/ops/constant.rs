//! Types and sizes: casts, and values that are made from shapes.

use super::elementwise::rounded;
use crate::array::{Array, Data, count};
use crate::file::element_name;
use crate::node::{Attributes, Node, host};
use crate::value::{Args, MOST_ELEMENTS, MOST_ON_HOST, Run, Value, one, within};
use candle_core::{DType, Tensor};
use sconce_tensor_core::{Error, Result};

/// The most and least bits' whole numbers, by the number of the type.
fn limits(kind: i32) -> Option<(i64, i64)> {
    Some(match kind {
        2 => (0, 255),
        3 => (-128, 127),
        4 => (0, 65_535),
        5 => (-32_768, 32_767),
        6 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        12 => (0, i64::from(u32::MAX)),
        7 | 13 => (i64::MIN, i64::MAX),
        _ => return None,
    })
}

const FLOATS: [i32; 4] = [1, 10, 11, 16];

pub(super) fn maker(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    Ok(match node.op.as_str() {
        "Cast" => {
            let to = a.int("to", 0)? as i32;
            a.flag("saturate", true)?;
            if limits(to).is_none() && to != 9 && !FLOATS.contains(&to) {
                return Err(node.error(format!("a cast to {} is not supported", element_name(to))));
            }
            one(move |args| cast(args, to))
        }
        "CastLike" => {
            a.flag("saturate", true)?;
            one(|args| {
                let to = match args.need(1)? {
                    Value::Tensor(_) => 1,
                    Value::Mask(_) => 9,
                    Value::Whole(_) => 7,
                    Value::Array(a) => match a.data() {
                        Data::Single(_) => 1,
                        Data::Double(_) => 11,
                        Data::Int(_) => 7,
                        Data::Bool(_) => 9,
                    },
                };
                cast(args, to)
            })
        }
        "Shape" => {
            let (start, end) = (a.int("start", 0)?, a.int("end", i64::MAX)?);
            one(move |args| {
                let shape = args.need(0)?.shape();
                let rank = shape.len() as i64;
                let at = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
                let (start, end) = (at(start), at(end));
                let part = if start < end { &shape[start..end] } else { &[] };
                Ok(Array::ints(part.iter().map(|d| *d as i64).collect()).into())
            })
        }
        "Size" => one(|args| Ok(Array::new(Vec::new(), Data::Int(vec![count(args.need(0)?.shape())? as i64]))?.into())),
        "ConstantOfShape" => {
            let value = a.tensor("value")?.map(host).transpose()?;
            let value = value.map_or_else(|| Array::new(vec![1], Data::Single(vec![0.0])), Ok)?;
            if value.len() != 1 {
                return Err(node.error(format!("its value must be one number, but has {}", value.len())));
            }
            one(move |args| {
                let shape = args.ints(0)?.ok_or_else(|| Error::value("inputs", "the shape is missing"))?;
                filled(args, &value, &sizes(&shape)?)
            })
        }
        _ => one(range),
    })
}

/// Sizes that are not negative.
pub(super) fn sizes(shape: &[i64]) -> Result<Vec<usize>> {
    let all = shape.iter().map(|d| usize::try_from(*d)).collect::<Result<Vec<_>, _>>();
    all.map_err(|_| Error::value("shape", format!("{shape:?} has a negative size")))
}

fn filled(args: &Args<'_>, value: &Array, shape: &[usize]) -> Result<Value> {
    let n = within(shape, MOST_ELEMENTS)?;
    if n > MOST_ON_HOST && value.is_float() {
        let v = value.to_f64()[0];
        let device = &args.context.device;
        return Ok(match args.context.dtype {
            DType::F64 => Tensor::full(v, shape, device)?,
            t => Tensor::full(v as f32, shape, device)?.to_dtype(t)?,
        }
        .into());
    }
    within(shape, MOST_ON_HOST)?;
    Ok(value.pick(shape.to_vec(), &vec![Some(0); n], 0.0)?.into())
}

fn cast(args: &Args<'_>, to: i32) -> Result<Value> {
    let value = args.need(0)?;
    let floats = FLOATS.contains(&to);
    Ok(match value {
        Value::Array(a) => {
            let data = if floats {
                rounded(a.to_f64(), to == 11)
            } else if to == 9 {
                Data::Bool(a.to_f64().into_iter().map(|v| v != 0.0).collect())
            } else {
                let limits = limits(to).unwrap_or((i64::MIN, i64::MAX));
                let all: Vec<i64> = match a.data() {
                    Data::Int(v) => v.clone(),
                    _ => a.to_f64().into_iter().map(|v| v as i64).collect(),
                };
                Data::Int(all.into_iter().map(|v| wrapped(v, limits)).collect())
            };
            let cast = Array::new(a.shape().to_vec(), data)?;
            match to {
                2 => cast.ranged((0, 255)),
                3 => cast.ranged((-128, 127)),
                _ => cast,
            }
            .into()
        }
        // All floating-point numbers of a model are of one type.
        Value::Tensor(t) if floats => Value::Tensor(t.clone()),
        Value::Mask(t) if floats => Value::Tensor(t.to_dtype(args.context.dtype)?),
        Value::Whole(t) if floats => Value::Tensor(t.clone()),
        Value::Mask(t) if to == 9 => Value::Mask(t.clone()),
        Value::Tensor(t) | Value::Whole(t) if to == 9 => Value::Mask(t.detach().ne(0f64)?),
        Value::Mask(t) => Value::Whole(t.to_dtype(args.context.dtype)?),
        Value::Whole(t) => Value::Whole(t.clone()),
        Value::Tensor(t) => {
            let t = t.detach();
            Value::Whole((t.abs()?.floor()? * t.sign()?)?)
        }
    })
}

/// As two's complement drops the upper bits.
fn wrapped(v: i64, (lo, hi): (i64, i64)) -> i64 {
    if (lo..=hi).contains(&v) {
        v
    } else {
        (i128::from(v) - i128::from(lo)).rem_euclid(i128::from(hi) - i128::from(lo) + 1) as i64 + lo
    }
}

fn range(args: &Args<'_>) -> Result<Value> {
    let one = |i: usize| -> Result<std::sync::Arc<Array>> {
        let found = args.host(i)?.filter(|a| a.len() == 1);
        found.ok_or_else(|| Error::value("inputs", "start, limit and delta must be one number each"))
    };
    let (start, limit, delta) = (one(0)?, one(1)?, one(2)?);
    let (s, l, d) = (start.to_f64()[0], limit.to_f64()[0], delta.to_f64()[0]);
    let n = ((l - s) / d).ceil();
    if !n.is_finite() {
        return Err(Error::value("inputs", format!("there is no range from {s} to {l} by {d}")));
    }
    let n = within(&[n.max(0.0) as usize], MOST_ON_HOST)?;
    let data = match (start.data(), delta.data()) {
        (Data::Int(s), Data::Int(d)) => Data::Int((0..n as i64).map(|i| s[0] + i * d[0]).collect()),
        _ => rounded((0..n).map(|i| s + i as f64 * d).collect(), matches!(start.data(), Data::Double(_))),
    };
    Ok(Array::new(vec![n], data)?.into())
}

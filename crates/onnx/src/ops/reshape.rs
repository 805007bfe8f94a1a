//! Other shapes of the same elements.

use super::constant::sizes;
use super::moved::moved;
use crate::array::{Array, Data, broadcast};
use crate::node::{Attributes, Node, axis};
use crate::value::{Args, MOST_ELEMENTS, MOST_ON_HOST, Run, Value, one, within};
use candle_core::Tensor;
use sconce_tensor_core::{Error, Result};

pub(super) fn maker(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    Ok(match node.op.as_str() {
        "Identity" => one(|args| Ok(args.need(0)?.clone())),
        "Dropout" => return dropout(node, a),
        "Reshape" => {
            let (given, zero) = (a.ints("shape")?, a.flag("allowzero", false)?);
            one(move |args| {
                let wanted = given.clone().map_or_else(|| args.ints(1), |g| Ok(Some(g)))?;
                let wanted = wanted.ok_or_else(|| Error::value("inputs", "the shape is missing"))?;
                let x = args.need(0)?;
                let shape = target(x.shape(), &wanted, zero)?;
                shaped(x, shape)
            })
        }
        "Flatten" => {
            let at = a.int("axis", 1)?;
            one(move |args| {
                let x = args.need(0)?;
                let rank = x.shape().len() as i64;
                let at = if at < 0 { at + rank } else { at };
                if !(0..=rank).contains(&at) {
                    return Err(Error::value("axis", format!("{at} is outside of a tensor of {rank} axes")));
                }
                let (a, b) = x.shape().split_at(at as usize);
                let shape = vec![a.iter().product(), b.iter().product()];
                shaped(x, shape)
            })
        }
        "Squeeze" | "Unsqueeze" => {
            let given = a.ints("axes")?;
            let add = node.op == "Unsqueeze";
            one(move |args| {
                let axes = given.clone().map_or_else(|| args.ints(1), |g| Ok(Some(g)))?;
                let x = args.need(0)?;
                let shape =
                    if add { unsqueezed(x.shape(), &axes.unwrap_or_default())? } else { squeezed(x.shape(), axes)? };
                shaped(x, shape)
            })
        }
        "Transpose" => {
            let perm = a.ints("perm")?;
            one(move |args| {
                let x = args.need(0)?;
                let rank = x.shape().len();
                let order = match &perm {
                    None => (0..rank).rev().collect(),
                    Some(p) => p.iter().map(|v| axis(*v, rank)).collect::<Result<Vec<_>>>()?,
                };
                if order.len() != rank || (0..rank).any(|i| !order.contains(&i)) {
                    return Err(Error::value("perm", format!("{order:?} is no order of {rank} axes")));
                }
                moved(x, |t| Ok(t.permute(order.as_slice())?))
            })
        }
        "Expand" => one(|args| {
            let x = args.need(0)?;
            let wanted = args.ints(1)?.ok_or_else(|| Error::value("inputs", "the shape is missing"))?;
            let shape = broadcast(x.shape(), &sizes(&wanted)?)?;
            within(&shape, if matches!(x, Value::Array(_)) { MOST_ON_HOST } else { MOST_ELEMENTS })?;
            moved(x, |t| Ok(t.broadcast_as(shape.as_slice())?.contiguous()?))
        }),
        "Tile" => one(|args| {
            let x = args.need(0)?;
            let times = sizes(&args.ints(1)?.ok_or_else(|| Error::value("inputs", "the repeats are missing"))?)?;
            if times.len() != x.shape().len() {
                return Err(Error::value("repeats", format!("{times:?} for {} axes", x.shape().len())));
            }
            let shape = x.shape().iter().zip(&times).map(|(a, b)| a.checked_mul(*b)).collect::<Option<Vec<_>>>();
            let shape = shape.ok_or_else(|| Error::value("repeats", format!("{times:?} are too many")))?;
            within(&shape, if matches!(x, Value::Array(_)) { MOST_ON_HOST } else { MOST_ELEMENTS })?;
            moved(x, |t| {
                let mut t = t.clone();
                if shape.contains(&0) {
                    return Ok(Tensor::zeros(shape.as_slice(), t.dtype(), t.device())?);
                }
                for (i, n) in times.iter().enumerate().filter(|(_, n)| **n > 1) {
                    let (mut wide, mut flat) = (t.dims().to_vec(), t.dims().to_vec());
                    wide.insert(i, *n);
                    flat[i] *= n;
                    t = t.unsqueeze(i)?.broadcast_as(wide)?.contiguous()?.reshape(flat)?;
                }
                Ok(t)
            })
        }),
        _ => return depth_and_space(node, a),
    })
}

/// The same elements in another shape.
pub(super) fn shaped(x: &Value, shape: Vec<usize>) -> Result<Value> {
    Ok(match x {
        Value::Array(a) => a.reshaped(shape)?.into(),
        Value::Tensor(t) => Value::Tensor(t.reshape(shape)?),
        Value::Mask(t) => Value::Mask(t.reshape(shape)?),
        Value::Whole(t) => Value::Whole(t.reshape(shape)?),
    })
}

fn target(from: &[usize], wanted: &[i64], zero: bool) -> Result<Vec<usize>> {
    let all: usize = from.iter().product();
    let mut shape = Vec::with_capacity(wanted.len());
    for (i, d) in wanted.iter().enumerate() {
        shape.push(match d {
            -1 => None,
            0 if !zero => Some(
                *from.get(i).ok_or_else(|| Error::value("shape", format!("{wanted:?} copies axis {i} of {from:?}")))?,
            ),
            d => Some(
                usize::try_from(*d).map_err(|_| Error::value("shape", format!("{wanted:?} has a negative size")))?,
            ),
        });
    }
    let known = crate::array::count(&shape.iter().flatten().copied().collect::<Vec<_>>())?;
    let free = shape.iter().filter(|d| d.is_none()).count();
    let rest = if free == 1 && known > 0 && all.is_multiple_of(known) { all / known } else { 0 };
    let done: Vec<usize> = shape.iter().map(|d| d.unwrap_or(rest)).collect();
    if free > 1 || done.iter().product::<usize>() != all {
        return Err(Error::value("shape", format!("{from:?} cannot become {wanted:?}")));
    }
    Ok(done)
}

fn unsqueezed(from: &[usize], axes: &[i64]) -> Result<Vec<usize>> {
    let rank = from.len() + axes.len();
    let at = axes.iter().map(|a| axis(*a, rank)).collect::<Result<Vec<_>>>()?;
    if (1..at.len()).any(|i| at[..i].contains(&at[i])) {
        return Err(Error::value("axes", format!("{axes:?} names an axis twice")));
    }
    let mut rest = from.iter();
    let shape: Vec<usize> =
        (0..rank).map(|i| if at.contains(&i) { 1 } else { rest.next().copied().unwrap_or(1) }).collect();
    Ok(shape)
}

fn squeezed(from: &[usize], axes: Option<Vec<i64>>) -> Result<Vec<usize>> {
    let Some(axes) = axes else { return Ok(from.iter().copied().filter(|d| *d != 1).collect()) };
    let at = axes.iter().map(|a| axis(*a, from.len())).collect::<Result<Vec<_>>>()?;
    if let Some(i) = at.iter().find(|i| from[**i] != 1) {
        return Err(Error::value("axes", format!("axis {i} of {from:?} is not 1")));
    }
    Ok((0..from.len()).filter(|i| !at.contains(i)).map(|i| from[i]).collect())
}

fn dropout(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    let attribute = a.float("ratio", 0.5)?;
    a.int("seed", 0)?;
    if a.int("is_test", 1)? == 0 {
        return Err(node.error("it drops elements: the model was exported in training mode; call model.eval() before"));
    }
    let mask = node.wants(1);
    Ok(Box::new(move |args: &Args<'_>| {
        let x = args.need(0)?.clone();
        let training = args.host(2)?.is_some_and(|t| t.to_f64().first() == Some(&1.0));
        let ratio = args.host(1)?.and_then(|r| r.to_f64().first().copied()).unwrap_or(attribute);
        let mut out = if training && ratio > 0.0 {
            if mask || !(0.0..1.0).contains(&ratio) {
                return Err(Error::value(
                    "inputs",
                    format!("a drop rate of {ratio} with its mask as output is not supported"),
                ));
            }
            let x = args.tensor(0)?;
            let u = args.context.draws.next().uniform(x.dims(), 0.0..1.0, x.dtype(), x.device())?;
            let keep = (u.ge(ratio)?.to_dtype(x.dtype())? / (1.0 - ratio))?;
            vec![Value::Tensor((x * keep)?)]
        } else {
            vec![x.clone()]
        };
        if mask {
            let n = within(x.shape(), MOST_ON_HOST)?;
            out.push(Array::new(x.shape().to_vec(), Data::Bool(vec![true; n]))?.into());
        }
        Ok(out)
    }))
}

fn depth_and_space(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    let b = a.int("blocksize", 0)?;
    let b = usize::try_from(b).ok().filter(|b| (1..=1 << 16).contains(b));
    let b = b.ok_or_else(|| node.error("its attribute `blocksize` must be at least 1"))?;
    let rows = match a.text("mode", "DCR")?.as_str() {
        "CRD" => true,
        "DCR" => false,
        other => return Err(node.error(format!("mode {other:?} is neither DCR nor CRD"))),
    };
    let to_space = node.op == "DepthToSpace";
    Ok(one(move |args| {
        let x = args.need(0)?;
        let &[n, c, h, w] = x.shape() else { return Err(Error::shape("input", "(N, C, H, W)", x.shape())) };
        if (to_space && c % (b * b) != 0) || (!to_space && (h % b != 0 || w % b != 0)) {
            return Err(Error::value("blocksize", format!("{b} does not divide {:?}", x.shape())));
        }
        moved(x, |t| {
            let t = t.contiguous()?;
            Ok(match (to_space, rows) {
                (true, false) => {
                    let t = t.reshape(vec![n, b, b, c / (b * b), h, w])?.permute(vec![0, 3, 4, 1, 5, 2])?;
                    t.contiguous()?.reshape((n, c / (b * b), h * b, w * b))?
                }
                (true, true) => {
                    let t = t.reshape(vec![n, c / (b * b), b, b, h, w])?.permute(vec![0, 1, 4, 2, 5, 3])?;
                    t.contiguous()?.reshape((n, c / (b * b), h * b, w * b))?
                }
                (false, _) => {
                    let t = t.reshape(vec![n, c, h / b, b, w / b, b])?.permute(vec![0, 3, 5, 1, 2, 4])?;
                    t.contiguous()?.reshape((n, c * b * b, h / b, w / b))?
                }
            })
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_and_minus_ones_of_a_reshape() {
        assert_eq!(target(&[2, 3, 4], &[0, -1], false).unwrap(), [2, 12]);
        assert_eq!(target(&[2, 3, 4], &[-1], false).unwrap(), [24]);
        assert_eq!(target(&[0, 3], &[0, 3], true).unwrap(), [0, 3]);
        for wanted in [&[-1, -1][..], &[5, -1], &[2, 3, 4, 0], &[-2, 12]] {
            assert!(target(&[2, 3, 4], wanted, false).is_err(), "{wanted:?}");
        }
    }

    #[test]
    fn axes_of_squeeze_and_unsqueeze() {
        assert_eq!(unsqueezed(&[3], &[0, -1]).unwrap(), [1, 3, 1]);
        assert!(unsqueezed(&[3], &[0, 0]).is_err());
        assert_eq!(squeezed(&[1, 3, 1], Some(vec![-1])).unwrap(), [1, 3]);
        assert!(squeezed(&[1, 3], Some(vec![1])).is_err());
    }
}

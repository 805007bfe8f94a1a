//! Borders around a value.

use super::moved::{filled, select};
use crate::node::{Attributes, Node, axis};
use crate::value::{MOST_ELEMENTS, MOST_ON_HOST, Run, Value, one, within};
use candle_core::Tensor;
use sconce_tensor_core::{Error, Result};

/// What stands in the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Border {
    Constant,
    Reflect,
    Edge,
    Wrap,
}

pub(super) fn maker(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    let border = match a.text("mode", "constant")?.as_str() {
        "constant" => Border::Constant,
        "reflect" => Border::Reflect,
        "edge" => Border::Edge,
        "wrap" => Border::Wrap,
        other => return Err(node.error(format!("mode {other:?} is not one of constant, reflect, edge, wrap"))),
    };
    let given = match a.ints("pads")? {
        None => a.ints("paddings")?,
        given => given,
    };
    let value = a.float("value", 0.0)?;
    Ok(one(move |args| {
        let x = args.need(0)?;
        let rank = x.shape().len();
        let pads = given.clone().map_or_else(|| args.ints(1), |g| Ok(Some(g)))?;
        let pads = pads.ok_or_else(|| Error::value("inputs", "the pads are missing"))?;
        let fill = match args.host(2)? {
            Some(v) if v.len() == 1 => v.to_f64()[0],
            _ => value,
        };
        let axes = match args.ints(3)? {
            Some(axes) => axes.into_iter().map(|v| axis(v, rank)).collect::<Result<Vec<_>>>()?,
            None => (0..rank).collect(),
        };
        if pads.len() != 2 * axes.len() || pads.iter().any(|p| p.unsigned_abs() > 1 << 24) {
            return Err(Error::value("pads", format!("{pads:?} for {} axes", axes.len())));
        }
        let mut shape = x.shape().to_vec();
        for (i, along) in axes.iter().enumerate() {
            let padded = shape[*along] as i64 + pads[i] + pads[i + axes.len()];
            shape[*along] = usize::try_from(padded).map_err(|_| {
                let reason = format!(
                    "{} and {} cut more than the {} elements of axis {along}",
                    pads[i],
                    pads[i + axes.len()],
                    shape[*along]
                );
                Error::value("pads", reason)
            })?;
        }
        within(&shape, if matches!(x, Value::Array(_)) { MOST_ON_HOST } else { MOST_ELEMENTS })?;
        filled(x, fill, |t, fill| {
            let mut t = t.clone();
            for (i, along) in axes.iter().enumerate() {
                t = one_axis(&t, *along, (pads[i], pads[i + axes.len()]), border, fill)?;
            }
            Ok(t)
        })
    }))
}

fn one_axis(t: &Tensor, along: usize, (begin, end): (i64, i64), border: Border, fill: f64) -> Result<Tensor> {
    let len = t.dim(along)? as i64;
    if (begin, end) == (0, 0) {
        return Ok(t.clone());
    }
    // What is cut is cut first.
    let (from, to) = ((-begin).max(0), len - (-end).max(0));
    if to < from {
        return Err(Error::value(
            "pads",
            format!("{begin} and {end} cut more than the {len} elements of axis {along}"),
        ));
    }
    let kept = t.narrow(along, from as usize, (to - from) as usize)?;
    let (begin, end, len) = (begin.max(0), end.max(0), to - from);
    if border == Border::Constant {
        let (begin, end) = (begin as usize, end as usize);
        if fill == 0.0 {
            return Ok(kept.pad_with_zeros(along, begin, end)?);
        }
        let edge = |n: usize| -> Result<Tensor> {
            let mut shape = t.dims().to_vec();
            shape[along] = n;
            Ok(Tensor::full(fill, shape, t.device())?.to_dtype(t.dtype())?)
        };
        return Ok(Tensor::cat(&[edge(begin)?, kept, edge(end)?], along)?);
    }
    if len == 0 {
        return Err(Error::value("pads", format!("axis {along} is empty: there is nothing to repeat")));
    }
    let at: Vec<i64> = (-begin..len + end)
        .map(|i| match border {
            Border::Edge => i.clamp(0, len - 1),
            Border::Wrap => i.rem_euclid(len),
            _ if len == 1 => 0,
            _ => {
                let turn = i.rem_euclid(2 * (len - 1));
                turn.min(2 * (len - 1) - turn)
            }
        })
        .collect();
    select(&kept, along, &at)
}

//! Elements by index, where the indices do not depend on the network's input.

use super::moved::{moved, select, together};
use crate::node::{Attributes, Node, axis};
use crate::value::{Args, MOST_ELEMENTS, MOST_ON_HOST, Run, Value, one, within};
use candle_core::Tensor;
use sconce_tensor_core::{Error, Result};

pub(super) fn maker(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    let along = a.int("axis", 0)?;
    Ok(match node.op.as_str() {
        "Gather" => one(move |args| gather(args, along)),
        "GatherElements" => one(move |args| elements(args, along)),
        _ => {
            let how = a.text("reduction", "none")?;
            if how != "none" {
                return Err(node.error(format!("reduction {how:?} is not supported")));
            }
            one(scatter)
        }
    })
}

fn gather(args: &Args<'_>, along: i64) -> Result<Value> {
    let indices = args.host(1)?.ok_or_else(|| Error::value("inputs", "the indices are missing"))?;
    let at = indices.to_ints()?;
    let data = args.need(0)?;
    let along = axis(along, data.shape().len())?;
    let shape = [&data.shape()[..along], indices.shape(), &data.shape()[along + 1..]].concat();
    within(&shape, if matches!(data, Value::Array(_)) { MOST_ON_HOST } else { MOST_ELEMENTS })?;
    moved(data, |t| {
        // One element is a view.
        if let ([i], true) = (&at[..], indices.shape().is_empty()) {
            let len = t.dim(along)? as i64;
            let i = if *i < 0 { i + len } else { *i };
            if (0..len).contains(&i) {
                return Ok(t.narrow(along, i as usize, 1)?.squeeze(along)?);
            }
        }
        Ok(select(t, along, &at)?.reshape(shape.as_slice())?)
    })
}

fn elements(args: &Args<'_>, along: i64) -> Result<Value> {
    let indices = args.host(1)?.ok_or_else(|| Error::value("inputs", "the indices are missing"))?;
    let data = args.need(0)?;
    let along = axis(along, data.shape().len())?;
    let len = data.shape()[along] as i64;
    let mut at = Vec::with_capacity(indices.len());
    for i in indices.to_ints()? {
        let place = if i < 0 { i + len } else { i };
        if !(0..len).contains(&place) {
            return Err(Error::value("index", format!("{i} is outside of axis {along}, which has {len} elements")));
        }
        at.push(place as u32);
    }
    moved(data, |t| {
        let mut t = t.clone();
        for (i, d) in indices.shape().iter().enumerate().filter(|(i, _)| *i != along) {
            t = t.narrow(i, 0, *d)?;
        }
        let at = Tensor::from_vec(at.clone(), indices.shape(), t.device())?;
        Ok(t.contiguous()?.gather(&at, along)?)
    })
}

/// The data with the slices at the indices replaced; of several for one place the last counts.
fn scatter(args: &Args<'_>) -> Result<Value> {
    let (data, updates) = (args.need(0)?, args.need(2)?);
    let indices = args.host(1)?.ok_or_else(|| Error::value("inputs", "the indices are missing"))?;
    let depth = indices.shape().last().copied().unwrap_or(0);
    let shape = data.shape().to_vec();
    if depth == 0 || depth > shape.len() {
        let reason = format!("indices of {depth} numbers for data of {} axes", shape.len());
        return Err(Error::value("indices", reason));
    }
    let (outer, inner) = shape.split_at(depth);
    let (rows, size) = (outer.iter().product::<usize>(), inner.iter().product::<usize>());
    let mut from: Vec<i64> = (0..rows as i64).collect();
    for (u, tuple) in indices.to_ints()?.chunks_exact(depth).enumerate() {
        let mut row = 0;
        for (i, d) in tuple.iter().zip(outer) {
            let place = if *i < 0 { *i + *d as i64 } else { *i };
            if !(0..*d as i64).contains(&place) {
                return Err(Error::value("index", format!("{tuple:?} is outside of {outer:?}")));
            }
            row = row * *d + place as usize;
        }
        from[row] = (rows + u) as i64;
    }
    together(args, &[data, updates], |t| {
        let all = Tensor::cat(&[t[0].reshape((rows, size))?, t[1].reshape(((), size))?], 0)?;
        Ok(select(&all, 0, &from)?.reshape(shape.as_slice())?)
    })
}

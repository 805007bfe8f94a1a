//! Values side by side, and apart.

use super::constant::sizes;
use super::moved::{moved, together};
use crate::node::{Attributes, Node, axis};
use crate::value::{MOST_ELEMENTS, MOST_ON_HOST, Run, Value, one, within};
use candle_core::Tensor;
use sconce_tensor_core::{Error, Result};

pub(super) fn maker(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    if node.op == "Concat" {
        let along = a.int("axis", 1)?;
        return Ok(one(move |args| {
            let all: Vec<&Value> = args.values.iter().flatten().collect();
            let rank = all.first().map_or(0, |v| v.shape().len());
            let along = axis(along, rank)?;
            // An empty part adds nothing, and candle refuses it.
            let mut full: Vec<&Value> = all.iter().copied().filter(|v| v.shape().get(along) != Some(&0)).collect();
            if full.is_empty() {
                full = all[..1.min(all.len())].to_vec();
            }
            let total = full.iter().map(|v| v.shape().iter().product::<usize>()).fold(0usize, usize::saturating_add);
            within(
                &[total],
                if full.iter().all(|v| matches!(v, Value::Array(_))) { MOST_ON_HOST } else { MOST_ELEMENTS },
            )?;
            if let [one] = full[..] {
                return Ok(one.clone());
            }
            together(args, &full, |t| Ok(Tensor::cat(t, along)?))
        }));
    }
    let along = a.int("axis", 0)?;
    let given = a.ints("split")?;
    let parts = a.int("num_outputs", 0)?;
    let outputs = node.outputs.len();
    let uneven = a.has("num_outputs");
    if uneven && parts != outputs as i64 {
        return Err(node.error(format!("num_outputs is {parts}, but it has {outputs} outputs")));
    }
    Ok(Box::new(move |args| {
        let x = args.need(0)?;
        let along = axis(along, x.shape().len())?;
        let len = x.shape()[along];
        let lengths = match given.clone().map_or_else(|| args.ints(1), |g| Ok(Some(g)))? {
            Some(l) => sizes(&l)?,
            None if len % outputs.max(1) == 0 => vec![len / outputs.max(1); outputs],
            None if uneven => {
                let most = len.div_ceil(outputs);
                (0..outputs).map(|i| len.saturating_sub(i * most).min(most)).collect()
            }
            None => {
                return Err(Error::value("axis", format!("{len} elements cannot be split into {outputs} equal parts")));
            }
        };
        if lengths.len() != outputs || lengths.iter().try_fold(0usize, |n, l| n.checked_add(*l)) != Some(len) {
            return Err(Error::value("split", format!("{lengths:?} for {outputs} outputs and an axis of {len}")));
        }
        let mut from = 0;
        lengths
            .into_iter()
            .map(|l| {
                let part = moved(x, |t| Ok(t.narrow(along, from, l)?));
                from += l;
                part
            })
            .collect()
    }))
}

//! Parts of a value along axes.

use super::moved::{moved, select};
use crate::node::{Attributes, Node, axis};
use crate::value::{Run, one};
use sconce_tensor_core::{Error, Result};

pub(super) fn maker(_: &Node, a: &Attributes<'_>) -> Result<Run> {
    let given = (a.ints("starts")?, a.ints("ends")?, a.ints("axes")?);
    Ok(one(move |args| {
        let x = args.need(0)?;
        let rank = x.shape().len();
        let list = |given: &Option<Vec<i64>>, i: usize| given.clone().map_or_else(|| args.ints(i), |g| Ok(Some(g)));
        let missing = |what: &str| Error::value("inputs", format!("the {what} are missing"));
        let starts = list(&given.0, 1)?.ok_or_else(|| missing("starts"))?;
        let ends = list(&given.1, 2)?.ok_or_else(|| missing("ends"))?;
        let n = starts.len();
        let axes = list(&given.2, 3)?.unwrap_or_else(|| (0..n as i64).collect());
        let steps = args.ints(4)?.unwrap_or_else(|| vec![1; n]);
        if [ends.len(), axes.len(), steps.len()] != [n; 3] || steps.contains(&0) {
            let reason = format!(
                "starts {starts:?}, ends {ends:?}, axes {axes:?} and steps {steps:?} must go together, no step 0"
            );
            return Err(Error::value("inputs", reason));
        }
        let axes = axes.into_iter().map(|v| axis(v, rank)).collect::<Result<Vec<_>>>()?;
        moved(x, |t| {
            let mut t = t.clone();
            for (i, along) in axes.iter().enumerate() {
                let (from, count) = range(t.dim(*along)?, starts[i], ends[i], steps[i]);
                t = match steps[i] {
                    1 => t.narrow(*along, from as usize, count)?,
                    s => {
                        let at: Vec<i64> = (0..count as i64).map(|k| from + k * s).collect();
                        select(&t, *along, &at)?
                    }
                };
            }
            Ok(t)
        })
    }))
}

/// The first place and the number of places, by the rule of Python.
fn range(len: usize, start: i64, end: i64, step: i64) -> (i64, usize) {
    let len = len as i64;
    let (lo, hi) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let at = |v: i64| (if v < 0 { v.saturating_add(len) } else { v }).clamp(lo, hi);
    let (from, to) = (at(start), at(end));
    let way = if step > 0 { to - from } else { from - to };
    let count = (way.max(0) as u64).div_ceil(step.unsigned_abs()) as usize;
    (from.max(0), count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_of_python() {
        for (len, start, end, step, expected) in [
            (5, 1, 4, 1, (1, 3)),
            (5, -2, i64::MAX, 1, (3, 2)),
            (5, 4, i64::MIN, -1, (4, 5)),
            (5, -1, 0, -2, (4, 2)),
            (5, 7, 9, 1, (5, 0)),
            (5, 0, 5, 2, (0, 3)),
            (0, 0, 1, 1, (0, 0)),
        ] {
            assert_eq!(range(len, start, end, step), expected, "{len} [{start}:{end}:{step}]");
        }
    }
}

//! Random numbers inside a model. They differ from pass to pass, as the model's author wanted, and are the same on every run of a program.

use crate::node::{Attributes, Node};
use crate::ops::constant::sizes;
use crate::value::{MOST_ELEMENTS, Run, one, within};
use sconce_tensor_core::{Result, Rng};
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of passes that drew, so that each has a stream of its own.
#[derive(Debug, Default)]
pub(crate) struct Draws(AtomicU64);

impl Draws {
    /// The stream of the next draw.
    pub(crate) fn next(&self) -> Rng {
        Rng::new(self.0.fetch_add(1, Ordering::Relaxed)).stream("onnx")
    }
}

pub(super) fn maker(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    let normal = node.op.starts_with("RandomNormal");
    let (mean, scale) = if normal { (a.float("mean", 0.0)?, a.float("scale", 1.0)?) } else { (0.0, 1.0) };
    let (low, high) = if normal { (0.0, 1.0) } else { (a.float("low", 0.0)?, a.float("high", 1.0)?) };
    if low >= high || scale < 0.0 {
        return Err(node.error(format!("there is no number from {low} to {high}, or its scale {scale} is negative")));
    }
    a.float("seed", 0.0)?;
    a.int("dtype", 1)?;
    let shape = a.ints("shape")?.map(|s| sizes(&s)).transpose()?;
    Ok(one(move |args| {
        let shape = shape.clone().map_or_else(|| args.need(0).map(|v| v.shape().to_vec()), Ok)?;
        within(&shape, MOST_ELEMENTS)?;
        let (rng, c) = (args.context.draws.next(), args.context);
        Ok(if normal {
            rng.normal(shape, mean, scale, c.dtype, &c.device)?
        } else {
            rng.uniform(shape, low..high, c.dtype, &c.device)?
        }
        .into())
    }))
}

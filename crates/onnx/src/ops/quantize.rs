//! Numbers of 8 bits with a scale and a zero point.

use super::elementwise::round_even;
use crate::node::{Attributes, Node, axis};
use crate::value::{Args, Run, Value, one};
use candle_core::Tensor;
use sconce_tensor_core::{Error, Result};

pub(super) fn maker(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    let along = a.int("axis", 1)?;
    a.flag("saturate", true)?;
    if a.int("block_size", 0)? != 0 || a.int("output_dtype", 0)? != 0 || a.int("precision", 0)? != 0 {
        return Err(node.error("block_size, output_dtype and precision are not supported"));
    }
    let quantize = node.op == "QuantizeLinear";
    Ok(one(move |args| {
        let rank = args.need(0)?.shape().len();
        // One scale for each place along the axis, or one for all.
        let place = |t: Tensor| -> Result<Tensor> {
            if t.elem_count() == 1 {
                return Ok(t.reshape(vec![1; rank])?);
            }
            let mut shape = vec![1; rank];
            shape[axis(along, rank)?] = t.elem_count();
            Ok(t.reshape(shape)?)
        };
        let scale = place(args.tensor(1)?)?;
        let zero = args.host(2)?;
        let (lo, hi) = match &zero {
            None => (0, 255),
            Some(z) => z.range().ok_or_else(|| {
                Error::value("zero point", "integers of 16 bits are not supported, only those of 8 bits")
            })?,
        };
        let zero = match zero {
            Some(z) => place(z.tensor(args.context.dtype, &args.context.device)?)?,
            None => scale.zeros_like()?,
        };
        if quantize {
            let x = args.tensor(0)?.detach();
            let y = round_even(&x.broadcast_div(&scale)?)?.broadcast_add(&zero)?;
            return Ok(Value::Whole(y.maximum(lo as f64)?.minimum(hi as f64)?));
        }
        Ok(whole(args)?.broadcast_sub(&zero)?.broadcast_mul(&scale)?.into())
    }))
}

fn whole(args: &Args<'_>) -> Result<Tensor> {
    match args.need(0)? {
        Value::Whole(t) => Ok(t.clone()),
        Value::Array(a) if !a.is_float() => a.tensor(args.context.dtype, &args.context.device),
        v => Err(Error::value("inputs", format!("integers were expected, but these are {}", v.kind()))),
    }
}

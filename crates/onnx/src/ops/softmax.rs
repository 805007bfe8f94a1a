//! Softmax and its logarithm.

use crate::node::{Attributes, Node, axis};
use crate::value::{Run, one};
use sconce_tensor_core::{Result, ops};

pub(super) fn maker(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    // Before operator set 13 all axes from this one on are normalised together.
    let together = node.opset < 13;
    let at = a.int("axis", if together { 1 } else { -1 })?;
    let log = node.op == "LogSoftmax";
    Ok(one(move |args| {
        let x = args.tensor(0)?;
        let (rank, dims) = (x.rank(), x.dims().to_vec());
        let at = axis(at, rank)?;
        let last = if together {
            let rows: usize = dims[..at].iter().product();
            x.contiguous()?.reshape((rows, dims[at..].iter().product::<usize>()))?
        } else {
            x.transpose(at, rank - 1)?.contiguous()?
        };
        let y = if log { ops::log_softmax(&last)? } else { ops::softmax(&last)? };
        let y = if together { y.reshape(dims)? } else { y.transpose(at, rank - 1)?.contiguous()? };
        Ok(y.into())
    }))
}

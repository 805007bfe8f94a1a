//! Matrix products.

use crate::node::{Attributes, Node};
use crate::value::{MOST_ELEMENTS, Run, one, within};
use candle_core::Tensor;
use sconce_tensor_core::{Error, Result, ops};

/// `Gemm`: `alpha A B + beta C`, either matrix transposed or not.
pub(super) fn gemm(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    let (alpha, beta) = (a.float("alpha", 1.0)?, a.float("beta", 1.0)?);
    let (ta, tb) = (a.flag("transA", false)?, a.flag("transB", false)?);
    // Before operator set 7 it said whether C is broadcast; it always is.
    a.flag("broadcast", true)?;
    let _ = node;
    Ok(one(move |args| {
        let (x, w, c) = (args.tensor(0)?, args.tensor(1)?, args.optional(2)?);
        for (name, t) in [("A", &x), ("B", &w)] {
            if t.rank() != 2 {
                return Err(Error::shape(name, "(rows, columns)", t.dims()));
            }
        }
        let x = if ta { x.t()? } else { x };
        let x = if alpha == 1.0 { x } else { (x * alpha)? };
        let columns = w.dims()[usize::from(!tb)];
        let bias = c.as_ref().filter(|c| beta == 1.0 && c.dims() == [columns]);
        if bias.is_some() || c.is_none() {
            let w = if tb { w } else { w.t()? };
            return Ok(ops::linear(&x, &w, bias)?.into());
        }
        let y = if tb { ops::linear(&x, &w, None)? } else { ops::matmul(&x, &w)? };
        Ok(match c {
            Some(c) => y.broadcast_add(&(c * beta)?)?,
            None => y,
        }
        .into())
    }))
}

/// `MatMul` with the rules of numpy.
pub(super) fn matmul(_: &Node, _: &Attributes<'_>) -> Result<Run> {
    Ok(one(|args| Ok(product(&args.tensor(0)?, &args.tensor(1)?)?.into())))
}

/// A product with a matrix of weights, plus a vector of them.
pub(crate) fn affine() -> Run {
    one(|args| {
        let (x, w, b) = (args.tensor(0)?, args.tensor(1)?, args.tensor(2)?);
        if x.rank() < 2 || w.rank() != 2 || b.dims() != [w.dim(1)?] {
            return Ok(product(&x, &w)?.broadcast_add(&b)?.into());
        }
        Ok(ops::linear(&x, &w.t()?, Some(&b))?.into())
    })
}

fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(match (a.rank(), b.rank()) {
        (0, _) | (_, 0) => return Err(Error::value("inputs", "a matrix product of a single number")),
        (1, 1) => ops::matmul(&a.unsqueeze(0)?, &b.unsqueeze(1)?)?.squeeze(1)?.squeeze(0)?,
        (1, _) => {
            let y = product(&a.unsqueeze(0)?, b)?;
            y.squeeze(y.rank() - 2)?
        }
        (_, 1) => {
            let y = product(a, &b.unsqueeze(1)?)?;
            y.squeeze(y.rank() - 1)?
        }
        (2, 2) => {
            within(&[a.dim(0)?, b.dim(1)?], MOST_ELEMENTS)?;
            ops::matmul(a, b)?
        }
        (r, s) => {
            let lead = crate::array::broadcast(&a.dims()[..r - 2], &b.dims()[..s - 2])?;
            within(&[lead.as_slice(), &[a.dim(r - 2)?, b.dim(s - 1)?]].concat(), MOST_ELEMENTS)?;
            ops::batched_matmul(a, b)?
        }
    })
}

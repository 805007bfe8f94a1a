//! Pools: the largest or the mean of windows, or of whole maps.

use super::window::{STILL, Window, back, planar, two};
use crate::node::{Attributes, Node};
use crate::value::{MOST_ELEMENTS, MOST_ON_HOST, Run, one, within};
use sconce_tensor_core::Result;
use sconce_tensor_core::ops::{self, Pool2dSpec};

/// `MaxPool` and `AveragePool`.
pub(super) fn pool(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    node.only(1)?;
    let max = node.op == "MaxPool";
    let window = Window::read(a)?;
    let kernel = a.ints("kernel_shape")?.ok_or_else(|| node.error("its attribute `kernel_shape` is missing"))?;
    let kernel = a.check("kernel_shape", &kernel, kernel.len(), 1)?;
    let ceil_mode = a.flag("ceil_mode", false)?;
    let count_include_pad = !max && a.flag("count_include_pad", false)?;
    if max && a.int("storage_order", 0)? != 0 {
        return Err(node.error("storage_order 1 is not supported"));
    }
    Ok(one(move |args| {
        let (x, line) = planar(&args.tensor(0)?)?;
        let along = window.along(&x.dims()[if line { 3 } else { 2 }..], &kernel)?;
        let (h, w) = two(&along, STILL)?;
        let k = two(&kernel, 1)?;
        let (h, w) = (h.within(x.dim(2)?, k.0), w.within(x.dim(3)?, k.1));
        within(&[x.dim(1)?, x.dim(2)? + h.begin + h.end, x.dim(3)? + w.begin + w.end], MOST_ELEMENTS)?;
        within(&[k.0, k.1], MOST_ON_HOST)?;
        let spec = Pool2dSpec {
            kernel: k,
            stride: (h.stride, w.stride),
            padding: (h.begin, w.begin),
            padding_end: Some((h.end, w.end)),
            dilation: (h.dilation, w.dilation),
            ceil_mode,
            count_include_pad,
        };
        let y = if max { ops::max_pool2d(&x, spec)? } else { ops::avg_pool2d(&x, spec)? };
        Ok(back(y, line)?.into())
    }))
}

/// `GlobalAveragePool` and `GlobalMaxPool`.
pub(super) fn global(node: &Node, _: &Attributes<'_>) -> Result<Run> {
    let max = node.op == "GlobalMaxPool";
    Ok(one(move |args| {
        let (x, line) = planar(&args.tensor(0)?)?;
        let y = if max { ops::adaptive_max_pool2d(&x, (1, 1))? } else { ops::adaptive_avg_pool2d(&x, (1, 1))? };
        Ok(back(y, line)?.into())
    }))
}

//! Activations that are worth a kernel of their own.

use super::cpu::element::{Element, dispatch};
use super::cpu::elementwise;
use super::own_kernels;
use crate::Result;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor, WithDType};

/// `max(x, 0)`, element by element. The derivative at 0 is 0 (as in PyTorch; candle's own is 1).
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// candle's only.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    if own_kernels(x) {
        return Ok(x.contiguous()?.apply_op1(Relu)?);
    }
    let on = x.gt(0.0)?.to_dtype(x.dtype())?;
    Ok((x * on)?)
}

struct Relu;
/// y, g -> g where y > 0. Piecewise constant in y, linear in g.
struct Mask;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "sconce-relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        dispatch!(x, "relu", T => Ok((T::to_cpu_storage_owned(elementwise::relu(T::slice(x, l)?)), l.shape().clone())))
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(y.detach().apply_op2(&g.contiguous()?, Mask)?))
    }
}

impl CustomOp2 for Mask {
    fn name(&self) -> &'static str {
        "sconce-relu-mask"
    }

    fn cpu_fwd(
        &self,
        y: &CpuStorage,
        yl: &Layout,
        g: &CpuStorage,
        gl: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        dispatch!(y, "relu", T => {
            let out = elementwise::relu_mask(T::slice(y, yl)?, T::slice(g, gl)?);
            Ok((T::to_cpu_storage_owned(out), gl.shape().clone()))
        })
    }

    fn bwd(
        &self,
        y: &Tensor,
        _g: &Tensor,
        _res: &Tensor,
        u: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((None, Some(y.apply_op2(&u.contiguous()?, Self)?)))
    }
}

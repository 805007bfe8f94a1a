//! Matrix products and the linear map.

use super::conv::wanted;
use super::cpu::element::{Element, dispatch};
use super::cpu::matmul::{Mat, parallel_product};
use super::own_kernels;
use crate::{Error, Result};
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, WithDType};

/// The product of two matrices, `c[i,j] = sum_p a[i,p] b[p,j]`.
///
/// A row of the result has the same bytes whatever other rows stand beside it.
///
/// # Shapes
/// `a` (M, K), `b` (K, N) -> (M, N).
///
/// # Errors
/// Ranks other than 2, inner sizes that differ, an empty axis.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    product(a, b, Product { ta: false, tb: false })
}

/// The affine map `y = x weight^T + bias` over the last axis.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use sconce_tensor_core::ops::linear;
/// let x = Tensor::new(&[[1f32, 2.0]], &Device::Cpu)?;
/// let w = Tensor::new(&[[3f32, 4.0], [5.0, 6.0]], &Device::Cpu)?;
/// assert_eq!(linear(&x, &w, None)?.to_vec2::<f32>()?, [[11.0, 17.0]]);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
///
/// # Shapes
/// `x` (..., I), `weight` (O, I), `bias` (O,) -> (..., O).
///
/// # Errors
/// Shapes that do not fit each other, an empty axis.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (Some((&last, lead)), &[o, i]) = (x.dims().split_last(), weight.dims()) else {
        return Err(Error::shape("linear weight", "(O, I) and an input (..., I)", weight.dims()));
    };
    if last != i {
        return Err(Error::shape("linear input", format!("(..., {i})"), x.dims()));
    }
    if let Some(b) = bias.filter(|b| b.dims() != [o]) {
        return Err(Error::shape("linear bias", format!("({o},)"), b.dims()));
    }
    let flat = if lead.len() == 1 { x.clone() } else { x.reshape(((), i))? };
    let mut y = product(&flat, weight, Product { ta: false, tb: true })?;
    if let Some(b) = bias {
        y = y.broadcast_add(b)?;
    }
    Ok(if lead.len() == 1 { y } else { y.reshape([lead, &[o]].concat())? })
}

/// a, b -> a' b', where a' is a or its transpose, and b' likewise. Its derivatives are of its own kind.
#[derive(Clone, Copy)]
struct Product {
    ta: bool,
    tb: bool,
}

impl Product {
    fn sizes(self, a: &[usize], b: &[usize]) -> Option<(usize, usize, usize)> {
        let (&[a0, a1], &[b0, b1]) = (a, b) else { return None };
        let (m, k) = if self.ta { (a1, a0) } else { (a0, a1) };
        let (kb, n) = if self.tb { (b1, b0) } else { (b0, b1) };
        (k == kb && m * n * k > 0).then_some((m, n, k))
    }

    fn apply(self, a: &Tensor, b: &Tensor) -> candle_core::Result<Tensor> {
        a.contiguous()?.apply_op2(&b.contiguous()?, self)
    }
}

fn product(a: &Tensor, b: &Tensor, op: Product) -> Result<Tensor> {
    if op.sizes(a.dims(), b.dims()).is_none() {
        let expected = format!("matrices whose inner sizes agree, none of them 0; the other is {:?}", b.dims());
        return Err(Error::shape("matrix product", expected, a.dims()));
    }
    Ok(if own_kernels(a) {
        op.apply(a, b)?
    } else {
        let (a, b) = (if op.ta { a.t()? } else { a.clone() }, if op.tb { b.t()? } else { b.clone() });
        a.matmul(&b)?
    })
}

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "sconce-matmul"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let Some((m, n, k)) = self.sizes(al.dims(), bl.dims()) else {
            candle_core::bail!("matmul: shapes {:?} and {:?} do not fit", al.dims(), bl.dims())
        };
        dispatch!(a, "matmul", T => {
            let (am, bm) = (Mat::rows(T::slice(a, al)?, al.dims()[1]), Mat::rows(T::slice(b, bl)?, bl.dims()[1]));
            let (am, bm) = (if self.ta { am.t() } else { am }, if self.tb { bm.t() } else { bm });
            let mut c = vec![T::ZERO; m * n];
            parallel_product((m, n, k), &mut c, am, bm);
            Ok((T::to_cpu_storage_owned(c), (m, n).into()))
        })
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _c: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let Self { ta, tb } = *self;
        let to_a = || if ta { Self { ta: tb, tb: true }.apply(b, g) } else { Self { ta: false, tb: !tb }.apply(g, b) };
        let to_b = || if tb { Self { ta: true, tb: ta }.apply(g, a) } else { Self { ta: !ta, tb: false }.apply(a, g) };
        Ok((wanted(a, to_a)?, wanted(b, to_b)?))
    }
}

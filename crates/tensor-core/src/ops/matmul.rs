//! Matrix products and the linear map.

use super::cpu::element::Element;
use super::cpu::elementwise;
use super::cpu::matmul::{Mat, parallel_product};
use super::kernel::{Kernel, apply1, apply2, apply3, wanted};
use super::own_kernels;
use crate::{Error, Result};
use candle_core::{Shape, Tensor};

/// The product of two matrices, `c[i,j] = sum_p a[i,p] b[p,j]`.
///
/// A row of the result is bit-identical for every number of rows.
///
/// # Shapes
/// `a` (M, K), `b` (K, N) -> (M, N).
///
/// # Errors
/// Ranks other than 2 (see [`batched_matmul`](super::batched_matmul)), inner sizes that differ, an empty axis.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if let Some(t) = [a, b].into_iter().find(|t| t.rank() != 2) {
        return Err(Error::shape("matrix product", "a matrix; for more axes see batched_matmul", t.dims()));
    }
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
    let forward = Product { ta: false, tb: true };
    if let (Some(b), true) = (bias, own_kernels(x) && x.elem_count() * o > 0) {
        return Ok(apply3(forward, x, weight, b)?);
    }
    let y = if own_kernels(x) || lead.len() == 1 {
        product(x, weight, forward)?
    } else {
        product(&x.reshape(((), i))?, weight, forward)?.reshape([lead, &[o]].concat())?
    };
    Ok(match bias {
        Some(b) => y.broadcast_add(b)?,
        None => y,
    })
}

/// a, b -> a' b', where a' is a or its transpose, and b' likewise. Its derivatives are products of the same kind. All axes but the
/// last are the rows of a matrix; those of an `a` that is not transposed stay in the result, so that no reshaping by candle, which adds
/// gradients to zeros, is needed around it.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub(super) ta: bool,
    pub(super) tb: bool,
}

impl Product {
    fn sizes(self, a: &[usize], b: &[usize]) -> Option<(usize, usize, usize)> {
        let ((a0, a1), (b0, b1)) = (rows(a)?, rows(b)?);
        let (m, k) = if self.ta { (a1, a0) } else { (a0, a1) };
        let (kb, n) = if self.tb { (b1, b0) } else { (b0, b1) };
        (k == kb && m * n * k > 0).then_some((m, n, k))
    }
}

/// The rows and columns of the matrix that a tensor is, all axes but the last being its rows.
fn rows(dims: &[usize]) -> Option<(usize, usize)> {
    let (width, lead) = dims.split_last()?;
    Some((lead.iter().product(), *width))
}

pub(super) fn product(a: &Tensor, b: &Tensor, op: Product) -> Result<Tensor> {
    if op.sizes(a.dims(), b.dims()).is_none() {
        let expected = format!("matrices whose inner sizes agree, none of them 0; the other is {:?}", b.dims());
        return Err(Error::shape("matrix product", expected, a.dims()));
    }
    Ok(if own_kernels(a) {
        apply2(op, a, b)?
    } else {
        // On CUDA candle multiplies contiguous matrices and their transposes only.
        let (a, b) = (a.contiguous()?, b.contiguous()?);
        let (a, b) = (if op.ta { a.t()? } else { a }, if op.tb { b.t()? } else { b });
        a.matmul(&b)?
    })
}

impl Product {
    fn multiply<T: Element>(
        self,
        [a, b]: [&[T]; 2],
        [s, t]: [&Shape; 2],
        bias: Option<&[T]>,
    ) -> candle_core::Result<(Vec<T>, Shape)> {
        let Some((m, n, k)) = self.sizes(s.dims(), t.dims()) else {
            candle_core::bail!("matmul: shapes {s:?} and {t:?} do not fit")
        };
        let shape = match s.dims().split_last() {
            Some((_, lead)) if !self.ta => [lead, &[n]].concat().into(),
            _ => (m, n).into(),
        };
        let (a, b) = (Mat::rows(a, if self.ta { m } else { k }), Mat::rows(b, if self.tb { k } else { n }));
        let (a, b) = (if self.ta { a.t() } else { a }, if self.tb { b.t() } else { b });
        Ok((parallel_product((m, n, k), a, b, bias), shape))
    }
}

impl Kernel<3> for Product {
    const NAME: &'static str = "sconce-linear";

    fn forward<T: Element>(
        &self,
        [a, b, c]: [&[T]; 3],
        [s, t, _]: [&Shape; 3],
    ) -> candle_core::Result<(Vec<T>, Shape)> {
        self.multiply([a, b], [s, t], Some(c))
    }

    fn backward(&self, [a, b, c]: [&Tensor; 3], y: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        let [ga, gb] = Kernel::<2>::backward(self, [a, b], y, g)?;
        Ok([ga, gb, wanted(c, || apply1(RowSum, g))?])
    }
}

/// Those gradients of [`linear`] of matrices that are needed, from the gradient to its result.
pub(super) fn linear_gradients([x, w, b]: [&Tensor; 3], g: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
    Kernel::<3>::backward(&Product { ta: false, tb: true }, [x, w, b], g, g)
}

/// (..., width) -> the sum of its rows.
struct RowSum;

impl Kernel<1> for RowSum {
    const NAME: &'static str = "sconce-row-sum";

    fn forward<T: Element>(&self, [x]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        let width = shape.dims().last().copied().unwrap_or(1);
        Ok((elementwise::row_sum(x, width).into_iter().map(T::of_f64).collect(), width.into()))
    }

    fn backward(&self, [x]: [&Tensor; 1], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(g.broadcast_as(x.shape())?)])
    }
}

impl Kernel<2> for Product {
    const NAME: &'static str = "sconce-matmul";

    fn forward<T: Element>(&self, args: [&[T]; 2], shapes: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        self.multiply(args, shapes, None)
    }

    fn backward(&self, [a, b]: [&Tensor; 2], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        let Self { ta, tb } = *self;
        let to_a = || if ta { apply2(Self { ta: tb, tb: true }, b, g) } else { apply2(Self { ta, tb: !tb }, g, b) };
        let to_b = || if tb { apply2(Self { ta: true, tb: ta }, g, a) } else { apply2(Self { ta: !ta, tb }, a, g) };
        Ok([wanted(a, to_a)?, wanted(b, to_b)?])
    }
}

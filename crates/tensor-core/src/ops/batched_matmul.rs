//! Products of many matrices.

use super::cpu::element::Element;
use super::cpu::matmul::{Mat, batch_product};
use super::kernel::{Kernel, apply2, wanted};
use super::matmul::{Product, product};
use super::own_kernels;
use crate::{Error, Result};
use candle_core::{Shape, Tensor};

/// The products of matrices `c[.., i, j] = sum_p a[.., i, p] b[.., p, j]`. The leading axes are broadcast: from the last to the
/// first they are equal, or one of them is 1 or missing.
///
/// A single `b` for all `a` costs one large product. A row of the result is bit-identical for every number of matrices and of
/// rows. A factor that is the transpose of a contiguous tensor is not copied.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use sconce_tensor_core::ops::batched_matmul;
/// let a = Tensor::ones((5, 1, 2, 3), DType::F32, &Device::Cpu)?;
/// let b = Tensor::ones((4, 3, 6), DType::F32, &Device::Cpu)?;
/// let c = batched_matmul(&a, &b)?;
/// assert_eq!(c.dims(), [5, 4, 2, 6]);
/// assert_eq!(c.max_all()?.to_scalar::<f32>()?, 3.0);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
///
/// # Shapes
/// `a` (..., M, K), `b` (..., K, N) -> (..., M, N).
///
/// # Errors
/// Ranks below 2, inner sizes that differ, leading axes that do not fit, an empty axis.
pub fn batched_matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let Some(lead) = Batched { ta: false, tb: false }.sizes(a.dims(), b.dims()).map(|s| s.lead) else {
        let expected = format!(
            "(..., M, K) for the other factor (..., K, N) = {:?}, leading axes that can be broadcast, no axis of 0",
            b.dims()
        );
        return Err(Error::shape("batched_matmul", expected, a.dims()));
    };
    if !own_kernels(a) {
        return Ok(a.broadcast_matmul(b)?);
    }
    let (b, tb) = untransposed(b)?;
    let [.., b0, b1] = *b.dims() else { return Err(Error::shape("batched_matmul", "(..., K, N)", b.dims())) };
    if b.elem_count() == b0 * b1 {
        let [.., m, k] = *a.dims() else { return Err(Error::shape("batched_matmul", "(..., M, K)", a.dims())) };
        let y = product(&a.reshape(((), k))?, &b.reshape((b0, b1))?, Product { ta: false, tb })?;
        let n = if tb { b0 } else { b1 };
        return Ok(y.reshape([&lead[..], &[m, n]].concat())?);
    }
    let (a, ta) = untransposed(a)?;
    Ok(apply2(Batched { ta, tb }, &a, &b)?)
}

/// The tensor and `false`, or if only its transpose is contiguous, that and `true`.
fn untransposed(t: &Tensor) -> Result<(Tensor, bool)> {
    if !t.is_contiguous() {
        let turned = t.t()?;
        if turned.is_contiguous() {
            return Ok((turned, true));
        }
    }
    Ok((t.clone(), false))
}

/// a, b -> a' b' for each pair of matrices, where a' is a or its transpose, and b' likewise. Its derivatives are products of
/// the same kind, summed over the axes along which a factor was broadcast.
#[derive(Clone, Copy)]
struct Batched {
    ta: bool,
    tb: bool,
}

/// The sizes of the products, and the leading axes of the result.
struct Sizes {
    m: usize,
    n: usize,
    k: usize,
    lead: Vec<usize>,
}

impl Batched {
    fn sizes(self, a: &[usize], b: &[usize]) -> Option<Sizes> {
        let ([a_lead @ .., a0, a1], [b_lead @ .., b0, b1]) = (a, b) else { return None };
        let (m, k) = if self.ta { (*a1, *a0) } else { (*a0, *a1) };
        let (kb, n) = if self.tb { (*b1, *b0) } else { (*b0, *b1) };
        let rank = a_lead.len().max(b_lead.len());
        let mut lead = Vec::with_capacity(rank);
        for i in 0..rank {
            lead.push(match (axis(a_lead, rank, i), axis(b_lead, rank, i)) {
                (x, y) if x == y => x,
                (1, y) => y,
                (x, 1) => x,
                _ => return None,
            });
        }
        (k == kb && m * n * k > 0 && lead.iter().all(|l| *l > 0)).then_some(Sizes { m, n, k, lead })
    }
}

/// Axis `i` of `rank` leading axes, 1 where it is missing.
fn axis(lead: &[usize], rank: usize, i: usize) -> usize {
    (i + lead.len()).checked_sub(rank).map_or(1, |i| lead[i])
}

/// For each matrix of the result, which matrix of a factor it takes.
fn sources(factor: &[usize], lead: &[usize]) -> Vec<usize> {
    let own = &factor[..factor.len() - 2];
    let mut all = vec![0];
    for (i, &len) in lead.iter().enumerate() {
        let mine = axis(own, lead.len(), i);
        all = all.into_iter().flat_map(|at| (0..len).map(move |j| at * mine + if mine > 1 { j } else { 0 })).collect();
    }
    all
}

/// The sum over the axes along which a factor of these sizes was broadcast.
fn unbroadcast(t: Tensor, dims: &[usize]) -> candle_core::Result<Tensor> {
    if t.dims() == dims {
        return Ok(t);
    }
    let lead = t.rank() - 2;
    let mut sum = t;
    for i in 0..lead {
        if axis(&dims[..dims.len() - 2], lead, i) == 1 && sum.dims()[i] > 1 {
            sum = sum.sum_keepdim(i)?;
        }
    }
    sum.reshape(dims)
}

impl Kernel<2> for Batched {
    const NAME: &'static str = "sconce-batched-matmul";

    fn forward<T: Element>(&self, [a, b]: [&[T]; 2], [s, t]: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        let Some(Sizes { m, n, k, lead }) = self.sizes(s.dims(), t.dims()) else {
            candle_core::bail!("batched_matmul: shapes {s:?} and {t:?} do not fit")
        };
        let pairs: Vec<_> = sources(s.dims(), &lead).into_iter().zip(sources(t.dims(), &lead)).collect();
        let left = |i: usize| {
            let a = Mat::rows(&a[i * m * k..][..m * k], if self.ta { m } else { k });
            if self.ta { a.t() } else { a }
        };
        let right = |i: usize| {
            let b = Mat::rows(&b[i * k * n..][..k * n], if self.tb { k } else { n });
            if self.tb { b.t() } else { b }
        };
        let y = batch_product((m, n, k), pairs.len(), |i| (left(pairs[i].0), right(pairs[i].1)));
        Ok((y, [&lead[..], &[m, n]].concat().into()))
    }

    fn backward(&self, [a, b]: [&Tensor; 2], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        let Self { ta, tb } = *self;
        let to_a = || {
            let full = if ta { apply2(Self { ta: tb, tb: true }, b, g) } else { apply2(Self { ta, tb: !tb }, g, b) };
            unbroadcast(full?, a.dims())
        };
        let to_b = || {
            let full = if tb { apply2(Self { ta: true, tb: ta }, g, a) } else { apply2(Self { ta: !ta, tb }, a, g) };
            unbroadcast(full?, b.dims())
        };
        Ok([wanted(a, to_a)?, wanted(b, to_b)?])
    }
}

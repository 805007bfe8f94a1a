//! Embedding: rows of a table by index.

use super::cpu::build::build;
use super::cpu::element::Element;
use super::kernel::{Kernel, apply1};
use super::{composed, own_kernels};
use crate::{Error, Result};
use candle_core::{DType, Shape, Tensor};
use std::sync::Arc;

/// Row `ids[..]` of `weight` for each index; the gradient sums over equal indices.
///
/// Differentiable in `weight`, twice.
///
/// # Shapes
/// `weight` (V, D), `ids` (...) of type u32 -> (..., D).
///
/// # Cost
/// The forward pass copies rows; the backward pass fills a table with zeros and adds rows to it.
///
/// # Errors
/// Another rank or type, an empty axis, an index that is not below V.
pub fn embedding(weight: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let &[rows, width] = weight.dims() else {
        return Err(Error::shape("embedding weight", "(V, D)", weight.dims()));
    };
    if ids.dtype() != DType::U32 || ids.elem_count() == 0 || rows * width == 0 {
        let expected = format!("(...) of u32, none of them 0, got {:?}", ids.dtype());
        return Err(Error::shape("embedding indices", expected, ids.dims()));
    }
    let list = ids.flatten_all()?.to_vec1::<u32>()?;
    if let Some((i, id)) = list.iter().enumerate().find(|(_, id)| **id as usize >= rows) {
        return Err(Error::value("embedding indices", format!("{id} at place {i} is not below the {rows} rows")));
    }
    if !own_kernels(weight) {
        return composed::embedding(weight, ids);
    }
    let shape = ids.dims().to_vec();
    Ok(apply1(Take(Arc::new(Index { list, shape, rows, width })), weight)?)
}

struct Index {
    list: Vec<u32>,
    /// Of the indices.
    shape: Vec<usize>,
    rows: usize,
    width: usize,
}

/// (V, D) -> (..., D).
struct Take(Arc<Index>);
/// (..., D) -> (V, D): the adjoint.
struct Put(Arc<Index>);

impl Kernel<1> for Take {
    const NAME: &'static str = "sconce-embedding";

    fn forward<T: Element>(&self, [table]: [&[T]; 1], _: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        let Index { list, shape, width, .. } = &*self.0;
        let mut out = Vec::with_capacity(list.len() * width);
        list.iter().for_each(|id| out.extend_from_slice(&table[*id as usize * width..][..*width]));
        Ok((out, [&shape[..], &[*width]].concat().into()))
    }

    fn backward(&self, _: [&Tensor; 1], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply1(Put(self.0.clone()), g)?)])
    }
}

impl Kernel<1> for Put {
    const NAME: &'static str = "sconce-embedding-adjoint";

    fn forward<T: Element>(&self, [g]: [&[T]; 1], _: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        let Index { list, rows, width, .. } = &*self.0;
        let mut table = build(rows * width, 1 << 16, |_, _| {});
        for (id, g) in list.iter().zip(g.chunks_exact(*width)) {
            table[*id as usize * width..][..*width].iter_mut().zip(g).for_each(|(t, g)| *t += *g);
        }
        Ok((table, (*rows, *width).into()))
    }

    fn backward(&self, _: [&Tensor; 1], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply1(Take(self.0.clone()), u)?)])
    }
}

//! Inner products of gradients, accumulated in f64.

use crate::{Error, Result};
use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use rayon::prelude::*;

/// Elements of each gradient in one piece of work: those of all tasks stay in the cache.
const BLOCK: usize = 2048;

/// Adds the inner products of one tensor per task to the upper triangle of the Gram matrix, row by row. The result does not depend
/// on the number of threads: blocks are fixed, and their sums are added in order.
pub(super) fn add_products(tensors: &[&Tensor], sums: &mut [f64]) -> Result<()> {
    // One type for all: f64 if one has it, f32 for f32 and the half precisions.
    let dtype = if tensors.iter().any(|t| t.dtype() == DType::F64) { DType::F64 } else { DType::F32 };
    let host = |t: &&Tensor| t.detach().to_device(&Device::Cpu)?.to_dtype(dtype)?.contiguous();
    let host = tensors.iter().map(host).collect::<candle_core::Result<Vec<Tensor>>>()?;
    let held: Vec<_> = host.iter().map(Tensor::storage_and_layout).collect();
    let storages = held.iter().map(|(storage, layout)| match (&**storage, layout.contiguous_offsets()) {
        (Storage::Cpu(s), Some((from, to))) => Ok((s, from..to)),
        _ => Err(Error::value("gradient", "is not contiguous on the host")),
    });
    let (mut narrow, mut wide) = (Vec::new(), Vec::new());
    for found in storages {
        match found? {
            (CpuStorage::F32(v), at) => narrow.push(&v[at]),
            (CpuStorage::F64(v), at) => wide.push(&v[at]),
            _ => return Err(Error::value("gradient", "is neither f32 nor f64")),
        }
    }
    accumulate(&narrow, sums);
    accumulate(&wide, sums);
    Ok(())
}

fn accumulate<T: Copy + Into<f64> + Sync>(rows: &[&[T]], sums: &mut [f64]) {
    let numbers = rows.first().map_or(0, |r| r.len());
    let block = |b: usize| -> Vec<f64> {
        let at = b * BLOCK..((b + 1) * BLOCK).min(numbers);
        let pairs = (0..rows.len()).flat_map(|i| (i..rows.len()).map(move |j| (i, j)));
        pairs.map(|(i, j)| dot(&rows[i][at.clone()], &rows[j][at.clone()])).collect()
    };
    let blocks: Vec<Vec<f64>> = (0..numbers.div_ceil(BLOCK)).into_par_iter().map(block).collect();
    for block in blocks {
        sums.iter_mut().zip(block).for_each(|(s, b)| *s += b);
    }
}

/// Eight partial sums, which the compiler keeps in vectors.
fn dot<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> f64 {
    let mut lanes = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(a, b)| (*a).into() * (*b).into()).sum();
    for (a, b) in a8.zip(b8) {
        for (l, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *l += (*a).into() * (*b).into();
        }
    }
    lanes.iter().sum::<f64>() + rest
}

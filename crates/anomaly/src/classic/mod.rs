//! Detectors without a network, one per file. They score in f64 on the host, on all threads.

pub(crate) mod copod;
pub(crate) mod ecod;
pub(crate) mod hbos;
pub(crate) mod isolation_forest;
pub(crate) mod lof;
pub(crate) mod mahalanobis;
pub(crate) mod nearest;
pub(crate) mod one_class_svm;
pub(crate) mod pca;
mod spectrum;
mod tails;

pub use copod::Copod;
pub use ecod::Ecod;
pub use hbos::{Hbos, HbosConfig};
pub use isolation_forest::{IsolationForest, IsolationForestConfig};
pub use lof::{Lof, LofConfig};
pub use mahalanobis::{Mahalanobis, MahalanobisConfig};
pub use nearest::{Knn, KnnConfig, KnnScore};
pub use one_class_svm::{OneClassSvm, OneClassSvmConfig};
pub use pca::{Pca, PcaConfig, PcaScore};

use crate::Result;
use crate::rows::{BLOCK, Rows};
use candle_core::{Device, Tensor};
use rayon::prelude::*;

/// Scores row by row.
fn score_rows(x: &Tensor, width: usize, f: impl Fn(&[f64]) -> f64 + Send + Sync) -> Result<Tensor> {
    score_blocks(x, width, |rows| rows.chunks_exact(width).map(&f).collect())
}

/// Contributions row by row, one for each feature.
fn part_rows(x: &Tensor, width: usize, f: impl Fn(&[f64]) -> Vec<f64> + Send + Sync) -> Result<Option<Tensor>> {
    let parts = score_blocks(x, width, |rows| rows.chunks_exact(width).flat_map(&f).collect())?;
    Ok(Some(parts.reshape(((), width))?))
}

/// Scores several rows at a time.
fn score_blocks(x: &Tensor, width: usize, f: impl Fn(&[f64]) -> Vec<f64> + Send + Sync) -> Result<Tensor> {
    let mut scores = Vec::with_capacity(x.dims().first().copied().unwrap_or(0));
    for block in Rows::blocks(x, BLOCK)? {
        let (_, rows) = block?;
        rows.require_width(width)?;
        // A few blocks per thread.
        let each = rows.len().div_ceil(4 * rayon::current_num_threads()) * width;
        scores.par_extend(rows.values().par_chunks(each).flat_map_iter(&f));
    }
    column(scores)
}

/// A vector as a tensor.
fn column(values: Vec<f64>) -> Result<Tensor> {
    let n = values.len();
    Ok(Tensor::from_vec(values, n, &Device::Cpu)?)
}

/// Values in row-major order as a matrix of `width` columns.
fn matrix(values: &[f64], width: usize) -> Result<Tensor> {
    Ok(Tensor::from_slice(values, (values.len() / width.max(1), width), &Device::Cpu)?)
}

//! Detectors without a network, one a file; they score in f64 on the host, over all threads.

mod copod;
mod ecod;
mod hbos;
mod isolation_forest;
mod lof;
mod mahalanobis;
mod nearest;
mod one_class_svm;
mod pca;
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
pub use pca::{Pca, PcaConfig};

use crate::rows::{BLOCK, Rows};
use crate::{Detector, Loaded, Result};
use candle_core::{Device, Tensor};
use rayon::prelude::*;

/// The detector of a name from what was saved.
pub(crate) fn restore(name: &str, from: &Loaded) -> Option<Result<Box<dyn Detector>>> {
    Some(match name {
        "ecod" => ecod::restore(from),
        "copod" => copod::restore(from),
        "hbos" => hbos::restore(from),
        "isolation-forest" => isolation_forest::restore(from),
        "knn" => nearest::restore(from),
        "lof" => lof::restore(from),
        "mahalanobis" => mahalanobis::restore(from),
        "one-class-svm" => one_class_svm::restore(from),
        "pca" => pca::restore(from),
        _ => return None,
    })
}

/// A score for each row.
fn score_rows(x: &Tensor, width: usize, f: impl Fn(&[f64]) -> f64 + Send + Sync) -> Result<Tensor> {
    score_blocks(x, width, |rows| rows.chunks_exact(width).map(&f).collect())
}

/// Scores of some rows at a time.
fn score_blocks(x: &Tensor, width: usize, f: impl Fn(&[f64]) -> Vec<f64> + Send + Sync) -> Result<Tensor> {
    let mut scores = Vec::with_capacity(x.dims().first().copied().unwrap_or(0));
    for block in Rows::blocks(x, BLOCK)? {
        let (_, rows) = block?;
        rows.require_width(width)?;
        // A few blocks a thread.
        let each = rows.len().div_ceil(4 * rayon::current_num_threads()) * width;
        scores.par_extend(rows.values().par_chunks(each).flat_map_iter(&f));
    }
    column(scores)
}

/// Numbers as a tensor.
fn column(values: Vec<f64>) -> Result<Tensor> {
    let n = values.len();
    Ok(Tensor::from_vec(values, n, &Device::Cpu)?)
}

/// Numbers as a matrix of rows of `width`.
fn matrix(values: &[f64], width: usize) -> Result<Tensor> {
    Ok(Tensor::from_slice(values, (values.len() / width.max(1), width), &Device::Cpu)?)
}

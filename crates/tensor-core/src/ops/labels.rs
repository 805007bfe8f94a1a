//! Labels and the rows of logits or log-probabilities that they select from.

use crate::{Error, Result};
use candle_core::{DType, Tensor, TensorId};
use std::cell::Cell;

/// The sizes (N, K) of a matrix of logits.
pub(super) fn rows(logits: &Tensor) -> Result<(usize, usize)> {
    match *logits.dims() {
        [n, k] if n * k > 0 => Ok((n, k)),
        ref got => Err(Error::shape("logits", "(N, K), neither of them 0", got)),
    }
}

/// The labels on the host, each checked to be below `k`.
pub(super) fn check_labels(labels: &Tensor, n: usize, k: usize) -> Result<Vec<u32>> {
    if labels.dims() != [n] || labels.dtype() != DType::U32 {
        return Err(Error::shape("labels", format!("({n},) of u32, got {:?}", labels.dtype()), labels.dims()));
    }
    let labels = labels.to_vec1::<u32>()?;
    match labels.iter().enumerate().find(|(_, y)| **y as usize >= k) {
        Some((i, y)) => Err(Error::value("labels", format!("label {y} at row {i} is not below the {k} classes"))),
        None => Ok(labels),
    }
}

thread_local! {
    /// The labels that were checked last on another device, and against how many classes.
    static CHECKED: Cell<Option<(TensorId, usize)>> = const { Cell::new(None) };
}

/// [`check_labels`] without the labels. On another device than the CPU, the copy to the host waits for all that the device has still to
/// do, so labels that were checked last are not checked again: an attack asks with the same labels at every step.
fn require_labels(labels: &Tensor, n: usize, k: usize) -> Result<()> {
    let this = Some((labels.id(), k));
    if labels.device().is_cpu() || labels.is_variable() {
        return check_labels(labels, n, k).map(drop);
    }
    if CHECKED.get() != this || labels.dims() != [n] {
        check_labels(labels, n, k)?;
        CHECKED.set(this);
    }
    Ok(())
}

/// The negative log-likelihood of each row, `-log_prob[n, label[n]]`.
///
/// # Shapes
/// `log_prob` (N, K), `labels` (N,) of type u32 -> (N,).
///
/// # Errors
/// Shapes that do not fit, or a label that is not below K.
pub fn nll(log_prob: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let (n, k) = rows(log_prob)?;
    require_labels(labels, n, k)?;
    // On CUDA candle gathers from contiguous tensors only.
    Ok(log_prob.contiguous()?.gather(&labels.contiguous()?.unsqueeze(1)?, 1)?.squeeze(1)?.neg()?)
}

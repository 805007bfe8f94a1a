//! Log-softmax and the losses of classification.

use crate::{Error, Result};
use candle_core::{D, DType, Tensor};

/// `z - log sum_k exp z_k` over the last axis, shifted by the maximum so that nothing overflows.
///
/// # Shapes
/// (..., K) -> (..., K).
///
/// # Errors
/// A scalar, or an empty last axis.
pub fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    if logits.dims().last().is_none_or(|&k| k == 0) {
        return Err(Error::shape("log_softmax input", "(..., K) with K >= 1", logits.dims()));
    }
    // The shift cancels, so its gradient does too: it must not enter the graph.
    let shifted = logits.broadcast_sub(&logits.detach().max_keepdim(D::Minus1)?)?;
    let lse = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    Ok(shifted.broadcast_sub(&lse)?)
}

fn rows(logits: &Tensor) -> Result<(usize, usize)> {
    match *logits.dims() {
        [n, k] if n * k > 0 => Ok((n, k)),
        ref got => Err(Error::shape("logits", "(N, K), neither of them 0", got)),
    }
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
    if labels.dims() != [n] || labels.dtype() != DType::U32 {
        return Err(Error::shape("labels", format!("({n},) of u32, got {:?}", labels.dtype()), labels.dims()));
    }
    if let Some((i, y)) = labels.to_vec1::<u32>()?.into_iter().enumerate().find(|&(_, y)| y as usize >= k) {
        return Err(Error::value("labels", format!("label {y} at row {i} is not below the {k} classes")));
    }
    Ok(log_prob.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?.neg()?)
}

/// The cross-entropy with class indices of each row, `-log softmax(logits)[n, label[n]]`; the caller
/// takes the mean (training) or the sum (attacks, whose gradients must not depend on the batch).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use sconce_tensor_core::ops::cross_entropy;
/// let z = Tensor::new(&[[0f64, 0.0], [2.0, 0.0]], &Device::Cpu)?;
/// let y = Tensor::new(&[0u32, 0], &Device::Cpu)?;
/// let loss = cross_entropy(&z, &y)?.to_vec1::<f64>()?;
/// assert!((loss[0] - 2f64.ln()).abs() < 1e-12 && (loss[1] - (1.0 + (-2f64).exp()).ln()).abs() < 1e-12);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
///
/// # Shapes
/// `logits` (N, K), `labels` (N,) of type u32 -> (N,).
///
/// # Errors
/// As [`nll`].
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    nll(&log_softmax(logits)?, labels)
}

/// The cross-entropy with soft labels of each row, `-sum_k target[n,k] log softmax(logits)[n,k]`.
/// Targets are used as they are: rows are meant to sum to 1.
///
/// # Shapes
/// `logits` and `target` (N, K) -> (N,).
///
/// # Errors
/// Shapes that differ or are not (N, K).
pub fn soft_cross_entropy(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    let (n, k) = rows(logits)?;
    if target.dims() != [n, k] {
        return Err(Error::shape("soft labels", format!("({n}, {k})"), target.dims()));
    }
    Ok((log_softmax(logits)? * target)?.sum(D::Minus1)?.neg()?)
}

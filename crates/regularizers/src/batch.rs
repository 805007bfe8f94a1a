//! Logits and labels of a step, for the regularizers on logits.

use candle_core::{Device, Tensor};
use sconce_tensor_core::{Error, PenaltyContext, Result};

pub(crate) fn logits<'a>(step: &PenaltyContext<'a>, what: &'static str) -> Result<&'a Tensor> {
    step.logits.ok_or_else(|| Error::Unsupported {
        what,
        reason: "the training objective provides no logits for this step".to_owned(),
    })
}

pub(crate) fn logits_and_labels<'a>(step: &PenaltyContext<'a>, what: &'static str) -> Result<(&'a Tensor, &'a Tensor)> {
    let z = logits(step, what)?;
    let y = step.labels.ok_or_else(|| Error::Unsupported {
        what,
        reason: "the training objective provides no labels for this step".to_owned(),
    })?;
    let (n, k) = z.dims2()?;
    if y.dims() != [n] || k < 2 {
        return Err(Error::shape(what, format!("logits ({n}, K >= 2) and labels ({n},)"), y.dims()));
    }
    Ok((z, y))
}

/// 1 at the label, 0 elsewhere, in the type of `like` (N, K).
pub(crate) fn one_hot(labels: &Tensor, like: &Tensor) -> Result<Tensor> {
    let (n, k) = like.dims2()?;
    let mut hot = vec![0f32; n * k];
    for (i, y) in labels.to_vec1::<u32>()?.into_iter().enumerate() {
        if y as usize >= k {
            return Err(Error::value("labels", format!("label {y} at row {i} is not below the {k} classes")));
        }
        hot[i * k + y as usize] = 1.0;
    }
    Ok(Tensor::from_vec(hot, (n, k), &Device::Cpu)?.to_dtype(like.dtype())?.to_device(like.device())?)
}

/// Checks that a weight is finite and not negative.
pub(crate) fn check(field: &'static str, lambda: f64) -> Result<()> {
    sconce_tensor_core::error::require(field, lambda.is_finite() && lambda >= 0.0, "finite and >= 0", lambda)
}

//! Clipping of gradients.

use crate::ops::composed::sum_all;
use crate::{Error, Params, Result, error::require};
use candle_core::{DType, Tensor, backprop::GradStore};

/// Scales all trainable gradients by `min(1, max / norm)`, `norm` their common Euclidean norm, which is returned.
///
/// # Errors
/// A `max` that is not finite and positive; [`Error::NotFinite`] for a norm that is not finite.
pub fn clip_norm(params: &Params, grads: &mut GradStore, max: f64) -> Result<f64> {
    require("clip_norm max", max.is_finite() && max > 0.0, "finite and > 0", max)?;
    let mut sums = Vec::new();
    for p in params.trainable() {
        if let Some(g) = grads.get(p.var()) {
            sums.push(sum_all(&g.sqr()?)?.to_dtype(DType::F64)?);
        }
    }
    // One copy to the host for all of them.
    let sums = if sums.is_empty() { Vec::new() } else { Tensor::stack(&sums, 0)?.to_vec1::<f64>()? };
    let norm = sums.into_iter().sum::<f64>().sqrt();
    if !norm.is_finite() {
        return Err(Error::not_finite("gradient norm", format!("{norm}")));
    }
    if norm > max {
        for p in params.trainable() {
            if let Some(g) = grads.get(p.var()) {
                let g = (g * (max / norm))?;
                grads.insert(p.var(), g);
            }
        }
    }
    Ok(norm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;
    use candle_core::Device;

    #[test]
    fn scales_to_the_bound_and_no_further() -> Result<()> {
        let mut params = Params::new();
        let w = params.add("w", Role::Weight, &Tensor::new(&[3f64, 4.0], &Device::Cpu)?)?;
        let mut grads = (w.sqr()?.sum_all()? / 2.0)?.backward()?;
        assert_eq!(clip_norm(&params, &mut grads, 10.0)?, 5.0);
        assert_eq!(clip_norm(&params, &mut grads, 1.0)?, 5.0);
        let g = grads.get(&w).map(Tensor::to_vec1::<f64>).transpose()?.unwrap_or_default();
        assert!((g[0] - 0.6).abs() < 1e-15 && (g[1] - 0.8).abs() < 1e-15, "{g:?}");
        assert!(clip_norm(&params, &mut grads, f64::NAN).is_err());
        Ok(())
    }
}

//! Normalisation over the batch by reductions, and the rectifier.

use super::channel_sum;
use super::graft::{Rule, graft1, graft3, wanted};
use crate::Result;
use candle_core::{DType, Tensor};
use std::sync::{Arc, OnceLock};

/// [`crate::ops::channel_moments`] by reductions.
///
/// # Errors
/// candle's only.
pub fn channel_moments(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let count = (x.elem_count() / x.dim(1)?) as f64;
    let mean = (channel_sum(x)? / count)?;
    let centred = x.broadcast_sub(&mean.reshape((1, (), 1, 1))?)?;
    Ok((mean, (channel_sum(&centred.sqr()?)? / count)?))
}

/// [`crate::ops::batch_norm_train`] by reductions.
///
/// # Errors
/// candle's only.
pub fn batch_norm_train(x: &Tensor, scale: &Tensor, shift: &Tensor, eps: f64) -> Result<Tensor> {
    Ok(batch_norm(x, scale, shift, eps)?.0)
}

/// The normalised tensor, and the batch's mean and biased variance without a graph.
pub(in super::super) fn batch_norm(
    x: &Tensor,
    scale: &Tensor,
    shift: &Tensor,
    eps: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let moments = Arc::new(OnceLock::new());
    let y = graft3(Normalise { eps, moments: moments.clone() }, x, scale, shift)?;
    match moments.get() {
        Some((mean, var)) => Ok((y, Tensor::to_dtype(mean, x.dtype())?, Tensor::to_dtype(var, x.dtype())?)),
        None => Err(crate::Error::value("batch norm", "its statistics were not computed".to_owned())),
    }
}

/// x, scale, shift -> scale (x - mean) / sqrt(var + eps) + shift.
struct Normalise {
    eps: f64,
    moments: Arc<OnceLock<(Tensor, Tensor)>>,
}

/// One number per channel, as it broadcasts over the maps.
fn per_channel(t: &Tensor) -> Result<Tensor> {
    Ok(t.reshape((1, (), 1, 1))?)
}

/// Sums of many elements need more than 16 bits.
fn wide(t: &Tensor) -> Result<Tensor> {
    Ok(if matches!(t.dtype(), DType::F16 | DType::BF16) { t.to_dtype(DType::F32)? } else { t.clone() })
}

impl Rule<3> for Normalise {
    const NAME: &'static str = "composed-batch-norm";

    fn value(&self, [x, scale, shift]: [&Tensor; 3]) -> Result<Tensor> {
        let full = wide(x)?;
        let (mean, var) = channel_moments(&full)?;
        let slope = (wide(scale)? / (&var + self.eps)?.sqrt()?)?;
        let centred = full.broadcast_sub(&per_channel(&mean)?)?;
        let y = centred.broadcast_mul(&per_channel(&slope)?)?.broadcast_add(&per_channel(&wide(shift)?)?)?;
        let _ = self.moments.set((mean, var));
        Ok(y.to_dtype(x.dtype())?)
    }

    fn gradients(
        &self,
        [x, scale, _]: [&Tensor; 3],
        needed: [bool; 3],
        _: &Tensor,
        g: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let (full, wide_g, wide_scale) = (wide(x)?, wide(g)?, wide(scale)?);
        let count = (x.elem_count() / x.dim(1)?) as f64;
        // In the graph of x, where it has one.
        let (mean, var) = match self.moments.get() {
            Some(found) if !x.track_op() => found.clone(),
            _ => channel_moments(&full)?,
        };
        let inverse = (var + self.eps)?.sqrt()?.recip()?;
        let centred = full.broadcast_sub(&per_channel(&mean)?)?;
        let to_shift = channel_sum(&wide_g)?;
        let to_scale = (channel_sum(&(&wide_g * &centred)?)? * &inverse)?;
        let gx = wanted(needed[0], || {
            // scale / deviation (g - mean g - xhat mean (g xhat))
            let slope = (&wide_scale * &inverse)?;
            let along = ((&to_scale * &inverse)? / count)?;
            let level = per_channel(&(&to_shift / count)?)?;
            let rest = wide_g.broadcast_sub(&level)?;
            let rest = (rest - centred.broadcast_mul(&per_channel(&along)?)?)?;
            Ok(rest.broadcast_mul(&per_channel(&slope)?)?.to_dtype(x.dtype())?)
        })?;
        Ok([
            gx,
            wanted(needed[1], || Ok(to_scale.to_dtype(x.dtype())?))?,
            wanted(needed[2], || Ok(to_shift.to_dtype(x.dtype())?))?,
        ])
    }
}

/// [`crate::ops::channel_affine`] by products with one number per channel.
///
/// # Errors
/// candle's only.
pub fn channel_affine(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    graft3(Affine, x, scale, shift)
}

/// x, scale, shift -> scale x + shift.
struct Affine;

impl Rule<3> for Affine {
    const NAME: &'static str = "composed-channel-affine";

    fn value(&self, [x, scale, shift]: [&Tensor; 3]) -> Result<Tensor> {
        Ok(x.broadcast_mul(&per_channel(scale)?)?.broadcast_add(&per_channel(shift)?)?)
    }

    fn gradients(
        &self,
        [x, scale, _]: [&Tensor; 3],
        needed: [bool; 3],
        _: &Tensor,
        g: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        Ok([
            wanted(needed[0], || Ok(g.broadcast_mul(&per_channel(scale)?)?))?,
            wanted(needed[1], || channel_sum(&(g * x)?))?,
            wanted(needed[2], || channel_sum(g))?,
        ])
    }
}

/// [`crate::ops::leaky_relu`] by a comparison.
///
/// # Errors
/// candle's only.
pub fn leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor> {
    graft1(Rectify { slope }, x)
}

/// x -> x if positive, otherwise slope x.
struct Rectify {
    slope: f64,
}

impl Rule<1> for Rectify {
    const NAME: &'static str = "composed-relu";

    fn value(&self, [x]: [&Tensor; 1]) -> Result<Tensor> {
        self.below(x, x)
    }

    fn gradients(&self, _: [&Tensor; 1], _: [bool; 1], y: &Tensor, g: &Tensor) -> Result<[Option<Tensor>; 1]> {
        // The result is positive where the argument is.
        Ok([Some(self.below(&y.detach(), g)?)])
    }
}

impl Rectify {
    /// `t`, times the slope where `x` is not positive. A NaN in `x` is neither, so that it stays one.
    fn below(&self, x: &Tensor, t: &Tensor) -> Result<Tensor> {
        let scaled = if self.slope == 0.0 { t.zeros_like()?.detach() } else { (t * self.slope)? };
        Ok(x.le(0.0)?.where_cond(&scaled, t)?)
    }
}

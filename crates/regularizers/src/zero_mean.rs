//! Convolution kernels with mean zero, as a hard constraint.

use crate::absum::kernel_rank;
use crate::enforcement::map_kernels;
use candle_core::Tensor;
use sconce_tensor_core::{Params, PenaltyContext, Regularizer, Result};

/// The hard constraint `sum_{u,v} K[o,i,u,v] = 0`: after each update the mean of each kernel is subtracted from
/// it. It is the limit of [`crate::Absum`] for a large `lambda`, and costs one of the `KH KW` degrees of
/// freedom of each kernel. A 1x1 kernel is not changed, because it would become 0 (chosen by us).
#[derive(Clone, Copy, Debug, Default)]
pub struct ZeroMean;

impl ZeroMean {
    /// The nearest weight whose kernels have mean zero.
    ///
    /// # Shapes
    /// (O, I, KH, KW) -> the same.
    ///
    /// # Errors
    /// The rank is not 4.
    pub fn project(&self, kernel: &Tensor) -> Result<Tensor> {
        kernel_rank(kernel)?;
        if kernel.dims()[2..] == [1, 1] {
            return Ok(kernel.clone());
        }
        Ok(kernel.broadcast_sub(&kernel.mean_keepdim((2, 3))?)?)
    }
}

impl Regularizer for ZeroMean {
    fn penalty(&self, _step: &PenaltyContext<'_>) -> Result<Option<Tensor>> {
        Ok(None)
    }

    fn after_update(&self, params: &Params, _lr: f64) -> Result<()> {
        map_kernels(params, |k| self.project(k))
    }
}

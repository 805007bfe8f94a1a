//! Differentiable operations with right gradients.
//!
//! On the CPU in `f32` and `f64` they run on kernels of this crate, over all threads, and compute only
//! the gradients that are wanted: an argument that is no [`candle_core::Var`] and does not depend on
//! one costs nothing in the backward pass. On CUDA and Metal, and for other types, they are composed
//! of candle's operations (`composed`), where those are right.
//!
//! | op | differentiable in | second derivatives |
//! |---|---|---|
//! | [`conv2d`] | input, weight, bias | yes |
//! | [`linear`], [`matmul`] | both factors, bias | yes |
//! | [`max_pool2d`] | input (one maximum per window gets the gradient) | yes (zero almost everywhere) |
//! | [`avg_pool2d`], [`global_avg_pool2d`] | input | yes |
//! | [`relu`] | input (0 at 0, as in PyTorch) | yes (zero almost everywhere) |
//! | [`batch_norm_train`] | input, scale, shift | no: an error |
//! | [`channel_affine`] | input, scale, shift | yes |
//! | [`log_softmax`], [`cross_entropy`], [`soft_cross_entropy`] | logits (and soft labels) | yes |
//!
//! Second derivatives need candle to keep the graph of the first: set `CANDLE_GRAD_DO_NOT_DETACH=1`
//! before a thread's first backward pass, else candle drops terms without an error.

mod activation;
pub mod composed;
mod conv;
mod conv_transpose;
pub(crate) mod cpu;
mod dropout;
mod embedding;
pub(crate) mod in_place;
mod kernel;
mod loss;
mod lstm;
mod matmul;
mod norm;
mod pool;
mod tape;
mod upsample;

use activation::add;
pub use activation::{add_relu, leaky_relu, relu, sigmoid};
pub use conv::{Conv2dSpec, conv2d, conv2d_input_gradient, conv2d_relu, conv2d_weight_gradient};
pub use conv_transpose::{ConvTranspose2dSpec, conv_transpose2d};
pub use dropout::{dropout, dropout_mask};
pub use embedding::embedding;
pub use loss::{cross_entropy, log_softmax, mse_loss, nll, soft_cross_entropy};
pub use lstm::{LstmOutput, LstmWeights, lstm};
pub use matmul::{linear, matmul};
pub use norm::{Normed, batch_norm, batch_norm_train, channel_affine, channel_moments};
pub use tape::backward;
pub use pool::{Pool2dSpec, adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, global_avg_pool2d, max_pool2d};
pub use upsample::{upsample_bilinear2d, upsample_nearest2d};

use crate::{Error, Result};
use candle_core::{DType, Tensor};

/// Whether this crate's own kernels serve the tensor.
pub(crate) fn own_kernels(x: &Tensor) -> bool {
    x.device().is_cpu() && matches!(x.dtype(), DType::F32 | DType::F64)
}

/// The dimensions of a tensor of rank 4 without an empty axis.
fn dims4(what: &str, axes: &str, x: &Tensor) -> Result<(usize, usize, usize, usize)> {
    match *x.dims() {
        [n, c, h, w] if n * c * h * w > 0 => Ok((n, c, h, w)),
        ref got => Err(Error::shape(what, format!("{axes}, none of them 0"), got)),
    }
}

/// Output length of a window sliding along an axis, or an error naming the axis.
fn slide(
    what: &'static str,
    axis: &str,
    (len, kernel, stride, padding, dilation): (usize, usize, usize, usize, usize),
) -> Result<usize> {
    if kernel == 0 || stride == 0 || dilation == 0 {
        let reason = format!("{axis}: kernel {kernel}, stride {stride} and dilation {dilation} must be at least 1");
        return Err(Error::config(what, reason));
    }
    let (room, reach) = (len + 2 * padding, dilation * (kernel - 1) + 1);
    if room < reach {
        return Err(Error::config(what, format!("{axis}: a kernel that reaches {reach} does not fit into {room}")));
    }
    Ok((room - reach) / stride + 1)
}

//! Differentiable operations with verified gradients.
//!
//! On the CPU, in `f32` and `f64`, they run kernels of this crate on all threads of rayon's pool. The backward pass computes
//! only the gradients that are needed: an argument that is not a [`candle_core::Var`] and does not depend on one costs
//! nothing. On CUDA and Metal, and for other types, the operations are composed of those operations of candle whose
//! gradients are correct ([`composed`]). [`backward`] computes the gradients of a loss. candle's `Tensor::backward` gives the
//! same gradients, but first adds each one to a tensor of zeros.
//!
//! | op | formula | differentiable in | twice |
//! |---|---|---|---|
//! | [`conv2d`] | cross-correlation, any stride, padding, dilation, groups | input, weight, bias | yes |
//! | [`conv2d_relu`], [`conv2d_rectified`] | the same, then rectified, in one pass | input, weight, bias | yes |
//! | [`conv_transpose2d`] | the adjoint of [`conv2d`] | input, weight, bias | yes |
//! | [`conv2d_input_gradient`], [`conv2d_weight_gradient`] | the two gradients of [`conv2d`] as operations | both factors | yes |
//! | [`linear`], [`matmul`] | `x w^T + b`, `a b` | both factors, bias | yes |
//! | [`batched_matmul`] | products of many matrices, the leading axes broadcast | both factors | yes |
//! | [`batch_norm`], [`batch_norm_train`] | normalisation with the batch's statistics, then optionally a residual and a ReLU | input, scale, shift, residual | no: an error |
//! | [`layer_norm`] | `scale (x - mean) / sqrt(var + eps) + shift` over the last axis | input, scale, shift | yes |
//! | [`channel_affine`] | `scale x + shift` for each channel | input, scale, shift | yes |
//! | [`max_pool2d`], [`adaptive_max_pool2d`] | window maxima; any stride, padding, dilation, rounding up | input (one maximum per window gets the gradient) | yes (zero almost everywhere) |
//! | [`avg_pool2d`], [`adaptive_avg_pool2d`], [`global_avg_pool2d`] | window means | input | yes |
//! | [`upsample_nearest2d`], [`upsample_bilinear2d`], [`resize2d`] | resizing by two taps per axis | input | yes |
//! | [`add`] | `a + b` of one shape | both | yes |
//! | [`reshape`] | the same elements in another shape | input | yes |
//! | [`relu`], [`leaky_relu`], [`rectify`], [`add_relu`] | `max(x, 0)`; `x` or, where it is negative, `slope x`; the same, at most `cap`; `max(a + b, 0)` | all (`slope` at 0, 0 at the cap, as in PyTorch) | yes (zero almost everywhere) |
//! | [`sigmoid`], [`tanh`], [`erf`] | `1 / (1 + e^-x)`, the hyperbolic tangent, the error function | input | yes |
//! | [`gelu`], [`silu`], [`mish`], [`softplus`] | `x Phi(x)`, `x sigmoid(x)`, `x tanh(softplus(x))`, `log(1 + e^x)` | input | yes |
//! | [`elu`], [`selu`] | `x`, or `alpha (e^x - 1)` where it is negative | input (`alpha` at 0, as in PyTorch) | yes |
//! | [`hard_swish`], [`hard_sigmoid`], [`clamp`] | `x min(max(x + 3, 0), 6) / 6`, `min(max(alpha x + beta, 0), 1)`, `min(max(x, low), high)` | input | yes |
//! | [`prelu`] | `x`, or `slope x` where it is negative, a slope per channel | input, slope | yes |
//! | [`softmax`] | `exp z / sum exp z` over the last axis | input | yes |
//! | [`log_softmax`], [`log_output`] | `z - log sum exp z`; the logarithms of sigsoftmax and other output functions ([`Output`]) | input | yes |
//! | [`cross_entropy`], [`output_nll`] | `-log softmax(z)[label]`, and the same for other output functions, fused | logits | yes |
//! | [`linear_nll`] | [`output_nll`] of [`linear`], in blocks | all | yes |
//! | [`soft_cross_entropy`] | `-sum target log softmax(z)` | logits, target | yes |
//! | [`mse_loss`] | mean of `(y - t)^2` | `y` | yes |
//! | [`embedding`] | rows by index | weight | yes |
//! | [`lstm`] | an LSTM over a sequence; a sequence of one step is the LSTM cell | all but the mask | no: an error |
//! | [`dropout`], [`dropout_mask`], [`masked`] | seeded masks | input | yes |
//! | [`addcmul_in_place`], [`lerp_in_place`] | `to <- to + scale a b`, `to <- to + share (end - to)`, without a graph | nothing | no |
//! | [`weighted_sum`] | `sum_i w_i x_i`, for gradients and other tensors without a graph | nothing | no |
//!
//! # Cost
//! Convolutions and matrix products keep a small tile of the result in registers and read their operands from padded or
//! packed copies that fit the caches. No whole matrix of patches (im2col) is built, only about a million of its elements at a time, so the
//! extra memory is that of a few images and of the weights, or of the transformed kernels where [`conv2d`] uses Winograd's method. The instruction set is chosen at run time (AVX-512, AVX2, NEON). All other operations pass over the data
//! once or twice.
//!
//! # Reproducibility
//! Results are bit-identical for every number of threads, and the result of an example is bit-identical in every batch: each
//! element is one chain of multiply-adds in the order of the sum, or a fixed number of them by Winograd's method, which the sizes of
//! one example choose. How a sum over a batch is partitioned depends on the shape only.
//!
//! # Second derivatives
//! They require that candle keeps the graph of the first derivatives. Set the environment variable
//! `CANDLE_GRAD_DO_NOT_DETACH=1` before the first backward pass of a thread; otherwise candle drops terms without an error.
//! [`keeps_graph`] tells whether it is set.

mod accumulate;
mod activation;
mod batched_matmul;
pub mod composed;
mod conv;
mod conv_transpose;
pub(crate) mod cpu;
mod dropout;
mod embedding;
pub(crate) mod in_place;
mod kernel;
mod labels;
mod layer_norm;
mod linear_nll;
mod loss;
mod lstm;
mod matmul;
mod norm;
mod output;
mod pool;
mod prelu;
mod reshape;
mod softmax;
mod tape;
mod unary;
mod upsample;
mod weighted_sum;

pub use accumulate::{addcmul_in_place, lerp_in_place};
pub use activation::{Rectifier, add, add_relu, leaky_relu, rectify, relu, sigmoid};
pub use batched_matmul::batched_matmul;
pub use conv::{Conv2dSpec, conv2d, conv2d_input_gradient, conv2d_rectified, conv2d_relu, conv2d_weight_gradient};
pub use conv_transpose::{ConvTranspose2dSpec, conv_transpose2d};
pub use dropout::{dropout, dropout_mask, masked};
pub use embedding::embedding;
pub use labels::nll;
pub use layer_norm::layer_norm;
pub use linear_nll::linear_nll;
pub use loss::{cross_entropy, log_softmax, mse_loss, soft_cross_entropy};
pub use lstm::{LstmOutput, LstmWeights, lstm};
pub use matmul::{linear, matmul};
pub use norm::{Normed, batch_norm, batch_norm_train, channel_affine, channel_moments};
pub use output::{Output, log_output, output_nll};
pub use pool::{Pool2dSpec, adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, global_avg_pool2d, max_pool2d};
pub use prelu::prelu;
pub use reshape::reshape;
pub use softmax::softmax;
pub use tape::{backward, keeps_graph, last_backward};
pub use unary::{Gelu, clamp, elu, erf, gelu, hard_sigmoid, hard_swish, mish, selu, silu, softplus, tanh};
pub use upsample::{Taps, resize2d, upsample_bilinear2d, upsample_nearest2d};
pub use weighted_sum::weighted_sum;

use crate::{Error, Result};
use candle_core::{DType, Tensor};

/// Whether this crate's own kernels serve the tensor.
pub(crate) fn own_kernels(x: &Tensor) -> bool {
    x.device().is_cpu() && matches!(x.dtype(), DType::F32 | DType::F64) && !composed::is_alone()
}

/// The dimensions of a tensor of rank 4 without an empty axis.
fn dims4(what: &str, axes: &str, x: &Tensor) -> Result<(usize, usize, usize, usize)> {
    match *x.dims() {
        [n, c, h, w] if n * c * h * w > 0 => Ok((n, c, h, w)),
        ref got => Err(Error::shape(what, format!("{axes}, none of them 0"), got)),
    }
}

/// The output length of a window that slides along an axis; the error names the axis.
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

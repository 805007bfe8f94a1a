//! The same operations composed of candle's operations, for devices and types that have no kernels in this crate.
//!
//! They use only operations that candle differentiates correctly: gathers by index instead of its pooling, and reductions
//! instead of its normalisation. Where candle's backward pass costs much more than the formula of the gradient, the gradient is
//! composed here too. They are public so that tests can compare the kernels with them.

mod conv;
mod elementwise;
mod graft;
mod lstm;
mod norm;
mod pool;

pub use conv::{conv_transpose2d, conv2d, conv2d_input_gradient, conv2d_weight_gradient};
pub use elementwise::{clamp, elu, gelu, hard_sigmoid, hard_swish, mish, prelu, selu, silu, softplus};
pub use lstm::lstm;
pub(super) use norm::batch_norm;
pub use norm::{batch_norm_train, channel_affine, channel_moments, leaky_relu};
pub use pool::{adaptive_pool2d, avg_pool2d, max_pool2d};

use crate::Result;
use candle_core::{D, DType, Device, Tensor};
use std::cell::Cell;

thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` with the composed forms in the place of the kernels, on this thread: what devices without kernels do.
pub fn alone<T>(f: impl FnOnce() -> T) -> T {
    /// Restores the previous state when it is dropped, also after a panic.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ALONE.set(self.0);
        }
    }
    let _restore = Restore(ALONE.replace(true));
    f()
}

/// Whether this thread runs the composed forms only.
pub(super) fn is_alone() -> bool {
    ALONE.get()
}

/// Indices on the device of a tensor.
fn indices(at: impl Iterator<Item = usize>, like: &Tensor) -> Result<Tensor> {
    Ok(Tensor::from_iter(at.map(|i| i as u32), like.device())?)
}

/// (N, C, H, W) -> (C,), the sum over all but the channel. Over the positions first: candle gives each element of a sum one block of
/// threads, and the channels alone would be too few.
fn channel_sum(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    Ok(x.contiguous()?.reshape((n * c, h * w))?.sum(1)?.reshape((n, c))?.sum(0)?)
}

/// The sum of all elements. On a GPU candle gives such a sum one block of threads, so it is taken in two steps there.
///
/// # Errors
/// candle's only.
pub fn sum_all(x: &Tensor) -> Result<Tensor> {
    const ROW: usize = 1024;
    if x.device().is_cpu() {
        return Ok(x.sum_all()?);
    }
    let flat = x.flatten_all()?;
    let rows = flat.elem_count() / ROW;
    if rows < 2 {
        return Ok(flat.sum(0)?);
    }
    let whole = flat.narrow(0, 0, rows * ROW)?.reshape((rows, ROW))?.sum(1)?.sum(0)?;
    let rest = flat.elem_count() - rows * ROW;
    Ok(if rest == 0 { whole } else { (whole + flat.narrow(0, rows * ROW, rest)?.sum(0)?)? })
}

/// [`super::log_softmax`] of candle's elementwise operations.
///
/// # Errors
/// candle's only.
pub fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    // The shift cancels, so its gradient does too: it must not enter the graph.
    let shifted = logits.broadcast_sub(&logits.detach().max_keepdim(D::Minus1)?)?;
    let lse = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    Ok(shifted.broadcast_sub(&lse)?)
}

/// [`super::softmax`] of candle's elementwise operations.
///
/// # Errors
/// candle's only.
pub fn softmax(z: &Tensor) -> Result<Tensor> {
    // The shift cancels, so its gradient does too: it must not enter the graph.
    let powers = z.broadcast_sub(&z.detach().max_keepdim(D::Minus1)?)?.exp()?;
    Ok(powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)?)
}

/// [`super::layer_norm`] by reductions.
///
/// # Errors
/// candle's only.
pub fn layer_norm(x: &Tensor, scale: Option<&Tensor>, shift: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    let full = if matches!(x.dtype(), DType::F16 | DType::BF16) { x.to_dtype(DType::F32)? } else { x.clone() };
    let centred = full.broadcast_sub(&full.mean_keepdim(D::Minus1)?)?;
    let spread = (centred.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    let mut y = centred.broadcast_div(&spread)?.to_dtype(x.dtype())?;
    if let Some(scale) = scale {
        y = y.broadcast_mul(scale)?;
    }
    if let Some(shift) = shift {
        y = y.broadcast_add(shift)?;
    }
    Ok(y)
}

/// [`super::resize2d`] as products with the matrices of the two axes.
///
/// # Errors
/// candle's only.
pub fn resample2d(x: &Tensor, rows: &[(usize, usize, f64)], cols: &[(usize, usize, f64)]) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let matrix = |taps: &[(usize, usize, f64)], len: usize| {
        let mut m = vec![0f64; taps.len() * len];
        for (line, &(a, b, weight)) in m.chunks_exact_mut(len).zip(taps) {
            line[a] += 1.0 - weight;
            line[b] += weight;
        }
        Tensor::from_vec(m, (taps.len(), len), &Device::Cpu)?.to_dtype(x.dtype())?.to_device(x.device())
    };
    let wide = x.reshape((n * c * h, w))?.matmul(&matrix(cols, w)?.t()?)?;
    let wide = wide.reshape((n * c, h, cols.len()))?;
    let m = matrix(rows, h)?.unsqueeze(0)?.broadcast_as((n * c, rows.len(), h))?.contiguous()?;
    Ok(m.matmul(&wide)?.reshape((n, c, rows.len(), cols.len()))?)
}

/// [`super::embedding`] by candle's gather of rows.
///
/// # Errors
/// candle's only.
pub fn embedding(weight: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let shape = [ids.dims(), &weight.dims()[1..]].concat();
    Ok(weight.index_select(&ids.flatten_all()?, 0)?.reshape(shape)?)
}

//! Activation functions of one number.

use super::super::unary::{Gelu, SELU_ALPHA, SELU_SCALE};
use crate::Result;
use candle_core::Tensor;

/// `1 / (1 + e^-x)`.
fn sigmoid(x: &Tensor) -> Result<Tensor> {
    Ok((((x * 0.5)?.tanh()? * 0.5)? + 0.5)?)
}

/// `value` everywhere.
fn constant(x: &Tensor, value: f64) -> Result<Tensor> {
    Ok(Tensor::full(value, x.shape(), x.device())?.to_dtype(x.dtype())?)
}

/// [`super::super::gelu`].
///
/// # Errors
/// candle's only.
pub fn gelu(x: &Tensor, form: Gelu) -> Result<Tensor> {
    let inner = match form {
        Gelu::Erf => (x * std::f64::consts::FRAC_1_SQRT_2)?.erf()?,
        Gelu::Tanh => {
            let cube = (x.sqr()? * x)?;
            ((x + (cube * 0.044_715)?)? * (2.0 / std::f64::consts::PI).sqrt())?.tanh()?
        }
    };
    Ok(((x * 0.5)? * (inner + 1.0)?)?)
}

/// [`super::super::silu`].
///
/// # Errors
/// candle's only.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    Ok((x * sigmoid(x)?)?)
}

/// [`super::super::hard_swish`] by selection.
///
/// # Errors
/// candle's only.
pub fn hard_swish(x: &Tensor) -> Result<Tensor> {
    let bent = ((x * (x + 3.0)?)? / 6.0)?;
    let high = x.ge(3.0)?.where_cond(x, &bent)?;
    Ok(x.le(-3.0)?.where_cond(&x.zeros_like()?, &high)?)
}

/// [`super::super::hard_sigmoid`] by selection.
///
/// # Errors
/// candle's only.
pub fn hard_sigmoid(x: &Tensor, alpha: f64, beta: f64) -> Result<Tensor> {
    clamp(&x.affine(alpha, beta)?, 0.0, 1.0)
}

/// [`super::super::mish`].
///
/// # Errors
/// candle's only.
pub fn mish(x: &Tensor) -> Result<Tensor> {
    Ok((x * softplus(x)?.tanh()?)?)
}

/// [`super::super::softplus`].
///
/// # Errors
/// candle's only.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    // (x + |x|) / 2 has the derivative 1/2 at 0, and candle's |x| has 0.
    let a = x.abs()?;
    Ok((((x + &a)? * 0.5)? + (a.neg()?.exp()? + 1.0)?.log()?)?)
}

/// [`super::super::elu`] by selection.
///
/// # Errors
/// candle's only.
pub fn elu(x: &Tensor, alpha: f64) -> Result<Tensor> {
    // The exponential is taken of negative numbers only: an infinite one would spoil the gradient.
    let positive = x.gt(0.0)?;
    let negative = positive.where_cond(&x.zeros_like()?, x)?;
    Ok(positive.where_cond(x, &((negative.exp()? - 1.0)? * alpha)?)?)
}

/// [`super::super::selu`].
///
/// # Errors
/// candle's only.
pub fn selu(x: &Tensor) -> Result<Tensor> {
    Ok((elu(x, SELU_ALPHA)? * SELU_SCALE)?)
}

/// [`super::super::clamp`] by selection.
///
/// # Errors
/// candle's only.
pub fn clamp(x: &Tensor, low: f64, high: f64) -> Result<Tensor> {
    let above = x.le(low)?.where_cond(&constant(x, low)?, x)?;
    Ok(x.ge(high)?.where_cond(&constant(x, high)?, &above)?)
}

/// [`super::super::prelu`] by selection.
///
/// # Errors
/// candle's only.
pub fn prelu(x: &Tensor, slope: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; x.rank()];
    if let (Some(channels), true) = (shape.get_mut(1), slope.elem_count() > 1) {
        *channels = slope.elem_count();
    }
    let bent = x.broadcast_mul(&slope.reshape(shape)?)?;
    Ok(x.gt(0.0)?.where_cond(x, &bent)?)
}

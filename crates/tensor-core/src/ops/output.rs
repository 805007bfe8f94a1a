//! Output functions, which map logits to log-probabilities, and their negative log-likelihood in one pass.

use super::cpu::math::Math;
use super::cpu::output::{self, Exponential, ExponentialLogistic, Logistic, Rectified};
use super::kernel::{Kernel, Stash, apply1, apply2, apply3, wanted};
use super::labels::{check_labels, nll, rows};
use super::{composed, own_kernels};
use crate::{Error, Result, error::require};
use candle_core::{D, Shape, Tensor};
use std::sync::Arc;

/// An output function `f_i = g(z_i) / sum_m g(z_m)`: logits to probabilities.
///
/// | Output | `g(z)` | `d log g / dz` |
/// |---|---|---|
/// | `Softmax` | `e^z` | 1 |
/// | `Sigsoftmax` | `e^z sigma(z)` | `2 - sigma(z)` |
/// | `Sigmoid` | `sigma(z)` | `1 - sigma(z)` |
/// | `Relu` | `max(z, 0) + eps` | `1 / (z + eps)` for z > 0, else 0 |
///
/// All are computed from `log g` minus its largest value in the row, so that nothing overflows and no row becomes 0/0.
///
/// Source: Kanai et al. (arXiv 1805.10829), Definition 1 for sigsoftmax. The formulas of `Sigmoid` and
/// `Relu` are reconstructed from memory and not verified against the paper.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Output {
    /// Softmax.
    #[default]
    Softmax,
    /// Softmax of `z + log sigma(z)`.
    Sigsoftmax,
    /// Normalised sigmoids.
    Sigmoid,
    /// Normalised rectified logits.
    Relu {
        /// Prevents 0/0 in a row without a positive logit; finite and > 0.
        eps: f64,
    },
}

/// Runs `$body` with `$score` bound to the kernel's score.
macro_rules! scored {
    ($output:expr, $score:ident => $body:expr) => {
        match $output {
            Output::Softmax => {
                let $score = Exponential;
                $body
            }
            Output::Sigsoftmax => {
                let $score = ExponentialLogistic;
                $body
            }
            Output::Sigmoid => {
                let $score = Logistic;
                $body
            }
            Output::Relu { eps } => {
                let $score = Rectified(eps);
                $body
            }
        }
    };
}
pub(super) use scored;

impl Output {
    /// Checks the values inside.
    pub(super) fn check(self) -> Result<()> {
        match self {
            Self::Relu { eps } => require("Output::Relu.eps", eps.is_finite() && eps > 0.0, "finite and > 0", eps),
            _ => Ok(()),
        }
    }

    /// `d log g / dz` and its derivative, in the graph of `z`.
    fn slopes(self, z: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok(match self {
            Self::Softmax => (z.ones_like()?, z.zeros_like()?),
            Self::Sigsoftmax | Self::Sigmoid => {
                let off = super::sigmoid(&z.neg()?)?;
                let bend = (&off * (&off - 1.0)?)?;
                (if self == Self::Sigmoid { off } else { (off + 1.0)? }, bend)
            }
            Self::Relu { eps } => {
                let on = z.detach().gt(0.0)?;
                let inverse = (on.where_cond(z, &z.ones_like()?)? + eps)?.recip()?;
                let slope = (inverse * on.to_dtype(z.dtype())?)?;
                let bend = slope.sqr()?.neg()?;
                (slope, bend)
            }
        })
    }

    /// `log g(z)` of candle's operations.
    fn composed(self, z: &Tensor) -> Result<Tensor> {
        // log sigma(z) = min(z, 0) - log(1 + e^-|z|), with a derivative at 0.
        let log_sigmoid = || -> Result<Tensor> {
            let a = z.abs()?;
            Ok((((z - &a)? * 0.5)? - (a.neg()?.exp()? + 1.0)?.log()?)?)
        };
        Ok(match self {
            Self::Softmax => z.clone(),
            Self::Sigsoftmax => (z + log_sigmoid()?)?,
            Self::Sigmoid => log_sigmoid()?,
            Self::Relu { eps } => (super::relu(z)? + eps)?.log()?,
        })
    }
}

/// `log f` over the last axis, the logarithm of the probabilities.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use sconce_tensor_core::ops::{Output, log_output};
/// let z = Tensor::new(&[[-300f64, -200.0, -150.0]], &Device::Cpu)?;
/// assert_eq!(log_output(&z, Output::Sigsoftmax)?.to_vec2::<f64>()?, [[-300.0, -100.0, 0.0]]);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
///
/// # Shapes
/// (..., K) -> (..., K).
///
/// # Errors
/// A scalar, an empty last axis, an `eps` that is not positive.
pub fn log_output(logits: &Tensor, output: Output) -> Result<Tensor> {
    output.check()?;
    if logits.elem_count() == 0 || logits.rank() == 0 {
        return Err(Error::shape("logits", "(..., K), no axis of 0", logits.dims()));
    }
    if own_kernels(logits) {
        return Ok(apply1(LogOutput(output), logits)?);
    }
    composed::log_softmax(&output.composed(logits)?)
}

/// The negative log-likelihood of each row, `-log f[label]`: one pass over the logits forward, one backward, and no
/// matrix of probabilities.
///
/// # Shapes
/// `logits` (N, K), `labels` (N,) of type u32 -> (N,).
///
/// # Errors
/// Shapes that do not fit, a label that is not below K, an `eps` that is not positive.
pub fn output_nll(logits: &Tensor, labels: &Tensor, output: Output) -> Result<Tensor> {
    if !own_kernels(logits) {
        return nll(&log_output(logits, output)?, labels);
    }
    output.check()?;
    let (n, k) = rows(logits)?;
    let labels = check_labels(labels, n, k)?;
    Ok(apply1(Nll(Arc::new(Labels { output, labels, sums: Stash::new() })), logits)?)
}

fn last(shape: &Shape) -> usize {
    shape.dims().last().copied().unwrap_or(1)
}

/// z -> log f.
struct LogOutput(Output);
/// z, y, g -> slope(z) (g - exp(y) sum g).
struct LogOutputGrad(Output);
/// z -> the loss of each row.
pub(super) struct Nll(pub(super) Arc<Labels>);
/// z, g -> g slope(z) (f - one-hot).
pub(super) struct NllGrad(pub(super) Arc<Labels>);
/// The labels, and the rows' log-sums from the forward pass.
pub(super) struct Labels {
    pub(super) output: Output,
    pub(super) labels: Vec<u32>,
    pub(super) sums: Stash,
}

impl Kernel<1> for LogOutput {
    const NAME: &'static str = "sconce-log-output";

    fn forward<T: Math>(&self, [z]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((scored!(self.0, score => output::log_output(score, z, last(shape))), shape.clone()))
    }

    fn backward(&self, [z]: [&Tensor; 1], y: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply3(LogOutputGrad(self.0), z, y, g)?)])
    }
}

impl Kernel<3> for LogOutputGrad {
    const NAME: &'static str = "sconce-log-output-grad";

    fn forward<T: Math>(&self, [z, y, g]: [&[T]; 3], [shape, ..]: [&Shape; 3]) -> candle_core::Result<(Vec<T>, Shape)> {
        Ok((scored!(self.0, score => output::log_output_grad(score, (z, y, g), last(shape))), shape.clone()))
    }

    fn backward(&self, [z, y, g]: [&Tensor; 3], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        let (slope, bend) = self.0.slopes(z).map_err(candle_core::Error::wrap)?;
        let (p, us) = (y.exp()?, (u * slope)?);
        let total = g.sum_keepdim(D::Minus1)?;
        let to_z = || (u * bend)? * (g - p.broadcast_mul(&total)?)?;
        let to_y = || (&us * &p)?.broadcast_mul(&total)?.neg();
        Ok([wanted(z, to_z)?, wanted(y, to_y)?, wanted(g, || us.broadcast_sub(&(&us * &p)?.sum_keepdim(D::Minus1)?))?])
    }
}

impl Kernel<1> for Nll {
    const NAME: &'static str = "sconce-nll";

    fn forward<T: Math>(&self, [z]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        let (loss, sums) = scored!(self.0.output, score => output::nll(score, z, &self.0.labels, last(shape)));
        self.0.sums.put(sums);
        let n = loss.len();
        Ok((loss, n.into()))
    }

    fn backward(&self, [z]: [&Tensor; 1], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply2(NllGrad(self.0.clone()), z, g)?)])
    }
}

impl Kernel<2> for NllGrad {
    const NAME: &'static str = "sconce-nll-grad";

    fn forward<T: Math>(&self, [z, g]: [&[T]; 2], [shape, _]: [&Shape; 2]) -> candle_core::Result<(Vec<T>, Shape)> {
        let Labels { output, labels, sums } = &*self.0;
        let grad = sums.with(
            |sums: &Vec<(T, T)>| scored!(*output, score => output::nll_grad(score, z, sums, g, labels, last(shape))),
        )?;
        Ok((grad, shape.clone()))
    }

    fn backward(&self, [z, g]: [&Tensor; 2], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 2]> {
        let Labels { output, labels, .. } = &*self.0;
        let (slope, bend) = output.slopes(z).map_err(candle_core::Error::wrap)?;
        let p = log_output(z, *output).map_err(candle_core::Error::wrap)?.exp()?;
        let us = (u * &slope)?;
        let mean = (&us * &p)?.sum_keepdim(D::Minus1)?;
        let labels = Tensor::from_slice(labels, (labels.len(), 1), z.device())?;
        let at_label = |t: &Tensor| t.gather(&labels, 1);
        let to_z = || {
            let smooth = (&slope * (&p * us.broadcast_sub(&mean)?)?)?;
            let curved = (u * &bend)?;
            let one_hot = z.zeros_like()?.scatter_add(&labels, &at_label(&curved)?, 1)?;
            ((smooth + (&curved * &p)?)? - one_hot)?.broadcast_mul(&g.unsqueeze(1)?)
        };
        Ok([wanted(z, to_z)?, wanted(g, || (&mean - at_label(&us)?)?.squeeze(1))?])
    }
}

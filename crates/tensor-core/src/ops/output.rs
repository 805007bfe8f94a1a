//! Output functions: logits to log-probabilities, and their negative log-likelihood, fused.

use super::cpu::math::Math;
use super::cpu::matmul::{Mat, parallel_product};
use super::cpu::output::{self, Exponential, ExponentialLogistic, Logistic, Rectified};
use super::kernel::{Kernel, Stash, apply1, apply2, apply3, wanted};
use super::loss::{check_labels, nll, rows};
use super::matmul::linear_gradients;
use super::{composed, linear, own_kernels};
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
/// All are computed by `log g` shifted by its largest value in the row, so that nothing overflows and no row becomes 0/0.
///
/// Source: Kanai et al. (arXiv 1805.10829), Definition 1 for sigsoftmax; the forms of the other two are recalled.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Output {
    /// The usual one.
    #[default]
    Softmax,
    /// Softmax of `z + log sigma(z)`.
    Sigsoftmax,
    /// Normalised sigmoids.
    Sigmoid,
    /// Normalised rectified logits.
    Relu {
        /// Keeps a row without a positive logit from 0/0; finite and > 0.
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

impl Output {
    fn check(self) -> Result<()> {
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

/// `log f` over the last axis.
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

/// Logits that [`linear_nll`] holds at one time.
const AT_ONCE: usize = 1 << 22;
/// Logits up to which it keeps all of them for the backward pass.
const KEPT: usize = 1 << 25;

/// [`output_nll`] of the logits `h weight^T + bias` in blocks of rows: no more than 4 million logits exist at a time. Past
/// 32 million in all, the backward pass computes them anew, a third product in exchange for their memory.
///
/// # Shapes
/// `h` (N, D), `weight` (K, D), `bias` (K,), `labels` (N,) of type u32 -> (N,).
///
/// # Errors
/// As [`linear`] and [`output_nll`].
pub fn linear_nll(
    h: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    labels: &Tensor,
    output: Output,
) -> Result<Tensor> {
    let (&[n, d], &[k, dw]) = (h.dims(), weight.dims()) else {
        return Err(Error::shape("linear_nll input", "(N, D), and a weight (K, D)", h.dims()));
    };
    if d != dw {
        return Err(Error::shape("linear_nll weight", format!("({k}, {d})"), weight.dims()));
    }
    let graph = [Some(h), Some(weight), bias].into_iter().flatten().any(Tensor::track_op);
    if n * k <= if graph { KEPT } else { AT_ONCE } {
        return output_nll(&linear(h, weight, bias)?, labels, output);
    }
    if !own_kernels(h) {
        let parts = blocks(n, k).map(|(from, len)| {
            let logits = linear(&h.narrow(0, from, len)?, weight, bias)?;
            output_nll(&logits, &labels.narrow(0, from, len)?, output)
        });
        return Ok(Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)?);
    }
    output.check()?;
    let labels = check_labels(labels, n, k)?;
    let zeros;
    let bias = match bias {
        Some(b) if b.dims() == [k] => b,
        Some(b) => return Err(Error::shape("linear_nll bias", format!("({k},)"), b.dims())),
        None => {
            zeros = Tensor::zeros(k, h.dtype(), h.device())?;
            &zeros
        }
    };
    Ok(apply3(LinearNll { output, labels }, h, weight, bias)?)
}

/// (first row, rows) of the blocks.
fn blocks(n: usize, k: usize) -> impl Iterator<Item = (usize, usize)> {
    let len = (AT_ONCE / k).clamp(1, n.max(1));
    (0..n).step_by(len).map(move |from| (from, len.min(n - from)))
}

fn last(shape: &Shape) -> usize {
    shape.dims().last().copied().unwrap_or(1)
}

/// z -> log f.
struct LogOutput(Output);
/// z, y, g -> slope(z) (g - exp(y) sum g).
struct LogOutputGrad(Output);
/// z -> the loss of each row.
struct Nll(Arc<Labels>);
/// z, g -> g slope(z) (f - one-hot).
struct NllGrad(Arc<Labels>);
/// h, weight, bias -> the loss of each row.
struct LinearNll {
    output: Output,
    labels: Vec<u32>,
}

/// The labels, and the rows' log-sums from the forward pass.
struct Labels {
    output: Output,
    labels: Vec<u32>,
    sums: Stash,
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

impl Kernel<3> for LinearNll {
    const NAME: &'static str = "sconce-linear-nll";

    fn forward<T: Math>(
        &self,
        [h, w, b]: [&[T]; 3],
        [_, shape, _]: [&Shape; 3],
    ) -> candle_core::Result<(Vec<T>, Shape)> {
        let (k, d) = shape.dims2()?;
        let mut losses = Vec::with_capacity(self.labels.len());
        for (from, len) in blocks(self.labels.len(), k) {
            let (h, y) = (&h[from * d..][..len * d], &self.labels[from..][..len]);
            let z = parallel_product((len, k, d), Mat::rows(h, d), Mat::rows(w, d).t(), Some(b));
            losses.extend(scored!(self.output, score => output::nll(score, &z, y, k)).0);
        }
        let n = losses.len();
        Ok((losses, n.into()))
    }

    fn backward(&self, [h, w, b]: [&Tensor; 3], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        let (mut to_h, mut to_w, mut to_b) = (Vec::new(), None::<Tensor>, None::<Tensor>);
        let add = |sum: &mut Option<Tensor>, part: Option<Tensor>| -> candle_core::Result<()> {
            *sum = match (sum.take(), part) {
                (Some(s), Some(p)) => Some(super::add(&s, &p)?),
                (s, p) => s.or(p),
            };
            Ok(())
        };
        for (from, len) in blocks(self.labels.len(), w.dim(0)?) {
            let rows = h.narrow(0, from, len)?.contiguous()?;
            let z = linear(&rows, w, Some(b)).map_err(candle_core::Error::wrap)?;
            let labels = self.labels[from..][..len].to_vec();
            let own = Arc::new(Labels { output: self.output, labels, sums: Stash::new() });
            // For its log-sums.
            apply1(Nll(own.clone()), &z.detach())?;
            let gz = apply2(NllGrad(own), &z, &g.narrow(0, from, len)?)?;
            let [gh, gw, gb] = linear_gradients([&rows, w, b], &gz)?;
            to_h.extend(gh);
            add(&mut to_w, gw)?;
            add(&mut to_b, gb)?;
        }
        Ok([if to_h.is_empty() { None } else { Some(Tensor::cat(&to_h, 0)?) }, to_w, to_b])
    }
}

//! The linear map and the negative log-likelihood of its result in one operation, for large vocabularies.

use super::cpu::math::Math;
use super::cpu::matmul::{Mat, parallel_product};
use super::cpu::output::{self, Exponential, ExponentialLogistic, Logistic, Rectified};
use super::kernel::{Kernel, Stash, apply1, apply2, apply3};
use super::labels::check_labels;
use super::matmul::linear_gradients;
use super::output::{Labels, Nll, NllGrad, Output, output_nll, scored};
use super::{add, linear, own_kernels};
use crate::{Error, Result};
use candle_core::{Shape, Tensor};
use std::sync::Arc;

/// Logits that [`linear_nll`] holds at one time.
const AT_ONCE: usize = 1 << 22;
/// Logits up to which it keeps all of them for the backward pass.
const KEPT: usize = 1 << 25;

/// [`output_nll`] of the logits `h weight^T + bias` in blocks of rows: no more than 4 million logits exist at a time.
///
/// Up to 32 million logits are kept for the backward pass. Beyond that the backward pass computes them again, which costs a
/// third product and saves their memory.
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

/// h, weight, bias -> the loss of each row.
struct LinearNll {
    output: Output,
    labels: Vec<u32>,
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
        let collect = |sum: &mut Option<Tensor>, part: Option<Tensor>| -> candle_core::Result<()> {
            *sum = match (sum.take(), part) {
                (Some(s), Some(p)) => Some(add(&s, &p)?),
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
            collect(&mut to_w, gw)?;
            collect(&mut to_b, gb)?;
        }
        Ok([if to_h.is_empty() { None } else { Some(Tensor::cat(&to_h, 0)?) }, to_w, to_b])
    }
}

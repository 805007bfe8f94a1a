//! Long short-term memory over a sequence.

use super::cpu::lstm::{Sequence, Tape};
use super::cpu::math::Math;
use super::kernel::{Kernel, Stash, apply, apply1, apply3, wanted};
use super::{composed, linear, own_kernels};
use crate::{Error, Result};
use candle_core::{DType, Shape, Tensor};
use std::sync::Arc;

/// The weights of an [`lstm`], gates in the order i, f, g, o (PyTorch's).
#[derive(Clone, Copy, Debug)]
pub struct LstmWeights<'a> {
    /// (4 H, I).
    pub input: &'a Tensor,
    /// (4 H, H).
    pub recurrent: &'a Tensor,
    /// (4 H,); the sum of PyTorch's two.
    pub bias: Option<&'a Tensor>,
}

/// The results of an [`lstm`].
#[derive(Clone, Debug)]
pub struct LstmOutput {
    /// h at each step, (T, N, H).
    pub outputs: Tensor,
    /// The last h, (N, H).
    pub hidden: Tensor,
    /// The last c, (N, H).
    pub cell: Tensor,
}

/// An LSTM over a sequence. With `z = W x_t + R (m h_{t-1}) + b` in four parts,
/// `c_t = sigmoid(z_f) c_{t-1} + sigmoid(z_i) tanh(z_g)` and `h_t = sigmoid(z_o) tanh(c_t)`.
///
/// `mask` is `m`. One mask on every h that is fed back is variational dropout (see [`dropout_mask`](super::dropout_mask)). The
/// caller applies masks to `x` and to the outputs; a masked `recurrent` is DropConnect. A sequence of one step is the LSTM
/// cell. The products with the input are computed as one product for all steps, and the recurrent weight is packed once.
///
/// Differentiable in `x`, all weights, `hidden` and `cell`; second derivatives are an error.
///
/// # Shapes
/// `x` (T, N, I), `hidden` and `cell` (N, H), `mask` (N, H).
///
/// # Cost
/// `8 T N H (I + H)` operations forward and twice as many backward. The backward pass needs `T N (4 H + H)` numbers in memory, the
/// result twice `T N H`.
///
/// # Errors
/// Shapes that do not fit each other, or an empty axis.
pub fn lstm(
    x: &Tensor,
    hidden: &Tensor,
    cell: &Tensor,
    weights: LstmWeights<'_>,
    mask: Option<&Tensor>,
) -> Result<LstmOutput> {
    let (&[steps, batch, _], &[wide, h]) = (x.dims(), weights.recurrent.dims()) else {
        return Err(Error::shape("lstm input", "(T, N, I), and a recurrent weight (4 H, H)", x.dims()));
    };
    if wide != 4 * h || x.elem_count() * h == 0 {
        return Err(Error::shape("lstm recurrent weight", "(4 H, H), none of them 0", weights.recurrent.dims()));
    }
    if weights.input.dims().first() != Some(&wide) {
        return Err(Error::shape("lstm input weight", format!("({wide}, I)"), weights.input.dims()));
    }
    for (name, t) in [("lstm hidden", Some(hidden)), ("lstm cell", Some(cell)), ("lstm mask", mask)] {
        if let Some(t) = t.filter(|t| t.dims() != [batch, h]) {
            return Err(Error::shape(name, format!("({batch}, {h})"), t.dims()));
        }
    }
    let gates = linear(x, weights.input, weights.bias)?;
    if !own_kernels(x) {
        let (outputs, hidden, cell) = composed::lstm(&gates, weights.recurrent, hidden, cell, mask)?;
        return Ok(LstmOutput { outputs, hidden, cell });
    }
    let mask = mask.map(|m| m.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()).transpose()?;
    let size = Sequence { steps, batch, hidden: h };
    let run = Run(Arc::new(Shared { size, mask, tape: Stash::new() }));
    let all = apply3(run, &gates, weights.recurrent, &Tensor::stack(&[hidden, cell], 0)?)?;
    Ok(LstmOutput { outputs: apply1(Outputs, &all)?, hidden: all.get(steps - 1)?, cell: all.get(steps)? })
}

/// (T + 1, N, H) -> all steps but the last. candle's own would add its gradient to zeros.
struct Outputs;
/// (T, N, H) -> (T + 1, N, H), zeros after it: the adjoint.
struct Padded;

impl Kernel<1> for Outputs {
    const NAME: &'static str = "sconce-lstm-outputs";

    fn forward<T: Math>(&self, [all]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        let (steps, batch, hidden) = shape.dims3()?;
        Ok((all[..(steps - 1) * batch * hidden].to_vec(), (steps - 1, batch, hidden).into()))
    }

    fn backward(&self, _: [&Tensor; 1], _: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply1(Padded, g)?)])
    }
}

impl Kernel<1> for Padded {
    const NAME: &'static str = "sconce-lstm-outputs-adjoint";

    fn forward<T: Math>(&self, [g]: [&[T]; 1], [shape]: [&Shape; 1]) -> candle_core::Result<(Vec<T>, Shape)> {
        let (steps, batch, hidden) = shape.dims3()?;
        let mut all = Vec::with_capacity((steps + 1) * batch * hidden);
        all.extend_from_slice(g);
        all.resize((steps + 1) * batch * hidden, T::ZERO);
        Ok((all, (steps + 1, batch, hidden).into()))
    }

    fn backward(&self, _: [&Tensor; 1], _: &Tensor, u: &Tensor) -> candle_core::Result<[Option<Tensor>; 1]> {
        Ok([Some(apply1(Outputs, u)?)])
    }
}

struct Shared {
    size: Sequence,
    mask: Option<Vec<f64>>,
    tape: Stash,
}

impl Shared {
    fn mask<T: Math>(&self) -> Option<Vec<T>> {
        self.mask.as_ref().map(|m| m.iter().map(|v| T::of_f64(*v)).collect())
    }
}

/// gates, recurrent weight, first (h, c) -> (T + 1, N, H): the outputs and the last c.
struct Run(Arc<Shared>);
/// recurrent weight, first, result, its gradient -> the three gradients, one after the other.
struct Back(Arc<Shared>);

impl Kernel<3> for Run {
    const NAME: &'static str = "sconce-lstm";

    fn forward<T: Math>(&self, [x, w, s]: [&[T]; 3], _: [&Shape; 3]) -> candle_core::Result<(Vec<T>, Shape)> {
        let Sequence { steps, batch, hidden } = self.0.size;
        let (out, tape) = self.0.size.forward(x, w, s, self.0.mask().as_deref());
        self.0.tape.put(tape);
        Ok((out, (steps + 1, batch, hidden).into()))
    }

    fn backward(&self, [x, w, s]: [&Tensor; 3], y: &Tensor, g: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        let all = apply(Back(self.0.clone()), [w, s, &y.detach(), g])?;
        let (a, b) = (x.elem_count(), w.elem_count());
        Ok([
            wanted(x, || all.narrow(0, 0, a)?.reshape(x.shape()))?,
            wanted(w, || all.narrow(0, a, b)?.reshape(w.shape()))?,
            wanted(s, || all.narrow(0, a + b, s.elem_count())?.reshape(s.shape()))?,
        ])
    }
}

impl Kernel<4> for Back {
    const NAME: &'static str = "sconce-lstm-backward";

    fn forward<T: Math>(&self, [w, s, y, g]: [&[T]; 4], _: [&Shape; 4]) -> candle_core::Result<(Vec<T>, Shape)> {
        let mask = self.0.mask();
        let all = self.0.tape.with(|tape: &Tape<T>| self.0.size.backward(tape, w, s, mask.as_deref(), (y, g)))?;
        let len = all.len();
        Ok((all, len.into()))
    }

    fn backward(&self, _: [&Tensor; 4], _: &Tensor, _: &Tensor) -> candle_core::Result<[Option<Tensor>; 4]> {
        Err(candle_core::Error::BackwardNotSupported { op: Self::NAME })
    }
}

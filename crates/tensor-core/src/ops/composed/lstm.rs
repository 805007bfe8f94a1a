//! Long short-term memory step by step, with the backward pass through time written out.

use super::graft::{Rule, graft3, wanted};
use crate::{Error, Result};
use candle_core::Tensor;
use std::sync::OnceLock;

/// [`crate::ops::lstm`] step by step, from `gates` (T, N, 4 H), the product with the input.
///
/// # Errors
/// candle's only. Second derivatives are an error.
pub fn lstm(
    gates: &Tensor,
    weight: &Tensor,
    h: &Tensor,
    c: &Tensor,
    mask: Option<&Tensor>,
) -> Result<(Tensor, Tensor, Tensor)> {
    let steps = gates.dim(0)?;
    let run = Run { mask: mask.map(Tensor::detach), tape: OnceLock::new() };
    let all = graft3(run, gates, weight, &Tensor::stack(&[h, c], 0)?)?;
    Ok((all.narrow(0, 0, steps)?, all.get(steps - 1)?, all.get(steps)?))
}

/// gates, recurrent weight, first (h, c) -> (T + 1, N, H): the outputs and the last c.
struct Run {
    mask: Option<Tensor>,
    tape: OnceLock<Vec<Step>>,
}

/// What the backward pass needs of a step.
struct Step {
    /// The sigmoids of all four parts (that of the third is not used), (N, 4 H).
    sigmoids: Tensor,
    /// tanh of the third.
    new: Tensor,
    /// c before the step.
    before: Tensor,
    /// tanh of c after it.
    squashed: Tensor,
    /// What was fed back: h before the step, masked.
    fed: Tensor,
}

impl Run {
    fn masked(&self, t: &Tensor) -> Result<Tensor> {
        Ok(match &self.mask {
            Some(m) => (t * m)?,
            None => t.clone(),
        })
    }
}

/// The i-th of the four parts of (N, 4 H).
fn part(t: &Tensor, i: usize) -> Result<Tensor> {
    let h = t.dim(1)? / 4;
    Ok(t.narrow(1, i * h, h)?)
}

/// `t (1 - y^2)`, the gradient through a tanh with the result `y`.
fn through_tanh(t: &Tensor, y: &Tensor) -> Result<Tensor> {
    Ok((t * y.sqr()?.affine(-1.0, 1.0)?)?)
}

impl Rule<3> for Run {
    const NAME: &'static str = "composed-lstm";

    fn value(&self, [gates, weight, state]: [&Tensor; 3]) -> Result<Tensor> {
        let weight = weight.contiguous()?.t()?;
        let (mut h, mut c) = (state.get(0)?, state.get(1)?);
        let (mut all, mut tape) = (Vec::new(), Vec::new());
        for t in 0..gates.dim(0)? {
            let fed = self.masked(&h)?.contiguous()?;
            let z = (gates.get(t)? + fed.matmul(&weight)?)?;
            let sigmoids = z.affine(0.5, 0.0)?.tanh()?.affine(0.5, 0.5)?;
            let new = part(&z, 2)?.tanh()?;
            let next = ((part(&sigmoids, 1)? * &c)? + (part(&sigmoids, 0)? * &new)?)?;
            let squashed = next.tanh()?;
            h = (part(&sigmoids, 3)? * &squashed)?;
            all.push(h.clone());
            tape.push(Step { sigmoids, new, before: c, squashed, fed });
            c = next;
        }
        all.push(c);
        let _ = self.tape.set(tape);
        Ok(Tensor::stack(&all, 0)?)
    }

    fn gradients(&self, args: [&Tensor; 3], needed: [bool; 3], _: &Tensor, g: &Tensor) -> Result<[Option<Tensor>; 3]> {
        let (Some(tape), false) = (self.tape.get(), args.iter().any(|a| a.track_op())) else {
            let reason = "an LSTM keeps no graph of its gradients".to_owned();
            return Err(Error::Unsupported { what: "the second derivative of an LSTM", reason });
        };
        let weight = args[1].contiguous()?;
        let (mut from_h, mut from_c) = (None::<Tensor>, g.get(tape.len())?);
        let mut all = Vec::with_capacity(tape.len());
        for (t, step) in tape.iter().enumerate().rev() {
            let Step { sigmoids, new, before, squashed, .. } = step;
            let to_h = match &from_h {
                Some(later) => (g.get(t)? + later)?,
                None => g.get(t)?,
            };
            let to_c = (from_c + through_tanh(&(&to_h * part(sigmoids, 3)?)?, squashed)?)?;
            let slopes = (sigmoids * sigmoids.affine(-1.0, 1.0)?)?;
            let to_z = Tensor::cat(
                &[
                    ((&to_c * new)? * part(&slopes, 0)?)?,
                    ((&to_c * before)? * part(&slopes, 1)?)?,
                    through_tanh(&(&to_c * part(sigmoids, 0)?)?, new)?,
                    ((&to_h * squashed)? * part(&slopes, 3)?)?,
                ],
                1,
            )?;
            from_h = Some(self.masked(&to_z.matmul(&weight)?)?);
            from_c = (to_c * part(sigmoids, 1)?)?;
            all.push(to_z);
        }
        all.reverse();
        let to_gates = Tensor::stack(&all, 0)?;
        let to_weight = wanted(needed[1], || {
            let fed: Vec<&Tensor> = tape.iter().map(|s| &s.fed).collect();
            let (fed, to_z) = (Tensor::cat(&fed, 0)?, to_gates.flatten(0, 1)?);
            Ok(to_z.t()?.matmul(&fed)?)
        })?;
        let to_state = match from_h {
            Some(from_h) => wanted(needed[2], || Ok(Tensor::stack(&[from_h, from_c], 0)?))?,
            None => None,
        };
        Ok([Some(to_gates).filter(|_| needed[0]), to_weight, to_state])
    }
}

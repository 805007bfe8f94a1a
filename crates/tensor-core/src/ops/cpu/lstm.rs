//! The recurrent part of an LSTM over a sequence, and its backward pass through time.

use super::math::{Math, vectorized};
use super::matmul::{Mat, Right, add_product, parallel_product};
use rayon::prelude::*;

/// Sizes of a sequence: steps, batch, hidden units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence {
    pub(crate) steps: usize,
    pub(crate) batch: usize,
    pub(crate) hidden: usize,
}

/// What the backward pass needs: the activated gates i, f, g, o (steps, batch, 4 hidden) and the cells
/// c_0 .. c_T (steps + 1, batch, hidden).
pub(crate) struct Tape<T> {
    gates: Vec<T>,
    cells: Vec<T>,
}

impl Sequence {
    fn state(&self) -> usize {
        self.batch * self.hidden
    }

    /// From the input's share of the gates (steps, batch, 4 hidden), the recurrent weight (4 hidden, hidden), the
    /// first (h, c) and a mask on every h that is fed back: (steps + 1, batch, hidden), the outputs h_1 .. h_T and
    /// the last c.
    pub(crate) fn forward<T: Math>(&self, x: &[T], w: &[T], first: &[T], mask: Option<&[T]>) -> (Vec<T>, Tape<T>) {
        let Self { steps, hidden, .. } = *self;
        let (state, wide) = (self.state(), 4 * hidden);
        let right = Right::new(hidden, wide, Mat::rows(w, hidden).t());
        let mut gates = x.to_vec();
        let mut out = vec![T::ZERO; (steps + 1) * state];
        let mut cells = vec![T::ZERO; (steps + 1) * state];
        cells[..state].copy_from_slice(&first[state..]);
        let mut h = first[..state].to_vec();
        for t in 0..steps {
            if let Some(mask) = mask {
                h.iter_mut().zip(mask).for_each(|(h, m)| *h *= *m);
            }
            let gates = &mut gates[t * 4 * state..][..4 * state];
            add_product(self.batch, gates, Mat::rows(&h, hidden), &right);
            let (before, after) = cells[t * state..].split_at_mut(state);
            let rows = gates
                .par_chunks_exact_mut(wide)
                .zip(out[t * state..].par_chunks_exact_mut(hidden))
                .zip(before.par_chunks_exact(hidden).zip(after.par_chunks_exact_mut(hidden)));
            rows.with_min_len(8).take(self.batch).for_each(|((gates, h), (before, after))| {
                vectorized(
                    #[inline(always)]
                    || cell(gates, before, after, h),
                );
            });
            h.copy_from_slice(&out[t * state..][..state]);
        }
        out[steps * state..].copy_from_slice(&cells[steps * state..]);
        (out, Tape { gates, cells })
    }

    /// The gradients to the input's share of the gates, to the recurrent weight and to the first (h, c), from `g`
    /// to what [`Sequence::forward`] gave, `y`.
    pub(crate) fn backward<T: Math>(
        &self,
        tape: &Tape<T>,
        w: &[T],
        first: &[T],
        mask: Option<&[T]>,
        (y, g): (&[T], &[T]),
    ) -> (Vec<T>, Vec<T>, Vec<T>) {
        let Self { steps, batch, hidden } = *self;
        let (state, wide) = (self.state(), 4 * hidden);
        let right = Right::new(wide, hidden, Mat::rows(w, hidden));
        let mut to_gates = vec![T::ZERO; steps * 4 * state];
        let mut gh = vec![T::ZERO; state];
        let mut gc = g[steps * state..].to_vec();
        for t in (0..steps).rev() {
            gh.iter_mut().zip(&g[t * state..]).for_each(|(a, b)| *a += *b);
            let to = &mut to_gates[t * 4 * state..][..4 * state];
            let rows = to
                .par_chunks_exact_mut(wide)
                .zip(gc.par_chunks_exact_mut(hidden))
                .zip(gh.par_chunks_exact(hidden))
                .enumerate();
            rows.with_min_len(8).for_each(|(n, ((to, gc), gh))| {
                let gates = &tape.gates[t * 4 * state + n * wide..][..wide];
                let before = &tape.cells[t * state + n * hidden..][..hidden];
                let after = &tape.cells[(t + 1) * state + n * hidden..][..hidden];
                vectorized(
                    #[inline(always)]
                    || cell_grad(gates, (before, after), gh, gc, to),
                );
            });
            gh.fill(T::ZERO);
            add_product(batch, &mut gh, Mat::rows(to, wide), &right);
            if let Some(mask) = mask {
                gh.iter_mut().zip(mask).for_each(|(g, m)| *g *= *m);
            }
        }
        // The states that were fed back: the first, then h_1 .. h_{T-1}.
        let mut fed = first[..state].to_vec();
        fed.extend_from_slice(&y[..(steps - 1) * state]);
        if let Some(mask) = mask {
            fed.chunks_exact_mut(state).for_each(|h| h.iter_mut().zip(mask).for_each(|(h, m)| *h *= *m));
        }
        let left = Mat::rows(&to_gates, wide).t();
        let gw = parallel_product((wide, hidden, steps * batch), left, Mat::rows(&fed, hidden), None);
        gh.extend_from_slice(&gc);
        (to_gates, gw, gh)
    }
}

/// One row of one step: the gates are activated in place.
#[inline(always)]
fn cell<T: Math>(gates: &mut [T], before: &[T], after: &mut [T], h: &mut [T]) {
    let n = h.len();
    let (i, rest) = gates.split_at_mut(n);
    let (f, rest) = rest.split_at_mut(n);
    let (g, o) = rest.split_at_mut(n);
    let (o, before, after) = (&mut o[..n], &before[..n], &mut after[..n]);
    for j in 0..n {
        i[j] = i[j].logistic();
        f[j] = f[j].logistic();
        g[j] = g[j].tangent();
        o[j] = o[j].logistic();
        after[j] = f[j] * before[j] + i[j] * g[j];
        h[j] = o[j] * after[j].tangent();
    }
}

/// The gradients of [`cell`]: to the gates before activation, and in place from the new cell to the old.
#[inline(always)]
fn cell_grad<T: Math>(gates: &[T], (before, after): (&[T], &[T]), gh: &[T], gc: &mut [T], to: &mut [T]) {
    let n = gh.len();
    let (i, f, g, o) = (&gates[..n], &gates[n..2 * n], &gates[2 * n..3 * n], &gates[3 * n..4 * n]);
    let (ti, rest) = to.split_at_mut(n);
    let (tf, rest) = rest.split_at_mut(n);
    let (tg, to) = rest.split_at_mut(n);
    let (to, before, after, gc) = (&mut to[..n], &before[..n], &after[..n], &mut gc[..n]);
    for j in 0..n {
        let t = after[j].tangent();
        let c = gc[j] + gh[j] * o[j] * (T::ONE - t * t);
        to[j] = gh[j] * t * o[j] * (T::ONE - o[j]);
        ti[j] = c * g[j] * i[j] * (T::ONE - i[j]);
        tf[j] = c * before[j] * f[j] * (T::ONE - f[j]);
        tg[j] = c * i[j] * (T::ONE - g[j] * g[j]);
        gc[j] = c * f[j];
    }
}

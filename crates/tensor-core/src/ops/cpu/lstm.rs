//! The recurrent part of an LSTM over a sequence, and its backward pass through time.
#![allow(unsafe_code)]

use super::build::{split, unwritten};
use super::math::{Math, vectorized};
use super::matmul::{Mat, Right, Threads, add_product, parallel_product};
use super::threads::each_of;
use std::ops::Range;

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

/// Rows that a group of a batch has at least: fewer would read the recurrent weight for too little work.
const ROWS: usize = 4;

impl Sequence {
    fn state(&self) -> usize {
        self.batch * self.hidden
    }

    /// The rows of a batch in groups, which run through time side by side without waiting for each other. The cut does not
    /// change the bytes of the result.
    fn groups(&self) -> Vec<Range<usize>> {
        // Fewer groups than threads would leave some without work: then the products are spread over all of them.
        let threads = rayon::current_num_threads();
        let count = if self.batch / ROWS >= threads { threads } else { 1 };
        (0..count).map(|i| i * self.batch / count..(i + 1) * self.batch / count).collect()
    }

    /// From the input's share of the gates (steps, batch, 4 hidden), the recurrent weight (4 hidden, hidden), the
    /// first (h, c) and a mask on every h that is fed back: (steps + 1, batch, hidden), the outputs h_1 .. h_T and
    /// the last c.
    pub(crate) fn forward<T: Math>(&self, x: &[T], w: &[T], first: &[T], mask: Option<&[T]>) -> (Vec<T>, Tape<T>) {
        let Self { steps, hidden, .. } = *self;
        let (state, wide, groups) = (self.state(), 4 * hidden, self.groups());
        let right = Right::new(hidden, wide, Mat::rows(w, hidden).t());
        // SAFETY: the groups write every element, and none is read before.
        let [mut all_gates, mut all_out, mut all_cells] =
            [4 * steps, steps + 1, steps + 1].map(|n| unsafe { unwritten(n * state, 0) });
        let threads = if groups.len() > 1 { Threads::This } else { Threads::All };
        let through_time = |(rows, ((mut gates, mut out), mut cells)): (Range<usize>, Trace<T>)| {
            let part = rows.start * hidden..rows.end * hidden;
            cells[0].copy_from_slice(&first[state..][part.clone()]);
            let mut h = first[part.clone()].to_vec();
            for t in 0..steps {
                if let Some(mask) = mask {
                    h.iter_mut().zip(&mask[part.clone()]).for_each(|(h, m)| *h *= *m);
                }
                let (before, after) = cells.split_at_mut(t + 1);
                let (gates, before, after) = (&mut *gates[t], &*before[t], &mut *after[0]);
                gates.copy_from_slice(&x[4 * (t * state + part.start)..][..4 * part.len()]);
                add_product(rows.len(), gates, Mat::rows(&h, hidden), &right, threads);
                vectorized(
                    #[inline(always)]
                    || {
                        for i in 0..rows.len() {
                            let row = i * hidden..(i + 1) * hidden;
                            let gates = &mut gates[i * wide..][..wide];
                            cell(gates, &before[row.clone()], &mut after[row.clone()], &mut out[t][row]);
                        }
                    },
                );
                h.copy_from_slice(out[t]);
            }
            out[steps].copy_from_slice(cells[steps]);
        };
        let parts = by_group(&mut all_gates, &groups, steps, wide)
            .zip(by_group(&mut all_out, &groups, steps + 1, hidden))
            .zip(by_group(&mut all_cells, &groups, steps + 1, hidden));
        each_of(groups.iter().cloned().zip(parts).collect(), &|_, part| through_time(part));
        (all_out, Tape { gates: all_gates, cells: all_cells })
    }

    /// The gradients to the input's share of the gates, to the recurrent weight and to the first (h, c), one after the other,
    /// from `g` to what [`Sequence::forward`] gave, `y`.
    pub(crate) fn backward<T: Math>(
        &self,
        tape: &Tape<T>,
        w: &[T],
        first: &[T],
        mask: Option<&[T]>,
        (y, g): (&[T], &[T]),
    ) -> Vec<T> {
        let Self { steps, batch, hidden } = *self;
        let (state, wide, groups) = (self.state(), 4 * hidden, self.groups());
        let right = Right::new(wide, hidden, Mat::rows(w, hidden));
        // SAFETY: as in the forward pass.
        let mut all = unsafe { unwritten(steps * 4 * state, w.len() + 2 * state) };
        let mut to_first = vec![T::ZERO; 2 * state];
        let threads = if groups.len() > 1 { Threads::This } else { Threads::All };
        let through_time = |(rows, (mut to_gates, mut to_first)): (Range<usize>, (Parts<T>, Parts<T>))| {
            let part = rows.start * hidden..rows.end * hidden;
            let (gh, gc) = to_first.split_at_mut(1);
            let (gh, gc) = (&mut *gh[0], &mut *gc[0]);
            gc.copy_from_slice(&g[steps * state..][part.clone()]);
            for t in (0..steps).rev() {
                gh.iter_mut().zip(&g[t * state + part.start..]).for_each(|(a, b)| *a += *b);
                let to = &mut *to_gates[t];
                vectorized(
                    #[inline(always)]
                    || {
                        for i in 0..rows.len() {
                            let row = i * hidden..(i + 1) * hidden;
                            let at = t * state + part.start + row.start;
                            let gates = &tape.gates[4 * at..][..wide];
                            let (before, after) = (&tape.cells[at..][..hidden], &tape.cells[at + state..][..hidden]);
                            let to = &mut to[i * wide..][..wide];
                            cell_grad(gates, (before, after), &gh[row.clone()], &mut gc[row], to);
                        }
                    },
                );
                gh.fill(T::ZERO);
                add_product(rows.len(), gh, Mat::rows(to, wide), &right, threads);
                if let Some(mask) = mask {
                    gh.iter_mut().zip(&mask[part.clone()]).for_each(|(g, m)| *g *= *m);
                }
            }
        };
        let parts = by_group(&mut all, &groups, steps, wide).zip(by_group(&mut to_first, &groups, 2, hidden));
        each_of(groups.iter().cloned().zip(parts).collect(), &|_, part| through_time(part));
        // The states that were fed back: the first, then h_1 .. h_{T-1}.
        let mut fed = Vec::with_capacity(steps * state);
        fed.extend_from_slice(&first[..state]);
        fed.extend_from_slice(&y[..(steps - 1) * state]);
        if let Some(mask) = mask {
            fed.chunks_exact_mut(state).for_each(|h| h.iter_mut().zip(mask).for_each(|(h, m)| *h *= *m));
        }
        let left = Mat::rows(&all, wide).t();
        let gw = parallel_product((wide, hidden, steps * batch), left, Mat::rows(&fed, hidden), None);
        all.extend(gw);
        all.extend(to_first);
        all
    }
}

/// One group's rows of each step.
type Parts<'a, T> = Vec<&'a mut [T]>;
/// Those of the gates and the outputs, and those of the cells.
type Trace<'a, T> = ((Parts<'a, T>, Parts<'a, T>), Parts<'a, T>);

/// (steps, batch, width) in the rows of each group, step after step.
fn by_group<'a, T>(
    data: &'a mut [T],
    groups: &[Range<usize>],
    steps: usize,
    width: usize,
) -> impl Iterator<Item = Parts<'a, T>> {
    let mut all: Vec<_> = groups.iter().map(|_| Vec::with_capacity(steps)).collect();
    let lengths = (0..steps).flat_map(|_| groups.iter().map(|rows| rows.len() * width));
    for (i, part) in split(data, lengths).into_iter().enumerate() {
        all[i % groups.len()].push(part);
    }
    all.into_iter()
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

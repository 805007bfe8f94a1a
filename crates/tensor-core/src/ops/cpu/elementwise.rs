//! Element by element, and sums over all but the channel.

use super::element::Element;
use rayon::prelude::*;

/// Elements that one task handles: large enough that a task is worth its start.
const RUN: usize = 1 << 14;

/// `y = max(x, 0)`; NaN stays NaN.
pub(crate) fn relu<T: Element>(x: &[T]) -> Vec<T> {
    let mut y = x.to_vec();
    y.par_chunks_mut(RUN).for_each(|y| y.iter_mut().for_each(|v| *v = if *v < T::ZERO { T::ZERO } else { *v }));
    y
}

/// `g` where `y > 0`, else 0.
pub(crate) fn relu_mask<T: Element>(y: &[T], g: &[T]) -> Vec<T> {
    let mut out = g.to_vec();
    out.par_chunks_mut(RUN).zip(y.par_chunks(RUN)).for_each(|(o, y)| {
        o.iter_mut().zip(y).for_each(|(o, y)| *o = if *y > T::ZERO { *o } else { T::ZERO });
    });
    out
}

/// Sum over batch and positions of x (n, c, p): one f64 per channel, added in a fixed order.
pub(crate) fn channel_sums<T: Element>(x: &[T], channels: usize, positions: usize, f: impl Fn(usize, T) -> f64 + Sync) -> Vec<f64> {
    let image = channels * positions;
    (0..channels)
        .into_par_iter()
        .map(|c| {
            let planes = (0..x.len() / image.max(1)).map(|n| n * image + c * positions);
            planes.map(|at| (at..at + positions).map(|i| f(i, x[i])).sum::<f64>()).sum()
        })
        .collect()
}

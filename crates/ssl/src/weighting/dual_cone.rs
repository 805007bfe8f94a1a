//! The projection of a combination of gradients onto the cone of directions that conflict with no task.

use super::gram::Gram;
use super::linear::{solve, subsets};
use super::min_norm::require_few;
use crate::{Error, Result};

/// Largest violation of the optimality conditions, relative to the size of the combination.
const RESIDUAL: f64 = 1e-10;

/// `argmin v'Mv` over `v >= u`, for `u >= 0`: `J'v` is the projection of `J'u` onto `{d : J d >= 0}`. Returns v and the violation of the
/// optimality conditions `Mv >= 0`, `(v - u)'Mv = 0`, relative to `sum u_i |g_i|`.
///
/// Exact, by all sets of free coefficients. Where several v exist (the direction is the same), the fewest coefficients differ from u.
pub(super) fn project(gram: &Gram, u: &[f64]) -> Result<(Vec<f64>, f64)> {
    let t = gram.tasks();
    require_few("an exact projection onto the dual cone", t)?;
    let norms = gram.norms();
    // In units of the gradients' norms: b_i = v_i |g_i|. A gradient of 0 keeps its coefficient.
    let size: f64 = u.iter().zip(&norms).map(|(u, n)| u * n).sum();
    if size == 0.0 {
        return Ok((u.to_vec(), 0.0));
    }
    let lower: Vec<f64> = u.iter().zip(&norms).map(|(u, n)| u * n / size).collect();
    let nonzero: Vec<usize> = (0..t).filter(|i| norms[*i] > 0.0).collect();
    let times = |b: &[f64]| -> Vec<f64> { (0..t).map(|i| (0..t).map(|j| gram.cosine(i, j) * b[j]).sum()).collect() };
    let mut best: Option<(Vec<f64>, f64)> = None;
    for free in subsets(nonzero.len()) {
        let free: Vec<usize> = free.into_iter().map(|i| nonzero[i]).collect();
        let Some(b) = candidate(gram, &lower, &free) else { continue };
        let y = times(&b);
        let slack: f64 = y.iter().zip(&b).zip(&lower).map(|((y, b), l)| y * (b - l)).sum();
        let residual = y.iter().fold(slack.abs(), |worst, y| worst.max(-y));
        let done = residual <= 4.0 * f64::EPSILON;
        // The conditions and not the value select: near the optimum the value changes by the square of their violation.
        if best.as_ref().is_none_or(|best| residual < best.1) {
            best = Some((b, residual));
        }
        if done {
            break;
        }
    }
    let (b, residual) = match best {
        Some((b, residual)) if residual <= RESIDUAL => (b, residual),
        best => {
            let residual = best.map_or(f64::INFINITY, |b| b.1);
            let reason = format!("was not found: the optimality conditions are violated by {residual:e}");
            return Err(Error::value("projection onto the dual cone", reason));
        }
    };
    let unscaled = |i: usize| if norms[i] > 0.0 { (b[i] * size / norms[i]).max(u[i]) } else { u[i] };
    Ok(((0..t).map(unscaled).collect(), residual))
}

/// The minimum over the free coefficients with the others at their bounds, where it respects the bounds of the free ones.
fn candidate(gram: &Gram, lower: &[f64], free: &[usize]) -> Option<Vec<f64>> {
    let mut b = lower.to_vec();
    let matrix = free.iter().flat_map(|i| free.iter().map(|j| gram.cosine(*i, *j))).collect();
    let bound = |i: usize| -> f64 {
        (0..lower.len()).filter(|j| !free.contains(j)).map(|j| gram.cosine(i, j) * lower[j]).sum()
    };
    let found = solve(matrix, free.iter().map(|i| [-bound(*i)]).collect())?;
    for (i, [value]) in free.iter().zip(found) {
        if value < lower[*i] - 1e-12 {
            return None;
        }
        b[*i] = value.max(lower[*i]);
    }
    Some(b)
}

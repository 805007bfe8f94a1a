//! The point of smallest norm in the convex hull of the tasks' gradients.

use super::gram::Gram;
use super::linear::{solve, subsets};
use crate::{Error, Result};

/// Most tasks of the exact solvers, which enumerate all subsets of the tasks.
pub const EXACT_TASKS: usize = 8;
/// Largest duality gap of an exact solution, in units of the largest squared norm.
const EXACT_GAP: f64 = 1e-10;

pub(super) fn require_few(what: &'static str, tasks: usize) -> Result<()> {
    if tasks <= EXACT_TASKS {
        return Ok(());
    }
    let reason =
        format!("it enumerates subsets of at most {EXACT_TASKS} tasks; use MGDA with Frank-Wolfe, or Nash-MTL");
    Err(Error::Unsupported { what, reason: format!("{tasks} tasks: {reason}") })
}

/// `argmin |sum a_i g_i|^2` over `a >= 0`, `sum a = 1`, with a certificate.
///
/// The duality gap `a'Ma - min_i (Ma)_i` is at least 0, and `a'Ma` is at most twice the gap above the minimum: a gap of 0 proves that
/// the point is optimal. The minimum is 0 exactly at a Pareto-stationary point; otherwise
/// `d = sum a_i g_i` has `<g_i, d> >= |d|^2 - gap` for every task, and a small step `-lr d` lowers every loss.
#[derive(Clone, Debug, PartialEq)]
pub struct MinNorm {
    /// The coefficients a, T of them.
    pub alpha: Vec<f64>,
    /// `a'Ma`.
    pub norm_squared: f64,
    /// `a'Ma - min_i (Ma)_i`.
    pub gap: f64,
    /// The largest squared norm of a gradient, the unit of the two ratios below.
    pub largest: f64,
    /// Steps of Frank-Wolfe; 0 of the exact solver.
    pub steps: usize,
}

impl MinNorm {
    fn at(gram: &Gram, alpha: Vec<f64>, steps: usize) -> Self {
        let m = gram.times(&alpha);
        let norm_squared = gram.quadratic(&alpha);
        let gap = norm_squared - m.iter().copied().fold(f64::INFINITY, f64::min);
        Self { alpha, norm_squared, gap, largest: gram.largest(), steps }
    }

    fn relative(&self, value: f64) -> f64 {
        if self.largest == 0.0 { 0.0 } else { value / self.largest }
    }

    /// The gap over the largest squared norm; 0 where all gradients are 0.
    pub fn relative_gap(&self) -> f64 {
        self.relative(self.gap)
    }

    /// The squared norm over the largest squared norm of a gradient, in [0, 1]: 0 at a Pareto-stationary point.
    pub fn pareto_residual(&self) -> f64 {
        self.relative(self.norm_squared)
    }

    /// The exact solution, by the stationary point of every face of the simplex (at most 8 tasks, 255 faces). Where several
    /// solutions exist (the direction d is the same for all), it has the fewest tasks, those of the smallest index.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for more than [`EXACT_TASKS`] tasks; [`Error::Value`] where the gap is above 1e-10 of the largest
    /// squared norm, which no input is known to cause.
    pub fn exact(gram: &Gram) -> Result<Self> {
        let t = gram.tasks();
        require_few("an exact minimum-norm point", t)?;
        if let Some(i) = gram.zero() {
            return Ok(Self::at(gram, (0..t).map(|j| f64::from(u8::from(i == j))).collect(), 0));
        }
        let norms = gram.norms();
        let mut best: Option<Self> = None;
        for face in subsets(t).skip(1) {
            let Some(alpha) = stationary(gram, &norms, &face) else { continue };
            // The gap and not the norm selects: near the optimum the norm changes by the square of the gap, below its rounding error.
            let found = Self::at(gram, alpha, 0);
            let done = found.gap <= gram.rounding(&found.alpha);
            if best.as_ref().is_none_or(|b| found.gap < b.gap) {
                best = Some(found);
            }
            if done {
                break;
            }
        }
        match best {
            Some(found) if found.relative_gap() <= EXACT_GAP => Ok(found),
            found => {
                let gap = found.map_or(f64::INFINITY, |f| f.relative_gap());
                Err(Error::value(
                    "minimum-norm point",
                    format!("was not found: the best has a relative gap of {gap:e}"),
                ))
            }
        }
    }

    /// Frank-Wolfe with exact line search from `a = 1/T` (Sener and Koltun 2018, algorithm 2): towards the task of the smallest
    /// `(Ma)_i`, until the relative gap is at most `tolerance` or `steps` steps are done. The convergence is sublinear: a small
    /// tolerance needs many steps. The caller compares [`MinNorm::relative_gap`] with the tolerance.
    pub fn frank_wolfe(gram: &Gram, steps: usize, tolerance: f64) -> Self {
        let t = gram.tasks();
        let (mut a, enough) = (vec![1.0 / t as f64; t], tolerance * gram.largest());
        for step in 0..steps {
            let m = gram.times(&a);
            let aa: f64 = m.iter().zip(&a).map(|(m, a)| m * a).sum();
            let Some(r) = (0..t).min_by(|i, j| m[*i].total_cmp(&m[*j])) else { break };
            if aa - m[r] <= enough {
                return Self::at(gram, a, step);
            }
            let gamma = line_search(aa, m[r], gram.at(r, r));
            a.iter_mut().for_each(|a| *a *= 1.0 - gamma);
            a[r] += gamma;
        }
        Self::at(gram, a, steps)
    }
}

/// The g in [0, 1] of the smallest `|(1 - g) x + g y|^2`, from `xx = <x, x>`, `xy` and `yy`.
fn line_search(xx: f64, xy: f64, yy: f64) -> f64 {
    if yy <= xy {
        1.0
    } else if xx <= xy {
        0.0
    } else {
        (xx - xy) / (xx + yy - 2.0 * xy)
    }
}

/// The matrix `[[C, r], [r', 0]]` of a face, with the cosines C and `r_i = min |g| / |g_i|`: stationary points on the affine hull of
/// gradients of any scale, in the unknowns `b_i = a_i / r_i`.
pub(super) fn bordered(gram: &Gram, norms: &[f64], face: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let shortest = face.iter().map(|i| norms[*i]).fold(f64::INFINITY, f64::min);
    let r: Vec<f64> = face.iter().map(|i| shortest / norms[*i]).collect();
    let mut matrix = Vec::with_capacity((face.len() + 1).pow(2));
    for (i, task) in face.iter().enumerate() {
        matrix.extend(face.iter().map(|j| gram.cosine(*task, *j)));
        matrix.push(r[i]);
    }
    matrix.extend(&r);
    matrix.push(0.0);
    (matrix, r)
}

/// Coefficients of a face's tasks as coefficients of all tasks, `None` where one is negative. Rounding errors below 0 are cut.
pub(super) fn on_simplex(tasks: usize, face: &[usize], a: impl Iterator<Item = f64>) -> Option<Vec<f64>> {
    let mut all = vec![0.0; tasks];
    for (task, a) in face.iter().zip(a) {
        if a < -1e-12 {
            return None;
        }
        all[*task] = a.max(0.0);
    }
    let sum: f64 = all.iter().sum();
    all.iter_mut().for_each(|a| *a /= sum);
    sum.is_normal().then_some(all)
}

/// The point of smallest norm on the affine hull of a face, where it lies inside the face.
fn stationary(gram: &Gram, norms: &[f64], face: &[usize]) -> Option<Vec<f64>> {
    let (matrix, r) = bordered(gram, norms, face);
    let mut right = vec![[0.0]; face.len()];
    right.push([1.0]);
    let b = solve(matrix, right)?;
    on_simplex(gram.tasks(), face, b.iter().zip(&r).map(|(b, r)| b[0] * r))
}

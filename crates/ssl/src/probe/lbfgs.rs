//! Limited-memory BFGS for smooth convex functions, in f64.

use sconce_tensor_core::{Error, Result};
use std::collections::VecDeque;

/// Pairs of steps and changes of the gradient that are kept.
const MEMORY: usize = 10;

/// Where to stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// The Euclidean norm of the gradient at which the iteration has converged.
    pub(super) tolerance: f64,
    /// Steps after which it has failed.
    pub(super) steps: usize,
}

/// A point whose gradient is small enough.
#[derive(Clone, Debug)]
pub(super) struct Minimum {
    pub(super) x: Vec<f64>,
    pub(super) value: f64,
    pub(super) gradient_norm: f64,
    pub(super) steps: usize,
}

/// A function with its gradient, and a positive definite approximation of its inverse Hessian.
pub(super) trait Objective {
    /// The value and the gradient.
    fn at(&self, x: &[f64]) -> Result<(f64, Vec<f64>)>;
    /// The approximation times a vector.
    fn precondition(&self, v: &[f64]) -> Result<Vec<f64>>;
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(a: &mut [f64], factor: f64, b: &[f64]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += factor * b);
}

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    /// 1 / (step . change).
    rho: f64,
}

/// The two-loop recursion (Nocedal and Wright, "Numerical Optimization", algorithm 7.4), whose initial matrix is `gamma` times the
/// preconditioner.
fn direction(f: &impl Objective, pairs: &VecDeque<Pair>, gamma: f64, gradient: &[f64]) -> Result<Vec<f64>> {
    let mut q = gradient.to_vec();
    let mut alphas = Vec::with_capacity(pairs.len());
    for p in pairs.iter().rev() {
        let alpha = p.rho * dot(&p.step, &q);
        add(&mut q, -alpha, &p.change);
        alphas.push(alpha);
    }
    let mut r = f.precondition(&q)?;
    r.iter_mut().for_each(|v| *v *= gamma);
    for (p, alpha) in pairs.iter().zip(alphas.into_iter().rev()) {
        let beta = p.rho * dot(&p.change, &r);
        add(&mut r, alpha - beta, &p.step);
    }
    r.iter_mut().for_each(|v| *v = -*v);
    Ok(r)
}

/// Minimises a convex function from `x` on: L-BFGS with a line search for the weak Wolfe conditions.
///
/// # Errors
/// [`Error::Value`] with the last gradient norm where it has not converged; [`Error::NotFinite`] for a value that is not finite.
pub(super) fn minimise(f: &impl Objective, mut x: Vec<f64>, stop: Stop) -> Result<Minimum> {
    let (mut value, mut gradient) = f.at(&x)?;
    let (mut pairs, mut gamma): (VecDeque<Pair>, f64) = (VecDeque::new(), 1.0);
    for steps in 0..=stop.steps {
        let gradient_norm = dot(&gradient, &gradient).sqrt();
        if !value.is_finite() || !gradient_norm.is_finite() {
            let reason = format!("{value} with a gradient of norm {gradient_norm} after {steps} steps");
            return Err(Error::not_finite("loss of the linear probe", reason));
        }
        if gradient_norm <= stop.tolerance {
            return Ok(Minimum { x, value, gradient_norm, steps });
        }
        if steps == stop.steps {
            break;
        }
        let mut d = direction(f, &pairs, gamma, &gradient)?;
        let mut slope = dot(&d, &gradient);
        if slope >= 0.0 {
            // Rounding has spoilt the pairs.
            pairs.clear();
            gamma = 1.0;
            d = direction(f, &pairs, gamma, &gradient)?;
            slope = dot(&d, &gradient);
        }
        // Weak Wolfe conditions by bisection: between a step that still descends steeply and one that does not descend enough.
        let (mut t, mut near, mut far) = (1.0, 0.0, f64::INFINITY);
        let (mut next, mut next_value, mut next_gradient);
        loop {
            next = x.clone();
            add(&mut next, t, &d);
            (next_value, next_gradient) = f.at(&next)?;
            // Differences below the rounding error of the value count as a decrease.
            let enough = next_value <= value + 1e-4 * t * slope + 4.0 * f64::EPSILON * value.abs();
            if !enough {
                far = t;
            } else if dot(&d, &next_gradient) < 0.9 * slope {
                near = t;
            } else {
                break;
            }
            if far - near < 1e-12 || t > 1e12 {
                break;
            }
            t = if far.is_finite() { 0.5 * (near + far) } else { 2.0 * t };
        }
        d.iter_mut().for_each(|v| *v *= t);
        let mut change = next_gradient.clone();
        add(&mut change, -1.0, &gradient);
        let along = dot(&d, &change);
        if along > 1e-12 * (dot(&d, &d) * dot(&change, &change)).sqrt() {
            gamma = along / dot(&change, &f.precondition(&change)?);
            if pairs.len() == MEMORY {
                pairs.pop_front();
            }
            pairs.push_back(Pair { step: d, change, rho: 1.0 / along });
        }
        (x, value, gradient) = (next, next_value, next_gradient);
    }
    let reason = format!(
        "no convergence in {} steps: the gradient's norm is {:e}, above the tolerance {:e}; allow more steps or use a larger strength",
        stop.steps,
        dot(&gradient, &gradient).sqrt(),
        stop.tolerance
    );
    Err(Error::value("linear probe", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rosenbrock's valley is not convex, but it has no other stationary point than its minimum, which is known.
    struct Valley;

    impl Objective for Valley {
        fn at(&self, x: &[f64]) -> Result<(f64, Vec<f64>)> {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            Ok((a * a + 100.0 * b * b, vec![-2.0 * a - 400.0 * x[0] * b, 200.0 * b]))
        }

        fn precondition(&self, v: &[f64]) -> Result<Vec<f64>> {
            Ok(v.to_vec())
        }
    }

    #[test]
    fn it_finds_the_bottom_of_a_curved_valley_or_says_that_it_did_not() {
        let m = minimise(&Valley, vec![-1.2, 1.0], Stop { tolerance: 1e-9, steps: 200 }).unwrap();
        assert!(m.x.iter().all(|v| (v - 1.0).abs() < 1e-8) && m.value < 1e-16, "{m:?}");
        assert!(m.steps < 100 && m.gradient_norm <= 1e-9);
        let e = minimise(&Valley, vec![-1.2, 1.0], Stop { tolerance: 1e-9, steps: 5 }).unwrap_err().to_string();
        assert!(e.contains("no convergence in 5 steps"), "{e}");
    }
}

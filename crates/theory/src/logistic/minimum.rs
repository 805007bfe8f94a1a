//! The minimiser of the adversarial loss, with a certificate of optimality.

use super::{AdversarialLogistic, LinearAttack};
use crate::dense::{dot, eigenvalues, norm, solve};
use crate::{Error, Result};

/// The minimiser of the loss, with a certificate of optimality.
#[derive(Clone, Debug, PartialEq)]
pub struct Minimum {
    /// The weights.
    pub w: Vec<f64>,
    /// The loss at the minimiser.
    pub loss: f64,
    /// The norm of the smallest subgradient, which is 0 at a minimiser because the loss is convex.
    pub gradient_norm: f64,
    /// The smallest eigenvalue of the Hessian restricted to the nonzero weights; `None` at w = 0. If it is positive, the
    /// minimiser is unique.
    pub smallest_eigenvalue: Option<f64>,
    /// The number of Newton steps.
    pub steps: usize,
}

const MOST_STEPS: usize = 200;
/// The norm of the subgradient at which the iteration stops.
const ENOUGH: f64 = 1e-12;

impl AdversarialLogistic {
    /// The smallest subgradient: for p = infinity the component of a zero weight is 0 while its derivative is within the range
    /// of the kink.
    fn pseudo_gradient(&self, w: &[f64]) -> Vec<f64> {
        let (norm, g) = self.dual(w);
        let slope = self.slope(w, norm, &g);
        if !self.cfg.p.is_infinite() {
            return slope;
        }
        let kink = self.cfg.eps * self.shares(w, norm).1;
        let least = |(s, w): (f64, &f64)| match s {
            _ if *w != 0.0 => s,
            s if s > kink => s - kink,
            s if s < -kink => s + kink,
            _ => 0.0,
        };
        slope.into_iter().zip(w).map(least).collect()
    }

    /// Newton's method with step halving, started from a small step away from 0. For p = infinity it works inside the orthant
    /// of the smallest subgradient, and weights that would leave the orthant are set to 0.
    ///
    /// # Errors
    /// [`Error::Value`] if there is no minimiser: the examples are linearly separable under the attack and there is no penalty,
    /// so that the loss decreases without end along a direction. [`Error::Unsupported`] for p = 1.
    pub fn minimise(&self) -> Result<Minimum> {
        let (d, cfg) = (self.d, self.cfg);
        if cfg.p == 1.0 {
            let reason = "p = 1: the dual norm has kinks that are not aligned with the coordinates".to_owned();
            return Err(Error::Unsupported { what: "the minimiser of the adversarial loss", reason });
        }
        if cfg.eps > 0.0 && self.critical_eps() <= cfg.eps {
            let w = vec![0.0; d];
            return Ok(Minimum { loss: self.loss(&w)?, w, gradient_norm: 0.0, smallest_eigenvalue: None, steps: 0 });
        }
        let mut w: Vec<f64> = self.pseudo_gradient(&vec![0.0; d]).into_iter().map(|v| -0.1 * v).collect();
        for steps in 0..MOST_STEPS {
            let moved = cfg.eps * self.dual(&w).0;
            if cfg.l2 == 0.0 && self.rows.chunks_exact(d).all(|r| dot(r, &w) > moved) {
                let reason = format!(
                    "does not exist: {w:?} separates all examples under an attack of {}, and the loss decreases without end \
                     along it; set l2 > 0",
                    cfg.eps
                );
                return Err(Error::value("minimiser", reason));
            }
            let gradient = self.pseudo_gradient(&w);
            let free: Vec<usize> = (0..d).filter(|j| w[*j] != 0.0 || gradient[*j] != 0.0).collect();
            let part = |v: &[f64]| free.iter().map(|j| v[*j]).collect::<Vec<f64>>();
            // To stay off the kinks, a zero weight that is about to move gets its future sign.
            let mut at = w.clone();
            for j in free.iter().filter(|j| w[**j] == 0.0) {
                at[*j] = -gradient[*j].signum() * f64::MIN_POSITIVE;
            }
            let h = self.hessian_of(&at, &free)?;
            if norm(&gradient) <= ENOUGH {
                let smallest = eigenvalues(&h, free.len())?[0];
                let (loss, gradient_norm) = (self.loss(&w)?, norm(&gradient));
                return Ok(Minimum { w, loss, gradient_norm, smallest_eigenvalue: Some(smallest), steps });
            }
            let mut direction = vec![0.0; d];
            for (j, v) in free.iter().zip(solve(&h, &part(&gradient))?) {
                direction[*j] = -v;
            }
            w = self.step(&w, &at, &direction, &gradient)?;
        }
        let left = norm(&self.pseudo_gradient(&w));
        Err(Error::value(
            "minimiser",
            format!("no convergence in {MOST_STEPS} steps; the norm of the gradient is {left:e}"),
        ))
    }

    /// The Hessian restricted to some weights.
    fn hessian_of(&self, at: &[f64], free: &[usize]) -> Result<Vec<f64>> {
        let attack = if self.cfg.p.is_infinite() { LinearAttack::Frozen } else { LinearAttack::Following };
        let h = self.hessian(at, attack)?;
        Ok(free.iter().flat_map(|i| free.iter().map(|j| h[i * self.d + j]).collect::<Vec<_>>()).collect())
    }

    /// Backtracking line search: the longest halved step with sufficient decrease.
    fn step(&self, w: &[f64], at: &[f64], direction: &[f64], gradient: &[f64]) -> Result<Vec<f64>> {
        let start = self.loss(w)?;
        let mut t = 1.0;
        loop {
            let mut next: Vec<f64> = w.iter().zip(direction).map(|(w, d)| w + t * d).collect();
            if self.cfg.p.is_infinite() {
                let left = |(n, a): (&mut f64, &f64)| {
                    if *n * a < 0.0 {
                        *n = 0.0;
                    }
                };
                next.iter_mut().zip(at).for_each(left);
            }
            let promised: f64 = next.iter().zip(w).zip(gradient).map(|((n, w), g)| (n - w) * g).sum();
            // Differences below the rounding error of the loss are accepted.
            let rounding = 4.0 * f64::EPSILON * start.abs();
            if self.loss(&next)? <= start + 1e-4 * promised + rounding || t < 1e-12 {
                return Ok(next);
            }
            t *= 0.5;
        }
    }
}

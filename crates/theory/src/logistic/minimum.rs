//! The minimiser of the adversarial loss, with what shows that it is one.

use super::{AdversarialLogistic, Attack};
use crate::dense::{dot, eigenvalues, norm, solve};
use crate::{Error, Result};

/// Where the loss is least, and how that is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Minimum {
    /// The weights.
    pub w: Vec<f64>,
    /// L there.
    pub loss: f64,
    /// Norm of the smallest subgradient: 0 at a minimiser, for the loss is convex.
    pub gradient_norm: f64,
    /// The smallest eigenvalue of the Hessian along the weights that are not 0; none at w = 0. Above 0: there is no other
    /// minimiser.
    pub smallest_eigenvalue: Option<f64>,
    /// Newton steps.
    pub steps: usize,
}

const MOST_STEPS: usize = 200;
/// The norm of the subgradient at which to stop.
const ENOUGH: f64 = 1e-12;

impl AdversarialLogistic {
    /// The smallest subgradient: for p = infinity a weight of 0 stays while its slope is within the kink's.
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

    /// Newton's method with halved steps from a small step off 0; for p = infinity inside the orthant of the smallest
    /// subgradient, weights that would leave it set to 0.
    ///
    /// # Errors
    /// [`Error::Value`] where there is no minimiser: the examples can be told apart in spite of the attack and there is no
    /// penalty, so that the loss falls for ever along a direction. [`Error::Unsupported`] for p = 1.
    pub fn minimise(&self) -> Result<Minimum> {
        let (d, cfg) = (self.d, self.cfg);
        if cfg.p == 1.0 {
            let reason = "p = 1: the dual norm has kinks that follow no coordinate".to_owned();
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
                    "there is none: {w:?} tells all examples apart in spite of an attack of {}, and the loss falls for ever \
                     along it; give l2 > 0",
                    cfg.eps
                );
                return Err(Error::value("minimiser", reason));
            }
            let gradient = self.pseudo_gradient(&w);
            let free: Vec<usize> = (0..d).filter(|j| w[*j] != 0.0 || gradient[*j] != 0.0).collect();
            let part = |v: &[f64]| free.iter().map(|j| v[*j]).collect::<Vec<f64>>();
            // Off the kinks: a weight of 0 that is about to move gets the sign that it will have.
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
        Err(Error::value("minimiser", format!("not found in {MOST_STEPS} steps; the gradient's norm is {left:e}")))
    }

    /// The Hessian along some weights.
    fn hessian_of(&self, at: &[f64], free: &[usize]) -> Result<Vec<f64>> {
        let attack = if self.cfg.p.is_infinite() { Attack::Frozen } else { Attack::Following };
        let h = self.hessian(at, attack)?;
        Ok(free.iter().flat_map(|i| free.iter().map(|j| h[i * self.d + j]).collect::<Vec<_>>()).collect())
    }

    /// The longest of the halved steps that lowers the loss as its slope promises.
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
            // Below the loss's rounding the slope alone decides.
            let rounding = 4.0 * f64::EPSILON * start.abs();
            if self.loss(&next)? <= start + 1e-4 * promised + rounding || t < 1e-12 {
                return Ok(next);
            }
            t *= 0.5;
        }
    }
}

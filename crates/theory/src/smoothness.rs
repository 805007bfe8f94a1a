//! Gradient smoothness of the adversarial loss: measured Lipschitz ratios, and bounds where they exist.

use crate::dense::{eigenvalues, norm};
use crate::landscape::Direction;
use crate::logistic::AdversarialLogistic;
use crate::{Error, Result, Weights};
use sconce_tensor_core::Rng;
use sconce_tensor_core::error::require;

/// Differences of attacks and gradients between two points, relative to the distance of the points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratios {
    /// `norm(a - b)`.
    pub distance: f64,
    /// `norm(delta(a) - delta(b)) / norm(a - b)`: a lower bound on the Lipschitz constant of the worst-case perturbation.
    pub attack: f64,
    /// `norm(grad L(a) - grad L(b)) / norm(a - b)`: a lower bound on the Lipschitz constant of the gradient.
    pub gradient: f64,
}

/// Upper bounds on [`Ratios`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LipschitzBounds {
    /// On [`Ratios::attack`].
    pub attack: f64,
    /// On [`Ratios::gradient`].
    pub gradient: f64,
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

impl AdversarialLogistic {
    /// The Lipschitz ratios between two weight vectors.
    ///
    /// # Errors
    /// A wrong number of weights, or one that is not finite; two equal points.
    pub fn ratios(&self, a: &[f64], b: &[f64]) -> Result<Ratios> {
        let (attacks, gradients) = ((self.attack(a)?, self.attack(b)?), (self.gradient(a)?, self.gradient(b)?));
        let length = distance(a, b);
        if length == 0.0 {
            return Err(Error::value("w", "both points are the same"));
        }
        Ok(Ratios {
            distance: length,
            attack: distance(&attacks.0, &attacks.1) / length,
            gradient: distance(&gradients.0, &gradients.1) / length,
        })
    }

    /// For p = 2, upper bounds on both ratios for any two nonzero weight vectors a, b with norms between `least` and `most`:
    ///
    /// - attack: `eps / least` (Dunkl and Williams (1964) bound the distance of normalised vectors);
    /// - gradient: `C_tt + C_tx eps / least` with `C_tt = mean((norm(x) + eps)^2) / 4`, the Lipschitz constant of the gradient
    ///   in w for a fixed perturbation, and `C_tx = mean(1 + most (norm(x) + eps) / 4)`, that of the gradient in x; the lambda
    ///   of the penalty is added.
    ///
    /// For other p there is no such bound: for p = infinity the worst-case perturbation jumps where a weight changes its sign.
    ///
    /// Source: the statement is in the abstract of Kanai et al. (arXiv 2103.01400); the constants are derived by us.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another p; norms that are not `0 < least <= most`.
    pub fn bounds(&self, least: f64, most: f64) -> Result<LipschitzBounds> {
        let cfg = self.config();
        if cfg.p != 2.0 {
            let reason =
                format!("p = {}: the worst-case perturbation is not a Lipschitz function of the weights", cfg.p);
            return Err(Error::Unsupported { what: "a bound on the adversarial gradient", reason });
        }
        require("least", least > 0.0, "> 0: at w = 0 the attack has no direction", least)?;
        require("most", most >= least && most.is_finite(), "finite and at least `least`", most)?;
        let n = self.len() as f64;
        let mean = |f: &dyn Fn(f64) -> f64| self.examples().map(|x| f(norm(x) + cfg.eps)).sum::<f64>() / n;
        let inner = mean(&|r| 0.25 * r * r);
        let outer = mean(&|r| 1.0 + 0.25 * most * r);
        Ok(LipschitzBounds { attack: cfg.eps / least, gradient: inner + outer * cfg.eps / least + cfg.l2 })
    }
}

/// A lower bound on the Lipschitz constant of a network's gradient: the largest ratio `norm(g(a) - g(b)) / norm(a - b)` found,
/// and all ratios.
#[derive(Clone, Debug, PartialEq)]
pub struct LipschitzEstimate {
    /// The largest ratio.
    pub largest: f64,
    /// All pairs, in order.
    pub pairs: Vec<GradientRatio>,
}

/// The gradient's change between a pair of weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientRatio {
    /// `norm(a - b)`.
    pub distance: f64,
    /// `norm(g(a) - g(b)) / norm(a - b)`.
    pub ratio: f64,
}

impl LipschitzEstimate {
    fn of(pairs: Vec<GradientRatio>) -> Result<Self> {
        match pairs.iter().position(|p| !p.ratio.is_finite()) {
            Some(i) => Err(Error::value("gradient", format!("not finite at pair {i}"))),
            None => Ok(Self { largest: pairs.iter().fold(0.0, |m: f64, p| m.max(p.ratio)), pairs }),
        }
    }
}

/// The ratios between neighbouring steps along a direction through the weights. `gradient` returns the gradient of the loss at
/// the current weights; for an adversarial loss it may recompute the attack. The weights are restored afterwards.
///
/// # Errors
/// Fewer than 2 steps, or two equal steps in a row; those of `gradient`; a gradient that is not finite.
pub fn lipschitz_along(
    weights: &Weights<'_>,
    direction: &Direction,
    steps: &[f64],
    mut gradient: impl FnMut() -> Result<Vec<f64>>,
) -> Result<LipschitzEstimate> {
    require("lipschitz_along steps", steps.len() >= 2, "at least 2", steps.len())?;
    let (w, d) = (weights.values()?, direction.values());
    if d.len() != w.len() {
        return Err(Error::value("direction", format!("has {} values, the weights {}", d.len(), w.len())));
    }
    let length = norm(d);
    let place = |s: &f64| w.iter().zip(d).map(|(w, d)| w + s * d).collect::<Vec<f64>>();
    let found = weights.evaluate_at(steps.iter().map(place), &mut gradient)?;
    let pair = |(g, s): (&[Vec<f64>], &[f64])| {
        let step = (s[1] - s[0]).abs() * length;
        match step > 0.0 {
            true => Ok(GradientRatio { distance: step, ratio: distance(&g[0], &g[1]) / step }),
            false => Err(Error::value("steps", format!("{} twice in a row", s[0]))),
        }
    };
    LipschitzEstimate::of(found.windows(2).zip(steps.windows(2)).map(pair).collect::<Result<_>>()?)
}

/// The ratios between pairs of weights drawn uniformly from the ball of this radius around the current weights.
///
/// # Errors
/// A radius that is not positive, no pairs; as [`lipschitz_along`].
pub fn lipschitz_in_ball(
    weights: &Weights<'_>,
    radius: f64,
    pairs: usize,
    rng: &Rng,
    mut gradient: impl FnMut() -> Result<Vec<f64>>,
) -> Result<LipschitzEstimate> {
    require("lipschitz_in_ball radius", radius.is_finite() && radius > 0.0, "finite and > 0", radius)?;
    require("lipschitz_in_ball pairs", pairs >= 1, "at least 1", pairs)?;
    let w = weights.values()?;
    let place = |i: u64| -> Vec<f64> {
        let z = rng.stream("direction").at(i).normals(w.len());
        let r = radius * rng.stream("radius").at(i).uniforms(1)[0].powf(1.0 / w.len() as f64) / norm(&z);
        w.iter().zip(z).map(|(w, z)| w + r * z).collect()
    };
    let one = |i: u64| -> Result<GradientRatio> {
        let (a, b) = (place(2 * i), place(2 * i + 1));
        let length = distance(&a, &b);
        let found = weights.evaluate_at([a, b], &mut gradient)?;
        Ok(GradientRatio { distance: length, ratio: distance(&found[0], &found[1]) / length })
    };
    LipschitzEstimate::of((0..pairs as u64).map(one).collect::<Result<_>>()?)
}

/// The derivative of an interior attack with respect to the weights. If the worst-case perturbation lies inside its ball and
/// the loss is strictly concave in x, then `dx*/dtheta = -H^-1 M` (implicit function theorem), with H (D x D) the second
/// derivative in x and M (D x T) the mixed derivative in x and theta, both in row-major order. The bound on its norm is K =
/// `norm(M) / sigma_min(H)`: it grows as the loss becomes flatter in x.
///
/// ```
/// use sconce_theory::smoothness::interior_attack_jacobian;
/// // l = -k (x - 2 theta)^2 / 2: x* = 2 theta whatever k, and K is 2 for all of them.
/// for k in [10.0, 0.1] {
///     let s = interior_attack_jacobian(&[-k], &[2.0 * k], 1)?;
///     assert!((s.jacobian[0] - 2.0).abs() < 1e-12 && (s.bound - 2.0).abs() < 1e-12);
/// }
/// // l = -k x^2 / 2 + theta x: x* = theta / k, and K = 1 / k.
/// assert!((interior_attack_jacobian(&[-0.1], &[1.0], 1)?.bound - 10.0).abs() < 1e-12);
/// # Ok::<(), sconce_theory::Error>(())
/// ```
///
/// # Errors
/// Lengths that do not match `d`; an H that is not negative definite, because then the attack is not interior.
pub fn interior_attack_jacobian(h: &[f64], m: &[f64], d: usize) -> Result<AttackJacobian> {
    if d == 0 || h.len() != d * d || m.is_empty() || !m.len().is_multiple_of(d) {
        let reason = format!("{} values of H and {} of M do not match {d} dimensions", h.len(), m.len());
        return Err(Error::value("derivatives", reason));
    }
    let t = m.len() / d;
    let negative: Vec<f64> = h.iter().map(|v| -v).collect();
    let flattest = eigenvalues(&negative, d)?[0];
    if flattest <= 0.0 {
        let reason = format!("the loss is not strictly concave in x (curvature {}): no interior attack", -flattest);
        return Err(Error::value("H", reason));
    }
    let mut jacobian = vec![0.0; d * t];
    for j in 0..t {
        let column: Vec<f64> = (0..d).map(|i| m[i * t + j]).collect();
        for (i, v) in crate::dense::solve(&negative, &column)?.into_iter().enumerate() {
            jacobian[i * t + j] = v;
        }
    }
    let gram: Vec<f64> = (0..t * t).map(|k| (0..d).map(|i| m[i * t + k / t] * m[i * t + k % t]).sum()).collect();
    let largest = eigenvalues(&gram, t)?.last().copied().unwrap_or(0.0).max(0.0).sqrt();
    Ok(AttackJacobian { jacobian, bound: largest / flattest })
}

/// The result of [`interior_attack_jacobian`].
#[derive(Clone, Debug, PartialEq)]
pub struct AttackJacobian {
    /// `dx*/dtheta` (D x T, in row-major order).
    pub jacobian: Vec<f64>,
    /// `norm(M) / sigma_min(H)`, an upper bound on the norm of the Jacobian.
    pub bound: f64,
}

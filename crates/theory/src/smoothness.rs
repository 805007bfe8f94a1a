//! How fast the adversarial gradient can turn: measured ratios, and bounds that hold where there are any.

use crate::dense::{eigenvalues, norm};
use crate::landscape::Direction;
use crate::logistic::AdversarialLogistic;
use crate::{Error, Result, Weights};
use sconce_tensor_core::Rng;
use sconce_tensor_core::error::require;

/// Two points, and how far apart attacks and gradients are there, per unit of their distance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratios {
    /// `norm(a - b)`.
    pub distance: f64,
    /// `norm(delta(a) - delta(b)) / norm(a - b)`: how fast the best perturbation turns.
    pub attack: f64,
    /// `norm(grad L(a) - grad L(b)) / norm(a - b)`: a lower bound on the Lipschitz constant of the gradient.
    pub gradient: f64,
}

fn apart(a: &[f64], b: &[f64]) -> f64 {
    norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

impl AdversarialLogistic {
    /// What the gradient does between two weights.
    ///
    /// # Errors
    /// Another number of weights, one that is not finite; the same point twice.
    pub fn ratios(&self, a: &[f64], b: &[f64]) -> Result<Ratios> {
        let (attacks, gradients) = ((self.attack(a)?, self.attack(b)?), (self.gradient(a)?, self.gradient(b)?));
        let distance = apart(a, b);
        if distance == 0.0 {
            return Err(Error::value("w", "both points are the same"));
        }
        Ok(Ratios {
            distance,
            attack: apart(&attacks.0, &attacks.1) / distance,
            gradient: apart(&gradients.0, &gradients.1) / distance,
        })
    }

    /// For p = 2 an upper bound on both ratios of any two weights a, b that are not 0, of norms between `least` and `most`:
    ///
    /// - attack: `eps norm(a - b) / least` (Dunkl and Williams (1964): unit vectors turn no faster);
    /// - gradient: `C_tt + C_tx eps / least` with `C_tt = mean((norm(x) + eps)^2) / 4`, the constant of the gradient in w for a fixed
    ///   perturbation, and `C_tx = mean(1 + most (norm(x) + eps) / 4)`, that of the gradient in x; the penalty's lambda beside.
    ///
    /// There is none for other p: the best perturbation jumps where a weight changes its sign (p = infinity).
    ///
    /// Source: the statement is that of Kanai et al. (arXiv 2103.01400), abstract; the constants are derived.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another p; norms that are not `0 < least <= most`.
    pub fn bounds(&self, least: f64, most: f64) -> Result<(f64, f64)> {
        let cfg = self.config();
        if cfg.p != 2.0 {
            let reason = format!("p = {}: the best perturbation is no Lipschitz function of the weights", cfg.p);
            return Err(Error::Unsupported { what: "a bound on the adversarial gradient", reason });
        }
        require("least", least > 0.0, "> 0: at 0 the attack has no direction", least)?;
        require("most", most >= least && most.is_finite(), "finite and at least `least`", most)?;
        let n = self.len() as f64;
        let mean = |f: &dyn Fn(f64) -> f64| self.examples().map(|x| f(norm(x) + cfg.eps)).sum::<f64>() / n;
        let inner = mean(&|r| 0.25 * r * r);
        let outer = mean(&|r| 1.0 + 0.25 * most * r);
        Ok((cfg.eps / least, inner + outer * cfg.eps / least + cfg.l2))
    }
}

/// How fast a network's gradient turns: the largest `norm(g(a) - g(b)) / norm(a - b)` found, a lower bound on its Lipschitz constant
/// there, and each ratio with its distance.
#[derive(Clone, Debug, PartialEq)]
pub struct Turning {
    /// The largest ratio.
    pub largest: f64,
    /// (distance, ratio) of each pair, in order.
    pub pairs: Vec<(f64, f64)>,
}

impl Turning {
    fn of(pairs: Vec<(f64, f64)>) -> Result<Self> {
        match pairs.iter().position(|p| !p.1.is_finite()) {
            Some(i) => Err(Error::value("gradient", format!("not finite at pair {i}"))),
            None => Ok(Self { largest: pairs.iter().fold(0.0, |m: f64, p| m.max(p.1)), pairs }),
        }
    }
}

/// Between neighbouring steps along a direction through the weights. `gradient` gives that of the loss at the weights as they are,
/// an adversarial one with its attack made anew if it so chooses; the weights are put back.
///
/// # Errors
/// Fewer than 2 steps, or the same one twice in a row; those of `gradient`; one that is not finite.
pub fn along(
    weights: &Weights<'_>,
    direction: &Direction,
    steps: &[f64],
    mut gradient: impl FnMut() -> Result<Vec<f64>>,
) -> Result<Turning> {
    require("along steps", steps.len() >= 2, "at least 2", steps.len())?;
    let (w, d) = (weights.values()?, direction.values());
    if d.len() != w.len() {
        return Err(Error::value("direction", format!("has {} values, the weights {}", d.len(), w.len())));
    }
    let length = norm(d);
    let place = |s: &f64| w.iter().zip(d).map(|(w, d)| w + s * d).collect::<Vec<f64>>();
    let found = weights.at(steps.iter().map(place), &mut gradient)?;
    let pair = |(g, s): (&[Vec<f64>], &[f64])| {
        let distance = (s[1] - s[0]).abs() * length;
        match distance > 0.0 {
            true => Ok((distance, apart(&g[0], &g[1]) / distance)),
            false => Err(Error::value("steps", format!("{} twice in a row", s[0]))),
        }
    };
    Turning::of(found.windows(2).zip(steps.windows(2)).map(pair).collect::<Result<_>>()?)
}

/// Between pairs of weights that are drawn evenly from the ball of this radius about the weights as they are.
///
/// # Errors
/// A radius that is not > 0, no pairs; as [`along`].
pub fn in_ball(
    weights: &Weights<'_>,
    radius: f64,
    pairs: usize,
    rng: &Rng,
    mut gradient: impl FnMut() -> Result<Vec<f64>>,
) -> Result<Turning> {
    require("in_ball radius", radius.is_finite() && radius > 0.0, "finite and > 0", radius)?;
    require("in_ball pairs", pairs >= 1, "at least 1", pairs)?;
    let w = weights.values()?;
    let place = |i: u64| -> Vec<f64> {
        let z = rng.stream("direction").at(i).normals(w.len());
        let r = radius * rng.stream("radius").at(i).uniforms(1)[0].powf(1.0 / w.len() as f64) / norm(&z);
        w.iter().zip(z).map(|(w, z)| w + r * z).collect()
    };
    let one = |i: u64| -> Result<(f64, f64)> {
        let (a, b) = (place(2 * i), place(2 * i + 1));
        let distance = apart(&a, &b);
        let found = weights.at([a, b], &mut gradient)?;
        Ok((distance, apart(&found[0], &found[1]) / distance))
    };
    Turning::of((0..pairs as u64).map(one).collect::<Result<_>>()?)
}

/// The slope of an interior attack: where the best perturbation lies inside its ball and the loss is strictly concave in x,
/// `dx*/dtheta = -H^-1 M`, with H (D x D) the second derivative in x and M (D x T) that in x and theta, both row after row
/// (implicit function theorem). K = `norm(M) / sigma_min(H)` bounds it: the flatter the loss is in x, the larger.
///
/// ```
/// use sconce_theory::smoothness::interior_slope;
/// // l = -k (x - 2 theta)^2 / 2: x* = 2 theta whatever k, and K is 2 for all of them.
/// for k in [10.0, 0.1] {
///     let s = interior_slope(&[-k], &[2.0 * k], 1)?;
///     assert!((s.jacobian[0] - 2.0).abs() < 1e-12 && (s.bound - 2.0).abs() < 1e-12);
/// }
/// // l = -k x^2 / 2 + theta x: x* = theta / k, and K = 1 / k.
/// assert!((interior_slope(&[-0.1], &[1.0], 1)?.bound - 10.0).abs() < 1e-12);
/// # Ok::<(), sconce_theory::Error>(())
/// ```
///
/// # Errors
/// Lengths that do not fit `d`; an H that is not negative definite, where the attack is not interior.
pub fn interior_slope(h: &[f64], m: &[f64], d: usize) -> Result<Slope> {
    if d == 0 || h.len() != d * d || m.is_empty() || !m.len().is_multiple_of(d) {
        let reason = format!("{} values of H and {} of M do not fit {d} dimensions", h.len(), m.len());
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
    Ok(Slope { jacobian, bound: largest / flattest })
}

/// What [`interior_slope`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Slope {
    /// `dx*/dtheta` (D x T, row after row).
    pub jacobian: Vec<f64>,
    /// `norm(M) / sigma_min(H)`, at least the norm of the slope.
    pub bound: f64,
}

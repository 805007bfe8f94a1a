//! Where the answer is known: the linear model, an interior attack, and EntropySGD's objective by quadrature.

use super::config::{Entropy, Linear, Toy};
use anyhow::Result;
use candle_core::{Device, Tensor};
use sconce_tensor_core::Rng;
use sconce_theory::entropy::LocalEntropy;
use sconce_theory::logistic::{AdversarialLogistic, LogisticConfig};
use sconce_theory::smoothness::interior_attack_jacobian;
use serde::{Deserialize, Serialize};

/// One distance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    pub distance: f64,
    /// How fast the gradient turns across the place where a weight changes its sign.
    pub l2: f64,
    pub linf: f64,
    /// Where no weight does.
    pub linf_same: f64,
    /// How fast the attack turns, across.
    pub l2_attack: f64,
    pub linf_attack: f64,
    /// The bound for L2.
    pub bound: f64,
    /// EntropySGD's objective of the L-infinity loss, across.
    pub smoothed: f64,
}

/// The linear model of a seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Found {
    pub points: Vec<Point>,
    /// The largest share of the bound that a random pair reaches, L2.
    pub share_of_bound: f64,
    /// (w1, w2, g1, g2) on a grid, for L2 and L-infinity.
    pub fields: [Vec<[f64; 4]>; 2],
}

/// How much the loss weighs in EntropySGD's objective of the linear model.
const WEIGHT: f64 = 20.0;
const GAMMA: f64 = 20.0;

pub fn run(cfg: &Linear, seed: u64) -> Result<Found> {
    let rng = Rng::new(seed).stream("linear");
    let x = rng.stream("x").normals(cfg.examples * 2);
    let u = rng.stream("labels").uniforms(cfg.examples);
    let y: Vec<bool> =
        x.chunks_exact(2).zip(u).map(|(x, u)| u < 1.0 / (1.0 + (-cfg.slope * (x[0] + x[1])).exp())).collect();
    let x = Tensor::from_vec(x, (cfg.examples, 2), &Device::Cpu)?;
    let with = |p: f64| AdversarialLogistic::new(&x, &y, LogisticConfig { eps: cfg.eps, p, ..Default::default() });
    let (l2, linf) = (with(2.0)?, with(f64::INFINITY)?);
    let smooth = LocalEntropy::square(|w| WEIGHT * linf.loss(w).unwrap_or(f64::NAN), GAMMA, 161, -1.5..2.5)?;
    let point = |&h: &f64| -> Result<Point> {
        let (a, b) = ([h / 2.0, 1.0], [-h / 2.0, 1.0]);
        let (c, d) = ([0.5 + h / 2.0, 1.0], [0.5 - h / 2.0, 1.0]);
        let (two, max) = (l2.ratios(&a, &b)?, linf.ratios(&a, &b)?);
        let least = 1.0;
        let (ga, gb) = (smooth.at(&a)?.gradient, smooth.at(&b)?.gradient);
        let turned = ga.iter().zip(&gb).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        Ok(Point {
            distance: h,
            l2: two.gradient,
            linf: max.gradient,
            linf_same: linf.ratios(&c, &d)?.gradient,
            l2_attack: two.attack,
            linf_attack: max.attack,
            bound: l2.bounds(least, (1.0 + h * h / 4.0).sqrt())?.gradient,
            smoothed: turned / h / WEIGHT,
        })
    };
    let bound = l2.bounds(0.5, 2.0)?.gradient;
    let mut share_of_bound: f64 = 0.0;
    for i in 0..cfg.pairs as u64 {
        let z = rng.stream("pairs").at(i).uniforms(4);
        let place = |angle: f64, r: f64| {
            let (s, c) = (std::f64::consts::TAU * angle).sin_cos();
            [(0.5 + 1.5 * r) * c, (0.5 + 1.5 * r) * s]
        };
        share_of_bound = share_of_bound.max(l2.ratios(&place(z[0], z[1]), &place(z[2], z[3]))?.gradient / bound);
    }
    let field = |m: &AdversarialLogistic| -> Result<Vec<[f64; 4]>> {
        let axis = |i: i32| f64::from(i) / 7.0 + 1e-6;
        let mut all = Vec::new();
        for i in -7..=7 {
            for j in -7..=7 {
                let w = [axis(j), axis(i)];
                let g = m.gradient(&w)?;
                all.push([w[0], w[1], g[0], g[1]]);
            }
        }
        Ok(all)
    };
    let points = cfg.distances.iter().map(point).collect::<Result<_>>()?;
    Ok(Found { points, share_of_bound, fields: [field(&l2)?, field(&linf)?] })
}

/// One curvature of the toy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flat {
    pub curvature: f64,
    /// How fast the best perturbation turns where it is interior, and its bound K.
    pub interior: f64,
    pub bound: f64,
    /// The same about a fixed theta, where the ball binds once the loss is flat.
    pub fixed: f64,
    pub binds: bool,
}

/// The best perturbation of `theta.x - k norm(x)^2 / 2` in a ball, by projected gradient ascent.
fn best(theta: [f64; 2], k: f64, eps: f64) -> [f64; 2] {
    let mut x = [0.0f64; 2];
    // Steps that are not the inverse of the curvature, so that it is found by iterating.
    let step = 0.7 / k.max(0.05);
    for _ in 0..4000 {
        let up = [x[0] + step * (theta[0] - k * x[0]), x[1] + step * (theta[1] - k * x[1])];
        let shrink = (eps / up[0].hypot(up[1])).min(1.0);
        x = [up[0] * shrink, up[1] * shrink];
    }
    x
}

pub fn flat(cfg: &Toy) -> Result<Vec<Flat>> {
    let one = |&k: &f64| -> Result<Flat> {
        let turn = |a: [f64; 2], b: [f64; 2]| {
            let (xa, xb) = (best(a, k, cfg.eps), best(b, k, cfg.eps));
            (xa[0] - xb[0]).hypot(xa[1] - xb[1]) / (a[0] - b[0]).hypot(a[1] - b[1])
        };
        let r = 0.5 * k * cfg.eps;
        let fixed = 0.3;
        Ok(Flat {
            curvature: k,
            interior: turn([r, 0.1 * r], [0.8 * r, -0.2 * r]),
            bound: interior_attack_jacobian(&[-k, 0.0, 0.0, -k], &[1.0, 0.0, 0.0, 1.0], 2)?.bound,
            fixed: turn([fixed, 1e-3], [fixed, -1e-3]),
            binds: fixed > k * cfg.eps,
        })
    };
    cfg.curvatures.iter().map(one).collect()
}

/// One gamma: the largest second derivative of the smoothed kink.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Smooth {
    pub gamma: f64,
    /// By differences of the gradient, and as `max |gamma - gamma^2 Var|`.
    pub differences: f64,
    pub formula: f64,
    /// (t, F'').
    pub curve: Vec<(f64, f64)>,
}

pub fn kink(cfg: &Entropy) -> Result<Vec<Smooth>> {
    let one = |&gamma: &f64| -> Result<Smooth> {
        // The mass about the outermost t has to fit the grid.
        let reach = 2.0 + cfg.slope / gamma + 9.0 / gamma.sqrt();
        let f = LocalEntropy::line(|t| cfg.slope * t.abs(), gamma, 20_001, -reach..reach)?;
        let (mut differences, mut formula, mut curve): (f64, f64, Vec<_>) = (0.0, 0.0, Vec::new());
        let h = 1e-4;
        for i in -100..=100 {
            let t = f64::from(i) / 100.0 * (2.0f64).min(4.0 / gamma.sqrt());
            let second = (f.at(&[t + h])?.gradient[0] - f.at(&[t - h])?.gradient[0]) / (2.0 * h);
            differences = differences.max(second.abs());
            formula = formula.max(f.at(&[t])?.hessian[0].abs());
            curve.push((t, second));
        }
        Ok(Smooth { gamma, differences, formula, curve })
    };
    cfg.gammas.iter().map(one).collect()
}

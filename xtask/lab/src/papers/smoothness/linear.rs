//! The linear model: how fast its gradient changes with the weights, where the best attack is known in closed form.

use super::config::Linear;
use crate::jobs::{Job, Work};
use anyhow::Result;
use candle_core::{Device, Tensor};
use sconce_tensor_core::Rng;
use sconce_theory::entropy::LocalEntropy;
use sconce_theory::logistic::{AdversarialLogistic, LogisticConfig};
use serde::{Deserialize, Serialize};

/// One distance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    pub distance: f64,
    /// The Lipschitz ratio of the gradient across the place where a weight changes its sign.
    pub l2: f64,
    pub linf: f64,
    /// Where no weight does.
    pub linf_same: f64,
    /// The Lipschitz ratio of the attack, across.
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

/// The linear model with the examples of a seed.
#[derive(Clone, Copy, Serialize)]
pub struct Exact<'a> {
    pub linear: &'a Linear,
    pub seed: u64,
}

impl Job for Exact<'_> {
    type Output = Found;

    fn key(&self) -> String {
        format!("linear/seed{}", self.seed)
    }

    fn cost(&self) -> f64 {
        (self.linear.examples * (self.linear.pairs + GRID * GRID)) as f64
    }

    fn run(&self, _: &Work<'_>) -> Result<Found> {
        exact(self.linear, self.seed)
    }
}

/// How much the loss weighs in EntropySGD's objective of the linear model.
const WEIGHT: f64 = 20.0;
const GAMMA: f64 = 20.0;
/// Grid points along each axis of its quadrature.
const GRID: usize = 161;

fn exact(cfg: &Linear, seed: u64) -> Result<Found> {
    let rng = Rng::new(seed).stream("linear");
    let x = rng.stream("x").normals(cfg.examples * 2);
    let u = rng.stream("labels").uniforms(cfg.examples);
    let y: Vec<bool> =
        x.chunks_exact(2).zip(u).map(|(x, u)| u < 1.0 / (1.0 + (-cfg.slope * (x[0] + x[1])).exp())).collect();
    let x = Tensor::from_vec(x, (cfg.examples, 2), &Device::Cpu)?;
    let with = |p: f64| AdversarialLogistic::new(&x, &y, LogisticConfig { eps: cfg.eps, p, ..Default::default() });
    let (l2, linf) = (with(2.0)?, with(f64::INFINITY)?);
    let smooth = LocalEntropy::square(|w| WEIGHT * linf.loss(w).unwrap_or(f64::NAN), GAMMA, GRID, -1.5..2.5)?;
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

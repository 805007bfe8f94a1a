//! An attack in the interior of the ball: the flatter the loss is in its input, the faster the best perturbation moves.

use super::config::Toy;
use crate::jobs::{Job, Work};
use anyhow::Result;
use sconce_theory::smoothness::interior_attack_jacobian;
use serde::{Deserialize, Serialize};

/// One curvature of the toy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flat {
    pub curvature: f64,
    /// The Lipschitz ratio of the best perturbation where it is interior, and its bound K.
    pub interior: f64,
    pub bound: f64,
    /// The same about a fixed theta, where the ball binds once the loss is flat.
    pub fixed: f64,
    pub binds: bool,
}

/// All curvatures; nothing is random in it.
#[derive(Clone, Copy, Serialize)]
pub struct Curvatures<'a> {
    pub toy: &'a Toy,
}

impl Job for Curvatures<'_> {
    type Output = Vec<Flat>;

    fn key(&self) -> String {
        "flat".to_owned()
    }

    fn cost(&self) -> f64 {
        self.toy.curvatures.len() as f64
    }

    fn run(&self, _: &Work<'_>) -> Result<Vec<Flat>> {
        flat(self.toy)
    }
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

fn flat(cfg: &Toy) -> Result<Vec<Flat>> {
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

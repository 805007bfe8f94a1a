//! EntropySGD's objective of a kink, by quadrature.

use super::config::Entropy;
use crate::jobs::{Job, Work};
use anyhow::Result;
use sconce_theory::entropy::LocalEntropy;
use serde::{Deserialize, Serialize};

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

/// All gammas; nothing is random in it.
#[derive(Clone, Copy, Serialize)]
pub struct Gammas<'a> {
    pub entropy: &'a Entropy,
}

impl Job for Gammas<'_> {
    type Output = Vec<Smooth>;

    fn key(&self) -> String {
        "kink".to_owned()
    }

    fn cost(&self) -> f64 {
        self.entropy.gammas.len() as f64
    }

    fn run(&self, _: &Work<'_>) -> Result<Vec<Smooth>> {
        kink(self.entropy)
    }
}

fn kink(cfg: &Entropy) -> Result<Vec<Smooth>> {
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
